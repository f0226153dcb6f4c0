import { z } from 'zod';
import { isChittyId } from '../events/chitty-id.ts';
import { sha256Hex } from '../events/hash.ts';
import { findJsonFault, type JsonFault, pointerToken } from '../events/json.ts';
import { invalid, isProblem, type Problem } from './problem.ts';

/** Bytes of a request body at most. */
const BODY_MAX_BYTES = 1024 * 1024;
/** Objects and arrays that may stand inside each other in a body: a batch of events with deep payloads fits. */
const BODY_MAX_DEPTH = 64;
/** Problems that one answer lists at most. */
const ERRORS_MAX = 20;
/** Characters of an Idempotency-Key at most. */
const KEY_MAX = 255;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/**
 * Reads a JSON body and checks it.
 *
 * @param mediaTypes the media types that are taken, in lower case
 * @returns the parsed value, or the problem to answer with: 400, 413 or 415
 */
export async function readBody<Output>(
  request: Request,
  schema: z.ZodType<Output>,
  mediaTypes: readonly string[],
): Promise<Output | Problem> {
  const mediaType = request.headers.get('Content-Type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (!mediaTypes.includes(mediaType)) {
    return { problem: 'unsupported-media-type', detail: `Send the body as ${mediaTypes.join(' or ')}.` };
  }
  const bytes = await readBytes(request);
  if (isProblem(bytes)) return bytes;
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    return { problem: 'malformed-body', detail: 'The body is not JSON in UTF-8.' };
  }
  // Before any schema walks into it: the value may be nested far deeper than the stack allows.
  const fault = findJsonFault(value, BODY_MAX_DEPTH);
  return fault ? invalid(fault.pointer, fault.message) : validate(schema, value);
}

/** Reads a body of bounded size; one that declares no length is given up as soon as it is too long. */
async function readBytes(request: Request): Promise<Uint8Array | Problem> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.byteLength;
    if (length > BODY_MAX_BYTES) {
      return { problem: 'body-too-large', detail: `A body has at most ${BODY_MAX_BYTES} bytes. Send less.` };
    }
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

/** Checks a value against a schema. @returns the schema's output, or a problem with a pointer to each fault */
export function validate<Output>(schema: z.ZodType<Output>, value: unknown): Output | Problem {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap(faultsOf).slice(0, ERRORS_MAX);
  const [first] = errors;
  return {
    problem: 'invalid',
    detail: first ? `${first.pointer || 'The body'} ${first.message}.` : 'Not valid.',
    errors,
  };
}

function faultsOf(issue: z.core.$ZodIssue): JsonFault[] {
  const pointer = issue.path.map((part) => `/${pointerToken(String(part))}`).join('');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ pointer: `${pointer}/${pointerToken(key)}`, message: 'is not a known field' }));
  }
  if (issue.code === 'invalid_type') {
    return [{ pointer, message: issue.input === undefined ? 'is required' : `must be of type ${issue.expected}` }];
  }
  return [{ pointer, message: issue.message }];
}

/** The Idempotency-Key of a request, null when it has none. */
export function idempotencyKey(request: Request): string | null | Problem {
  const key = request.headers.get('Idempotency-Key');
  if (key === null || (/^[\x20-\x7e]+$/.test(key) && key.length <= KEY_MAX)) return key;
  return invalid('Idempotency-Key', `must have 1 to ${KEY_MAX} printable ASCII characters`);
}

/** Whether two secrets are equal, in a time that does not tell where they differ. */
export function equalSecrets(a: string, b: string): boolean {
  return crypto.subtle.timingSafeEqual(encoder.encode(sha256Hex(a)), encoder.encode(sha256Hex(b)));
}

/** A query parameter that is a whole number. */
export const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .refine((number) => number >= min && number <= max, `must be from ${min} to ${max}`);

/** Free-form JSON that a caller attaches to something. */
export const jsonObject = z.record(z.string(), z.json());

/** A ChittyID that is well-formed and has the right check number. */
export const chittyIdText = z.string().refine(isChittyId, 'must be a ChittyID with the right check number');

/** Nothing: the query of a route that takes none. */
export const noQuery = z.strictObject({});

/** Something that is named by its id, or by an object that has it, as other services answer it. */
export const reference = (member: string) =>
  z.union([shortText, z.looseObject({ [member]: shortText }).transform((object) => String(object[member]))], {
    error: `must be an id or an object with "${member}"`,
  });

/** A short text: an id, a name, a type. */
export const shortText = z.string().min(1, 'must not be empty').max(500, 'must have at most 500 characters');

/** A time: ISO 8601 with an offset. It is kept as UTC with milliseconds, so that times sort as texts. */
export const time = z.iso
  .datetime({ offset: true, error: 'must be an ISO 8601 time such as 2026-02-01T12:00:00.000Z' })
  .transform((text) => new Date(text).toISOString());
