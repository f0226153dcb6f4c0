import type { RefusalCode } from '../../actors/decider.ts';
import type { RefusalReply } from '../../actors/messages.ts';
import type { JsonFault, JsonObject } from '../../events/json.ts';

/** Where the problem types are described; `type` members are this and the code. */
const TYPE_BASE = 'https://connect.chitty.cc/problems/';

/** Every problem type there is (RFC 9457): the status it comes with and its title. */
export const PROBLEMS = {
  'malformed-body': { status: 400, title: 'The body is not JSON' },
  invalid: { status: 400, title: 'The input is not valid' },
  'ahead-of-stream': { status: 400, title: 'The position is beyond the end of the stream' },
  unauthorized: { status: 401, title: 'A valid credential is needed' },
  forbidden: { status: 403, title: 'Not allowed' },
  'insufficient-scope': { status: 403, title: 'The credential is not good for this' },
  'not-found': { status: 404, title: 'Not found' },
  'before-creation': { status: 404, title: 'Not found at that time' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  'not-acceptable': { status: 406, title: 'None of the accepted media types can be had' },
  'already-exists': { status: 409, title: 'It exists already' },
  conflict: { status: 409, title: 'It conflicts with what has happened meanwhile' },
  deleted: { status: 409, title: 'It is deleted' },
  'already-deleted': { status: 409, title: 'It is deleted already' },
  'not-deleted': { status: 409, title: 'It is not deleted' },
  'last-owner': { status: 409, title: 'A context needs an owner' },
  'already-member': { status: 409, title: 'They are a member already' },
  'already-invited': { status: 409, title: 'They are invited already' },
  'invitation-expired': { status: 409, title: 'The invitation has expired' },
  'proposals-only': { status: 409, title: 'This context changes by proposals' },
  'stale-proposal': { status: 409, title: 'The proposal is out of date' },
  'proposal-closed': { status: 409, title: 'The proposal is decided' },
  suspended: { status: 409, title: 'It is suspended' },
  'limit-reached': { status: 409, title: 'There are as many as there can be' },
  'not-connected': { status: 409, title: 'It is not connected' },
  'subject-erased': { status: 409, title: 'Their words were erased here' },
  'already-erased': { status: 409, title: 'They are erased already' },
  'legal-hold': { status: 409, title: 'A legal hold stands' },
  gone: { status: 410, title: 'It was deleted' },
  'version-mismatch': { status: 412, title: 'The version has changed' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'The media type is not supported' },
  'idempotency-key-reused': { status: 422, title: 'The Idempotency-Key belongs to another request' },
  'upgrade-required': { status: 426, title: 'A WebSocket is needed' },
  'quota-exceeded': { status: 429, title: 'Too many requests' },
  'temporary-reduced-capacity': { status: 429, title: 'Less capacity than usual' },
  'too-many-guesses': { status: 429, title: 'Too many wrong credentials' },
  internal: { status: 500, title: 'Something went wrong here' },
  'history-damaged': { status: 500, title: 'Some of the history is missing or altered' },
  'not-configured': { status: 503, title: 'It is not set up here' },
  'not-logged': { status: 503, title: 'It is not in the log yet' },
  'read-model-unavailable': { status: 503, title: 'Lists and search do not answer at the moment' },
  'history-unavailable': { status: 503, title: 'Some of the history does not answer at the moment' },
  overloaded: { status: 503, title: 'Too busy at the moment' },
} as const satisfies Record<string, { status: number; title: string }> & Record<RefusalCode, object>;

/** The last part of a problem's `type`. */
type ProblemCode = keyof typeof PROBLEMS;

/** What a handler returns instead of a response when a request cannot be carried out. */
export interface Problem {
  readonly problem: ProblemCode;
  /** What is wrong with this request and what the caller can do. */
  readonly detail: string;
  readonly errors?: readonly JsonFault[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Members beside the standard ones. */
  readonly extensions?: JsonObject;
  /** What the audit trail is told and the caller is not: it is in no answer. */
  readonly unsaid?: Unsaid;
}

/** What a problem does not say. */
interface Unsaid {
  /** A word with hyphens. */
  readonly reason: string;
  /** What kind of credential was shown, when it was in no header. */
  readonly presented?: string;
  /** `<stream type>/<id>` that it is about, where that is not the one in the path. */
  readonly stream?: string;
}

/** Tells a problem from whatever else an operation can give. */
export function isProblem(value: unknown): value is Problem {
  return typeof value === 'object' && value !== null && 'problem' in value;
}

/** An object's refusal as a problem; with the current ETag where there is a version. */
export function problemOf(refusal: RefusalReply): Problem {
  return {
    problem: refusal.refused,
    detail: refusal.detail,
    ...(refusal.errors && { errors: refusal.errors }),
    ...(refusal.isHidden && {
      unsaid: { reason: 'hidden', ...(refusal.hiddenStream && { stream: refusal.hiddenStream }) },
    }),
    ...(refusal.conflicts && { extensions: { conflicts: refusal.conflicts } }),
    ...(refusal.unreadable && { extensions: { ...refusal.unreadable } }),
    ...(refusal.version > 0 && { headers: { ETag: `"${refusal.version}"` } }),
  };
}

/** A problem with one thing in the input. `pointer` is an RFC 6901 pointer into the body, or names a query parameter or header. */
export function invalid(pointer: string, message: string): Problem {
  return { problem: 'invalid', detail: `${pointer} ${message}.`, errors: [{ pointer, message }] };
}

/** The body of a problem response (RFC 9457). */
export function problemBody(problem: Problem, instance: string): JsonObject {
  const { status, title } = PROBLEMS[problem.problem];
  return {
    type: TYPE_BASE + problem.problem,
    title,
    status,
    detail: problem.detail,
    instance,
    ...(problem.errors && { errors: problem.errors.map(({ pointer, message }) => ({ pointer, message })) }),
    ...problem.extensions,
  };
}
