import { z } from 'zod';
import { type JsonFault, pointerToken } from '../../events/json.ts';
import { refuseEnded } from '../auth/identify.ts';
import type { AuthenticatedExchange, Exchange } from './exchange.ts';
import { parseJson, shortened } from './json-text.ts';
import { invalid, isProblem, type Problem } from './problem.ts';

/** Bytes of a request body at most. */
const BODY_MAX_BYTES = 1024 * 1024;

/** Bytes of a body that is too large that are read all the same, and for how long. */
const DISCARD_MAX_BYTES = 16 * 1024 * 1024;
const DISCARD_MS = 2_000;

/** Milliseconds that a body may take until it is asked again whether its sender still is who they were. */
const ASK_AGAIN_MS = 1_000;

/** A request that has a body, and who sends it where that was found out before. */
type Sent = Exchange & Partial<Pick<AuthenticatedExchange, 'principal'>>;

/** Problems that one answer lists at most: enough to mend a request, not so many that the answer is a burden. */
const ERRORS_MAX = 20;

/**
 * Reads a JSON request body and checks it.
 *
 * @param mediaTypes the media types that are taken, in lower case
 * @returns the parsed value, or the problem to answer with: 400, 401, 403, 413 or 415
 */
export async function readBody<Output>(
  exchange: Sent,
  schema: z.ZodType<Output>,
  mediaTypes?: readonly string[],
): Promise<Output | Problem> {
  const bytes = await readRawBody(exchange, mediaTypes);
  return isProblem(bytes) ? bytes : parseBody(bytes, schema);
}

/** Reads a JSON request body that may be left out, which is as good as an empty object. */
export async function readOptionalBody<Output>(exchange: Sent, schema: z.ZodType<Output>): Promise<Output | Problem> {
  const { headers, body } = exchange.request;
  const isEmpty = headers.get('Content-Type') === null && (body === null || headers.get('Content-Length') === '0');
  return isEmpty ? validate(schema, {}) : readBody(exchange, schema);
}

/** What a route takes that takes no body: many clients send an empty object all the same. */
const nothing = z.strictObject({});

/**
 * Sees that a request has nothing to say where nobody listens: whoever sends `{"reason":"…"}` to a route that takes none
 * would believe it done. No body, or an empty object, is fine.
 *
 * @returns the problem to answer with: 400, 401, 403 or 413; null when there is none
 */
export function refuseBody(exchange: Sent): Problem | null | Promise<Problem | null> {
  const { body, headers } = exchange.request;
  if (body === null || headers.get('Content-Length') === '0') return null;
  return receive(exchange).then((bytes) => {
    if (isProblem(bytes)) return bytes;
    const value = bytes.byteLength === 0 ? {} : parseBody(bytes, nothing);
    return isProblem(value) ? { ...value, detail: `${value.detail} This address takes no body.` } : null;
  });
}

/**
 * Reads the members of an HTML form (WHATWG URL, section 5), each at most once. Others than the known ones are no fault:
 * OAuth has clients send some (RFC 6749, section 3.2).
 *
 * @returns the members, or the problem to answer with: 400, 401, 403, 413 or 415
 */
export async function readForm<Name extends string>(
  exchange: Sent,
  known: readonly Name[],
): Promise<Readonly<Partial<Record<Name, string>>> | Problem> {
  const bytes = await readRawBody(exchange, ['application/x-www-form-urlencoded']);
  if (isProblem(bytes)) return bytes;
  const values: Partial<Record<Name, string>> = {};
  for (const [name, value] of new URLSearchParams(new TextDecoder().decode(bytes))) {
    const match = known.find((candidate) => candidate === name);
    if (match === undefined) continue;
    if (values[match] !== undefined) return invalid(name, 'must be given once');
    values[match] = value;
  }
  return values;
}

/**
 * Reads the bytes of a JSON request body as they came, for whoever has to look at them before they are parsed.
 *
 * @returns the bytes, or the problem to answer with: 400, 401, 403, 413 or 415
 */
export async function readRawBody(
  exchange: Sent,
  mediaTypes: readonly string[] = ['application/json'],
): Promise<Uint8Array<ArrayBuffer> | Problem> {
  const { headers } = exchange.request;
  const mediaProblem = checkCoding(headers) ?? checkMediaType(headers.get('Content-Type'), mediaTypes);
  return mediaProblem ?? receive(exchange);
}

