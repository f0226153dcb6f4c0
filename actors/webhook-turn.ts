import type { Envelope } from '../events/envelope.ts';
import type { DeliveryEnd, Webhook } from './webhook.ts';
import type { AttemptCause } from './webhook-attempts.ts';
import type { Lanes } from './webhook-lanes.ts';
import type { AttemptResult } from './webhook-outcome.ts';
import type { DeliveryPorts, Span, Unreadable } from './webhook-ports.ts';
import type { Replays } from './webhook-replays.ts';

/** Events that are read at once, and how long they are gone by: a right that was lost holds from then on. */
export const CHUNK_EVENTS = 20;
export const CHUNK_FRESH_MS = 1_000;
/** How soon events are read again that cannot be read: passing, and not. */
const UNREADABLE_MS = { passing: 60_000, lasting: 10 * 60_000 };
/** Characters of the reason for which a webhook is disabled. */
const DETAIL_MAX = 200;

/** What everything has in common that is sent in one step. */
export interface Turn {
  readonly ports: DeliveryPorts;
  readonly lanes: Lanes;
  readonly replays: Replays;
  /** The webhook as it is now; null when nothing more is to be begun. */
  webhook(): Webhook | null;
  /** @returns null when it was not sent, and is to be sent later */
  sendEvent(text: string, envelope: Envelope, cause: AttemptCause, attempt: number): Promise<AttemptResult | null>;
  /** Has nothing be tried for a while: what is missing is here, not there. */
  standStill(): null;
}

/** When it is tried again to read what cannot be read. */
export function rereadAt({ isPassing }: Unreadable): number {
  return Date.now() + (isPassing ? UNREADABLE_MS.passing : UNREADABLE_MS.lasting);
}

/** Whether a failure was the last one. */
export function endOf(result: AttemptResult, attempts: number, retryAt: number | null): DeliveryEnd | null {
  const detail = (result.error ?? '').slice(0, DETAIL_MAX);
  if (result.outcome === 'gone') return { reason: 'gone', detail };
  return retryAt === null
    ? { reason: 'failing', detail: `${attempts} attempts, the last: ${detail}`.slice(0, DETAIL_MAX) }
    : null;
}

/** Whether an event is of this time, and among those that the webhook gets; that its context is was asked before. */
export function isWanted({ types, actors }: Webhook, { from, to }: Span, { type, actor, time }: Envelope): boolean {
  return (
    (types?.includes(type) ?? true) &&
    (actors?.includes(actor) ?? true) &&
    (from === null || time >= from) &&
    (to === null || time < to)
  );
}
