import type { JsonFault } from '../events/json.ts';

/** Where the problem types are described; `type` members are this and the code. */
const TYPE_BASE = 'https://embedded.chitty.cc/problems/';

/** Every problem type there is (RFC 9457): the status it comes with and its title. */
const PROBLEMS = {
  'malformed-body': { status: 400, title: 'The body is not JSON' },
  invalid: { status: 400, title: 'The input is not valid' },
  'refresh-refused': { status: 400, title: 'The refresh token is no good' },
  unauthorized: { status: 401, title: 'The service token is needed' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  conflict: { status: 409, title: 'It contradicts what is kept already' },
  'sequence-gap': { status: 409, title: 'An event is missing before this one' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'The media type is not supported' },
  'idempotency-key-reused': { status: 422, title: 'The Idempotency-Key belongs to another request' },
  'not-verified': { status: 422, title: 'Only what was verified can be certified' },
  internal: { status: 500, title: 'Something went wrong here' },
  'injected-fault': { status: 503, title: 'A fault is switched on for this service' },
  'numbers-exhausted': { status: 503, title: 'The numbers of this month are used up' },
} as const satisfies Record<string, { status: number; title: string }>;

/** What a service answers when a request cannot be carried out. Plain data, so that objects can hand it over RPC. */
export interface Problem {
  readonly problem: keyof typeof PROBLEMS;
  /** What is wrong with this request and what the caller can do. */
  readonly detail: string;
  readonly errors?: readonly JsonFault[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Members beside the standard ones. */
  readonly extensions?: Readonly<Record<string, string | number>>;
}

/** Tells a problem from whatever else an operation can give. */
export function isProblem(value: unknown): value is Problem {
  return typeof value === 'object' && value !== null && 'problem' in value;
}

/** A problem with one thing in the input; `pointer` is an RFC 6901 pointer, or names a query parameter or a header. */
export function invalid(pointer: string, message: string): Problem {
  return { problem: 'invalid', detail: `${pointer} ${message}.`, errors: [{ pointer, message }] };
}

/** The problem of something that is not there. */
export function notFound(what: string): Problem {
  return { problem: 'not-found', detail: `There is no ${what}.` };
}

/** The problem of an Idempotency-Key that came with another request before. */
export const KEY_REUSED: Problem = {
  problem: 'idempotency-key-reused',
  detail: 'This Idempotency-Key came with another request before. Use a new key for a new request.',
};

/** A problem as `application/problem+json` (RFC 9457). */
export function problemResponse({ problem, detail, errors, headers, extensions }: Problem, instance: string): Response {
  const { status, title } = PROBLEMS[problem];
  const body = { type: TYPE_BASE + problem, title, status, detail, instance, ...(errors && { errors }), ...extensions };
  return Response.json(body, { status, headers: { ...headers, 'Content-Type': 'application/problem+json' } });
}