/** Parses the bytes of a JSON body and checks them. @returns the parsed value, or the problem to answer with: 400 */
export function parseBody<Output>(bytes: Uint8Array, schema: z.ZodType<Output>): Output | Problem {
  const parsed = parseJson(bytes);
  return isProblem(parsed) ? parsed : validate(schema, parsed.value);
}

/** Checks a value against a schema. @returns the schema's output, or a problem with a pointer to each fault */
function validate<Output>(schema: z.ZodType<Output>, value: unknown): Output | Problem {
  // Zod forgets the input otherwise, and with it the difference between a missing value and a wrong one.
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap(faultsOf).slice(0, ERRORS_MAX);
  const [first] = errors;
  const detail = first ? `${first.pointer || 'The body'} ${first.message}.` : 'The body is not valid.';
  return { problem: 'invalid', detail: errors.length > 1 ? `${detail} See "errors" for the others.` : detail, errors };
}

function faultsOf(issue: z.core.$ZodIssue): JsonFault[] {
  const pointer = issue.path.map((part) => `/${pointerToken(shortened(String(part)))}`).join('');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      pointer: `${pointer}/${pointerToken(shortened(key))}`,
      message: 'is not a known field; leave it out',
    }));
  }
  if (issue.code === 'invalid_type') {
    return [{ pointer, message: issue.input === undefined ? 'is required' : `must be ${typeName(issue.expected)}` }];
  }
  return [{ pointer, message: issue.message }];
}

/** A type as a person calls it, with its article. */
function typeName(type: string): string {
  if (type === 'record' || type === 'object') return 'a JSON object';
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

/** Compressed bodies are not taken: how large one really is would only be known too late. */
function checkCoding(headers: Headers): Problem | null {
  const coding = headers.get('Content-Encoding');
  if (coding === null || coding.trim().toLowerCase() === 'identity') return null;
  return {
    problem: 'unsupported-media-type',
    detail: 'Send the body as it is, without a Content-Encoding.',
    headers: { 'Accept-Encoding': 'identity' },
  };
}

function checkMediaType(header: string | null, mediaTypes: readonly string[]): Problem | null {
  const [mediaType = '', ...parameters] = (header ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='));
  if (mediaTypes.includes(mediaType) && (charset === undefined || /^charset="?utf-8"?$/.test(charset))) return null;
  return {
    problem: 'unsupported-media-type',
    detail: `Send the body as ${mediaTypes.join(' or ')} in UTF-8 and say so in Content-Type.`,
    headers: { Accept: mediaTypes.join(', ') },
  };
}

const TOO_LARGE: Problem = {
  problem: 'body-too-large',
  detail: `A body has at most ${BODY_MAX_BYTES} bytes. Send less.`,
};

/** Reads a body that will be refused, so that its sender gets to hear why instead of a broken connection. */
async function discard(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  for (let length = 0; length < DISCARD_MAX_BYTES; ) {
    const { done, value } = await reader.read();
    if (done) return;
    length += value.byteLength;
  }
}

const BROKEN_OFF: Problem = {
  problem: 'malformed-body',
  detail: 'The body broke off before its end. Send it again, whole.',
};

/**
 * Reads a body, however long it takes. Holding one open must keep nothing that has ended meanwhile, so whoever took long
 * is asked for again.
 */
async function receive(exchange: Sent): Promise<Uint8Array<ArrayBuffer> | Problem> {
  const { request, principal } = exchange;
  const startedAt = Date.now();
  const bytes = await readBytes(request).catch(() => BROKEN_OFF);
  const elapsedMs = Date.now() - startedAt;
  // A clock that went back says nothing about the time.
  const isQuick = elapsedMs >= 0 && elapsedMs < ASK_AGAIN_MS;
  if (isQuick || principal === undefined || isProblem(bytes)) return bytes;
  return (await refuseEnded(exchange, principal)) ?? bytes;
}

/** Reads a body of bounded size; one without a Content-Length is given up as soon as it is too long. */
async function readBytes(request: Request): Promise<Uint8Array<ArrayBuffer> | Problem> {
  const declared = request.headers.get('Content-Length');
  if (declared !== null && Number(declared) <= BODY_MAX_BYTES) return new Uint8Array(await request.arrayBuffer());
  if (!request.body) return new Uint8Array();
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (declared === null) {
    const { done, value } = await reader.read();
    if (done) return joined(chunks, length);
    length += value.byteLength;
    if (length > BODY_MAX_BYTES) break;
    chunks.push(value);
  }
  await Promise.race([discard(reader), scheduler.wait(DISCARD_MS)]);
  return TOO_LARGE;
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}
