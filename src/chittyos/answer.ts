import { z } from 'zod';
import { isJsonObject, type JsonObject } from '../../events/json.ts';
import { SEALED_MARK } from '../../events/personal.ts';

/** Bytes of an answer that are read at most. */
export const ANSWER_MAX_BYTES = 1024 * 1024;

/** Bytes of a refusal that are read at most: it is only there to say why. */
export const REFUSAL_MAX_BYTES = 16 * 1024;

/** A JSON media type: application/json, or one with the suffix +json (RFC 6839). */
const JSON_MEDIA_TYPE = /^application\/(?:[\w.!#$&^-]+\+)?json\s*(?:;|$)/i;

/** Characters of a media type that are shown. */
const MEDIA_TYPE_CHARS = 80;

/** A text of a service that an event is to hold: what no event can hold is a wrong answer. */
export function keptText(maxChars: number) {
  return z
    .string()
    .max(maxChars, `must have at most ${maxChars} characters`)
    .refine((text) => text.isWellFormed(), 'must not hold half of a UTF-16 pair')
    .refine((text) => !text.startsWith(SEALED_MARK), `must not begin with "${SEALED_MARK}"`);
}

/** An id that a service gives out. */
export const foreignId = keptText(500).min(1);

/** An answer that is not what the operation answers. The message says how. */
export class WrongAnswer extends Error {}

/** Reads a response's body as JSON of bounded length. @throws WrongAnswer when it is not that */
export async function readJson(response: Response, maxBytes: number, signal: AbortSignal): Promise<unknown> {
  const mediaType = response.headers.get('Content-Type');
  if (mediaType === null || !JSON_MEDIA_TYPE.test(mediaType)) {
    discard(response);
    throw new WrongAnswer(`The answer is ${mediaType?.slice(0, MEDIA_TYPE_CHARS) ?? 'of no media type'}, not JSON.`);
  }
  const bytes = await readBytes(response, maxBytes, signal);
  // What the parser says of a fault quotes the text, which may hold a key: it is not passed on.
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch {
    throw new WrongAnswer('The answer says that it is JSON and is not.');
  }
}

/** Lets go of a body that nobody reads. */
export function discard(response: Response): void {
  // Rejects when the body had failed already, which changes nothing.
  response.body?.cancel().catch(() => undefined);
}

async function readBytes(response: Response, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const tooLong = new WrongAnswer(`The answer is longer than ${maxBytes} bytes.`);
  if (Number(response.headers.get('Content-Length') ?? 0) > maxBytes) {
    discard(response);
    throw tooLong;
  }
  const reader = response.body?.getReader();
  if (!reader) return new Uint8Array();
  const cancel = () => void reader.cancel().catch(() => undefined);
  signal.addEventListener('abort', cancel);
  try {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      length += next.value.byteLength;
      if (length > maxBytes) {
        cancel();
        throw tooLong;
      }
      chunks.push(next.value);
    }
    return join(chunks, length);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

function join(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const [first] = chunks;
  if (first && chunks.length === 1) return first;
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

/**
 * Checks an answer against the operation's schema.
 *
 * @param mayCarryError whether `error` is a part of good answers, as it is of a validation's
 * @throws WrongAnswer when it does not fit, or says that it failed although its status was 2xx
 */
export function checkAnswer<Value>(schema: z.ZodType<Value>, answer: unknown, mayCarryError: boolean): Value {
  if (isJsonObject(answer) && !mayCarryError && saysItFailed(answer)) {
    throw new WrongAnswer(`The answer is an error in spite of its status: ${explain(answer) ?? 'it does not say why'}`);
  }
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.map((part) => `/${String(part)}`).join('') || 'it';
  throw new WrongAnswer(
    `The answer is not what this operation answers: ${place}: ${issue?.message ?? 'does not fit'}.`,
  );
}

function saysItFailed({ success, error, errors }: JsonObject): boolean {
  if (success === false) return true;
  if (Array.isArray(errors) && errors.length > 0) return true;
  return error !== undefined && error !== null && error !== false && error !== '';
}

/** What a refusal says for people, from the members that such bodies have; null when it says nothing. */
export function explain(refusal: JsonObject): string | null {
  const { detail, error, message, title } = refusal;
  const nested = isJsonObject(error) ? error.message : error;
  return [detail, message, nested, title].find((text) => typeof text === 'string' && text !== '')?.toString() ?? null;
}
