import type { CommandReply, CommandRequest } from '../../actors/messages.ts';
import { canonicalText } from '../../events/canonical.ts';
import { sha256Hex } from '../../events/hash.ts';
import { etag, readIdempotencyKey, readIfMatch } from './conditions.ts';
import type { AuthenticatedExchange } from './exchange.ts';
import { isProblem, type Problem } from './problem.ts';

/** What is the same of every change, whatever it changes: its conditions, its waiting, the headers of its answer. */

/** The destination that lists and search read from. */
const READ_MODEL = 'd1';

/** What the headers of a change ask of its object. */
export interface Conditions {
  readonly key?: string | undefined;
  readonly expectedVersions?: readonly number[] | undefined;
}

/** A reply, and for how many seconds the caller was made to wait as asked, when the change became visible in that time. */
export type Done = CommandReply & { readonly waited?: number };

/** Reads If-Match and Idempotency-Key. */
export function readConditions(headers: Headers): Conditions | Problem {
  const expectedVersions = readIfMatch(headers);
  if (isProblem(expectedVersions)) return expectedVersions;
  const key = readIdempotencyKey(headers);
  return isProblem(key) ? key : { expectedVersions, key };
}

/** The conditions as an object takes them. A key is the caller's own: two callers may choose the same. */
export function conditionsOf(
  { principal }: AuthenticatedExchange,
  command: object,
  { key, expectedVersions }: Conditions,
): Pick<CommandRequest<unknown>, 'expectedVersions' | 'idempotency'> {
  return {
    ...(expectedVersions && { expectedVersions }),
    ...(key !== undefined && {
      idempotency: { key: `${principal.actor} ${key}`, fingerprint: sha256Hex(canonicalText({ ...command })) },
    }),
  };
}

/**
 * Waits until a change is visible in lists and search, when its caller asked for that.
 *
 * @param wait seconds at most; undefined not to wait
 */
export async function whenVisible(
  object: { whenDelivered(destination: string, version: number, timeoutMs: number): Promise<boolean> },
  reply: CommandReply,
  wait: number | undefined,
): Promise<Done> {
  if (wait === undefined) return reply;
  const isVisible = await object.whenDelivered(READ_MODEL, reply.version, wait * 1000);
  return isVisible ? { ...reply, waited: wait } : reply;
}

/** The headers that tell of a change. */
export function headersOf({ version, replayed, waited }: Done): Record<string, string> {
  return {
    ETag: etag(version),
    ...(replayed && { 'Idempotent-Replayed': 'true' }),
    ...(waited !== undefined && { 'Preference-Applied': `wait=${waited}` }),
  };
}
