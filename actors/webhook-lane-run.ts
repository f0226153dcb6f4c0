import type { Envelope } from '../events/envelope.ts';
import type { DeliveryEnd } from './webhook.ts';
import type { Lane } from './webhook-lanes.ts';
import { nextAttemptAt } from './webhook-retry.ts';
import { CHUNK_EVENTS, CHUNK_FRESH_MS, endOf, isWanted, rereadAt, type Turn } from './webhook-turn.ts';

/** Sends what is next in a lane. @returns why nothing more is to be sent to anybody, null when more may be */
export async function runLane(turn: Turn, lane: Lane): Promise<DeliveryEnd | null> {
  const { lanes } = turn;
  const webhook = turn.webhook();
  if (webhook === null) return null;
  // What is noted while it reads is not part of what it read.
  const { delivered: after, until } = lane;
  const read = await turn.ports.events(webhook, lane.context, after, Math.min(CHUNK_EVENTS, until - after));
  const isSkipped = () => lane.delivered !== after || !lanes.behind.has(lane.context);
  if (read === null) return turn.standStill();
  if (isSkipped()) return null;
  if ('reason' in read) {
    lanes.stand(lane, read.reason, rereadAt(read));
    return null;
  }
  if (read.length === 0) {
    // What may not be read is not delivered, nor later when it may be read again.
    lanes.advance(lane, until);
    return null;
  }
  const freshUntil = Date.now() + CHUNK_FRESH_MS;
  const span = { from: lanes.progress.begin, to: null };
  let passed = after;
  for (const text of read) {
    const envelope: Envelope = JSON.parse(text);
    if (isWanted(webhook, span, envelope)) {
      if (passed > lane.delivered) lanes.advance(lane, passed);
      const attempts = lane.attempts + 1;
      const sent = await turn.sendEvent(text, envelope, 'event', attempts);
      if (sent === null || !lanes.behind.has(lane.context) || lane.delivered > passed) return null;
      if (sent.outcome !== 'delivered') {
        const retryAt = nextAttemptAt(attempts, sent.retryAfterMs, Date.now());
        lanes.fail(lane, Date.now(), retryAt ?? 0);
        return endOf(sent, attempts, retryAt);
      }
      lanes.advance(lane, envelope.version);
    }
    passed = envelope.version;
    if (Date.now() > freshUntil) break;
  }
  if (passed > lane.delivered) lanes.advance(lane, passed);
  return null;
}
