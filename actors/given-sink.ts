import type { ActorEvent } from '../events/actor.ts';
import type { Envelope } from '../events/envelope.ts';
import type { ActorState } from './actor.ts';
import { type Recorded, recorded } from './decider.ts';
import type { Sink } from './outbox.ts';

/** The longest that word of a delegation waits because others were sent just before, in milliseconds. */
const INTERVAL_MS = 1_000;

/**
 * The sink that tells actors what was handed to them, so that they find it in their lists.
 *
 * @param tell tells one actor of one delegation; twice does no harm
 */
export function givenSink(
  tell: (to: string, delegation: string, expiresAt: string) => Promise<void>,
): Sink<ActorState> {
  return {
    destinations: ['given'],
    intervalMs: INTERVAL_MS,
    isReady: (_destination, state) => state !== null,
    async deliver({ version, events }) {
      const read = events();
      for (const { text } of read) {
        const event = openEvent(text);
        if (event.type !== 'delegation_granted') continue;
        await tell(event.data.to, event.data.delegation, event.data.expiresAt);
      }
      return { confirmed: read.at(-1)?.version ?? version };
    },
  };
}

function openEvent(text: string): Recorded<ActorEvent> {
  const envelope: Envelope = JSON.parse(text);
  return recorded<ActorEvent>(envelope);
}
