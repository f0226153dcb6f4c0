import type { Envelope } from '../events/envelope.ts';
import type { DeliveryEnd } from './webhook.ts';
import type { Replay } from './webhook-replays.ts';
import { nextAttemptAt } from './webhook-retry.ts';
import { CHUNK_EVENTS, CHUNK_FRESH_MS, endOf, isWanted, rereadAt, type Turn } from './webhook-turn.ts';

/** Parts of the feed that are looked at for one part of a replay. */
const REPLAY_ROWS = 50;

/** Events of one context that a replay has to send. */
interface Run {
  readonly context: string;
  readonly first: number;
  readonly last: number;
  /** The position of the last. */
  readonly position: number;
}

/** Whether it goes on behind a run: it does not where an event failed, cannot be read, or has to wait. */
type Passed = { readonly goesOn: true } | { readonly goesOn: false; readonly end: DeliveryEnd | null };

const STOPPED: Passed = { goesOn: false, end: null };

/** Sends the next part of a replay. @returns why nothing more is to be sent to anybody, null when more may be */
export async function runReplay(turn: Turn, replay: Replay): Promise<DeliveryEnd | null> {
  const webhook = turn.webhook();
  if (webhook === null) return null;
  const { replays } = turn;
  const part = await turn.ports.news(webhook, replay.position, REPLAY_ROWS, replay);
  for (const { position, context, first, last: end } of part.news) {
    // The last ones may be behind the range.
    const last = end - Math.max(0, position - replay.upTo);
    if (last < first) break;
    const passed = await passRun(turn, replay, { context, first, last, position: position - (end - last) });
    if (!passed.goesOn) return passed.end;
  }
  if (replays.open.includes(replay)) {
    replays.advance(replay, part.isUpToDate ? replay.upTo : Math.min(part.position, replay.upTo));
  }
  return null;
}

/** Sends what is wanted of a run. It stands behind each event that has arrived, so that none is sent again for another. */
async function passRun(turn: Turn, replay: Replay, { context, first, last, position }: Run): Promise<Passed> {
  const { replays } = turn;
  const passTo = (version: number) => replays.advance(replay, position - (last - version));
  const isOpen = () => replays.open.includes(replay);
  let next = first;
  while (next <= last) {
    const webhook = turn.webhook();
    if (webhook === null || !isOpen()) return STOPPED;
    const read = await turn.ports.events(webhook, context, next - 1, Math.min(CHUNK_EVENTS, last - next + 1));
    if (!isOpen()) return STOPPED;
    if (read === null) {
      turn.standStill();
      return STOPPED;
    }
    if ('reason' in read) {
      replays.stand(replay, { context, version: next, reason: read.reason }, rereadAt(read));
      return STOPPED;
    }
    if (read.length === 0) next = last + 1;
    const freshUntil = Date.now() + CHUNK_FRESH_MS;
    for (const text of read) {
      const envelope: Envelope = JSON.parse(text);
      if (isWanted(webhook, replay, envelope)) {
        const attempts = replay.attempts + 1;
        const sent = await turn.sendEvent(text, envelope, 'replay', attempts);
        if (sent === null || !isOpen()) return STOPPED;
        if (sent.outcome !== 'delivered') {
          const retryAt = nextAttemptAt(attempts, sent.retryAfterMs, Date.now());
          replays.fail(replay, retryAt ?? 0);
          return { goesOn: false, end: endOf(sent, attempts, retryAt) };
        }
        passTo(envelope.version);
      }
      next = envelope.version + 1;
      if (Date.now() > freshUntil) break;
    }
    if (isOpen() && replay.position < position - (last - next + 1)) passTo(next - 1);
  }
  return isOpen() ? { goesOn: true } : STOPPED;
}
