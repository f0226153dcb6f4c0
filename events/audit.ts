import { z } from 'zod';
import { shardOf } from './spread.ts';
import type { Upcasters } from './upcast.ts';

/** Streams of one day, among which callers are spread: one who is refused a thousand times keeps no one else waiting. */
const SHARDS = 16;

const AUDIT_ID = /^\d{8}_\d{2}$/;

/**
 * The id of the stream that keeps what somebody is refused or given to read on one day (UTC), such as `20261124_07`.
 *
 * @param who by which callers are told apart
 */
export function auditStreamId(who: string, now: number): string {
  const day = new Date(now).toISOString().slice(0, 10).replaceAll('-', '');
  return `${day}_${String(shardOf(who, SHARDS)).padStart(2, '0')}`;
}

/** Tells whether a text is the id of such a stream. */
export function isAuditStreamId(text: string): boolean {
  return AUDIT_ID.test(text);
}

/** A word with hyphens: a reason, a kind. Nothing that a caller wrote gets past this by being long or odd. */
const word = z.string().regex(/^[a-zA-Z][a-zA-Z0-9.-]{0,63}$/);

/** What a request was about. All of it is ours: no path, query, header or body of a caller is in it. */
const request = {
  /** The operation of the API document. */
  operation: word,
  /** What it is called where it is decided who may do it (actors/access.ts). */
  action: word,
  /** The stream that it was about; null when it was about none, or about nothing that can be there. */
  stream: z
    .string()
    .regex(/^[a-z_]+\/[A-Za-z0-9_]{1,100}$/)
    .nullable(),
  /** What kind of credential was shown; `none` when it was none. */
  presented: word,
  /** The delegations by which the rights came to the actor, that of the subject first. */
  chain: z.array(z.string().regex(/^dlg_[0-9A-Z_]+$/)).max(10),
};

/** The payload schemas of the events that tell of what is no change. */
export const auditEvents = {
  /** Somebody was refused something. The answer did not say all of why. */
  access_refused: z.strictObject({
    ...request,
    status: z.int(),
    reason: word,
    policy: word.nullable(),
    /** Where the input was wrong: fields of a body (`/owner`), parameters, headers. Left out when nowhere. */
    fields: z
      .array(z.string().regex(/^\/?[a-zA-Z][\w-]{0,63}$/))
      .max(20)
      .exactOptional(),
  }),
  /** One caller was refused so much that some of it was only counted: so many times more since then. */
  refusals_counted: z.strictObject({ count: z.int().min(1), since: z.iso.datetime({ precision: 3 }) }),
  /** Somebody was given something to read that not everybody is. Recorded before it was given. */
  sensitive_read: z.strictObject({ ...request, reason: word }),
  /** An administrator had something done to a stream that no event of its own tells of. Recorded before it was done. */
  administered: z.strictObject({ ...request, reason: word }),
};

/** What can stand in an audit stream. */
export type AuditEvent = {
  [Type in keyof typeof auditEvents]: {
    readonly type: Type;
    readonly data: Readonly<z.infer<(typeof auditEvents)[Type]>>;
  };
}[keyof typeof auditEvents];

/** No event has an older form yet. */
export const auditUpcasters: Upcasters = {};
