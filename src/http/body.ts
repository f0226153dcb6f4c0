import type { z } from 'zod';
import { type JsonFault, pointerToken } from '../../events/json.ts';
import type { Exchange } from './exchange.ts';
import { isProblem, type Problem } from './problem.ts';

/** Bytes of a request body at most. */
export const BODY_MAX_BYTES = 1024 * 1024;

/** Problems that one answer lists at most: enough to mend a request, not so many that the answer is a burden. */
const ERRORS_MAX = 20;

/** A run of digits long enough that the number may have more of them than a double keeps. */
const LONG_NUMBER = /\d{16}/;

/**
 * Reads a JSON request body and checks it.
 *
 * @param mediaTypes the media types that are taken, in lower case
 * @returns the parsed value, or the problem to answer with: 400, 413 or 415
 */
export async function readBody<Output>(
  { request }: Exchange,
  schema: z.ZodType<Output>,
  mediaTypes: readonly string[] = ['application/json'],
): Promise<Output | Problem> {
  const mediaProblem = checkMediaType(request.headers.get('Content-Type'), mediaTypes);
  if (mediaProblem) return mediaProblem;
  const bytes = await readBytes(request);
  if (isProblem(bytes)) return bytes;
  const value = parseJson(bytes);
  if (isProblem(value)) return value;
  return validate(schema, value);
}

/** Checks a value against a schema. @returns the schema's output, or a problem with a pointer to each fault */
export function validate<Output>(schema: z.ZodType<Output>, value: unknown): Output | Problem {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap(faultsOf).slice(0, ERRORS_MAX);
  const [first] = errors;
  const detail = first ? `${first.pointer || 'The body'} ${first.message}.` : 'The body is not valid.';
  return { problem: 'invalid', detail: errors.length > 1 ? `${detail} See "errors" for the others.` : detail, errors };
}

function faultsOf(issue: z.core.$ZodIssue): JsonFault[] {
  const pointer = issue.path.map((part) => `/${pointerToken(String(part))}`).join('');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      pointer: `${pointer}/${pointerToken(key)}`,
      message: 'is not a known field; leave it out',
    }));
  }
  if (issue.code === 'invalid_type') {
    return [{ pointer, message: issue.input === undefined ? 'is required' : `must be ${article(issue.expected)}` }];
  }
  return [{ pointer, message: issue.message }];
}

function article(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
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

/** Reads a body of bounded size; one without a Content-Length is given up as soon as it is too long. */
async function readBytes(request: Request): Promise<ArrayBuffer | Uint8Array | Problem> {
  const declared = request.headers.get('Content-Length');
  if (declared !== null) return Number(declared) > BODY_MAX_BYTES ? TOO_LARGE : request.arrayBuffer();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.byteLength;
    if (length > BODY_MAX_BYTES) return TOO_LARGE;
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

function malformed(detail: string): Problem {
  return { problem: 'malformed-body', detail };
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

function parseJson(bytes: ArrayBuffer | Uint8Array): unknown | Problem {
  if (bytes.byteLength === 0) return malformed('The body is empty. Send a JSON object.');
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return malformed('The body is not UTF-8. JSON is always sent as UTF-8 (RFC 8259).');
  }
  try {
    const value: unknown = JSON.parse(text);
    const lossy = LONG_NUMBER.test(text) ? findLossyNumber(text) : null;
    if (lossy === null) return value;
    return malformed(`The number ${lossy} has more digits than a 64-bit double keeps. Send it as a string.`);
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : 'it cannot be parsed';
    return malformed(`The body is not JSON: ${reason.slice(0, 200)}.`);
  }
}

/** The first integer of a JSON text that would come out as another one, null when there is none. */
function findLossyNumber(text: string): string | null {
  const withoutStrings = text.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  for (const [number] of withoutStrings.matchAll(/(?<![\w.+-])-?\d{16,}(?![\d.eE])/g)) {
    if (BigInt(number) !== BigInt(Number(number))) return number;
  }
  return null;
}
