import { z } from 'zod';
import { textUpTo } from './text.ts';
import type { Upcasters } from './upcast.ts';

/** The prefix of a connection's id. */
export const CONNECTION_PREFIX = 'con';

/** Characters of a connection's type. */
const TYPE_MAX = 50;
/** Characters of the reason for which a connection fails. */
const REASON_MAX = 500;

/** Seconds without a sign of life after which a connection is idle, at least and at most. */
const IDLE_AFTER_S = { min: 10, max: 86_400 };

/** What a connection is called: words in lower case with `_` or `-` between them. */
export const connectionType = z
  .string()
  .max(TYPE_MAX, `must have at most ${TYPE_MAX} characters`)
  .regex(
    /^[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*$/,
    'must be words of a-z and 0-9 with _ or - between them, like depends_on',
  );

/** Whether it leads from one end to the other, or joins two that are alike. */
export const connectionDirection = z.enum(['directed', 'undirected']);

/** Why a connection fails, in words. */
export const failureReason = textUpTo(REASON_MAX);

/** Seconds without a heartbeat until a connection is idle; null when none are expected of it. */
export const idleAfterSeconds = z.int().min(IDLE_AFTER_S.min).max(IDLE_AFTER_S.max).nullable();

const contextId = z.string().min(1).max(100);
const actorId = z.string().min(1).max(200);

/** What is connected: in every event that begins or ends something, so that it can be understood by itself. */
const ends = { from: contextId, to: contextId, type: connectionType, direction: connectionDirection };

/** Why a connection ended: somebody ended it, nobody gave a sign of life or an answer, or a context was deleted. */
const endReason = z.enum(['requested', 'stale', 'expired', 'context_deleted']);

/** The payload schemas of a connection's events. */
export const connectionEvents = {
  /** Somebody asked for it; also for one that had ended. */
  connection_requested: z.strictObject({ ...ends, idleAfterSeconds }),
  /** Those who may say so for both ends agree. */
  connection_established: z.strictObject({ ...ends, consentedBy: actorId }),
  /** Those of the other end said no. */
  connection_declined: z.strictObject({}),
  /** It was asked for and came to nothing. */
  connection_withdrawn: z.strictObject({ reason: endReason }),
  /** Nothing was heard for too long. `lastHeartbeatAt` is null when nothing ever was. */
  connection_idled: z.strictObject({ lastHeartbeatAt: z.iso.datetime().nullable() }),
  /** It gave a sign of life again. */
  connection_resumed: z.strictObject({}),
  connection_failed: z.strictObject({ reason: failureReason }),
  connection_disconnected: z.strictObject({ ...ends, reason: endReason }),
};

/** What can happen to a connection. */
export type ConnectionEvent = {
  [Type in keyof typeof connectionEvents]: {
    readonly type: Type;
    readonly data: Readonly<z.infer<(typeof connectionEvents)[Type]>>;
  };
}[keyof typeof connectionEvents];

/** No event of a connection has an older form yet. */
export const connectionUpcasters: Upcasters = {};
