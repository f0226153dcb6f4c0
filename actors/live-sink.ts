import type { ActorEvent } from '../events/actor.ts';
import type { Envelope } from '../events/envelope.ts';
import type { ActorState } from './actor.ts';
import { endedBy } from './actor-access.ts';
import { type Recorded, recorded } from './decider.ts';
import type { EndedAccess } from './ended-access.ts';
import type { Sink } from './outbox.ts';
import type { Watching } from './watching.ts';

/** The longest that word of an ended credential waits because others were sent just before, in milliseconds. */
const INTERVAL_MS = 1_000;
/** Contexts that are told at the same time, and in one delivery: a request of the platform can make so many calls. */
const AT_ONCE = 50;
const PER_DELIVERY = 500;

/**
 * The sink that ends what is open: tells every context where the actor has watched which credentials have ended, and
 * is tried again, as every sink is, until all of them have heard it.
 *
 * @param end tells one context
 */
export function liveSink(
  watching: Pick<Watching, 'list'>,
  end: (context: string, ended: EndedAccess) => Promise<void>,
): Sink<ActorState> {
  /** How far an announcement came that was too long for one delivery. */
  let reached = { version: 0, context: '' };
  return {
    destinations: ['live'],
    intervalMs: INTERVAL_MS,
    isReady: (_destination, state) => state !== null,
    async deliver({ stream, version, events }) {
      const read = events();
      const last = read.at(-1)?.version ?? version;
      const ended = combined(
        stream.slice(stream.indexOf('/') + 1),
        read.map(({ text }) => openEvent(text)),
      );
      if (ended === null) return { confirmed: last };
      if (reached.version !== last) reached = { version: last, context: '' };
      for (let told = 0; told < PER_DELIVERY; told += AT_ONCE) {
        const contexts = watching.list(reached.context, AT_ONCE);
        await Promise.all(contexts.map((context) => end(context, ended)));
        if (contexts.length < AT_ONCE) return { confirmed: last };
        reached = { version: last, context: contexts.at(-1) ?? '' };
      }
      throw new Error('there are more contexts to tell');
    },
  };
}

function openEvent(text: string): Recorded<ActorEvent> {
  const envelope: Envelope = JSON.parse(text);
  return recorded<ActorEvent>(envelope);
}

/** Everything that some events put an end to; null when they leave all as it was. */
function combined(actor: string, events: readonly ActorEvent[]): EndedAccess | null {
  const ends = events.map((event) => endedBy(actor, event)).filter((ended) => ended !== null);
  if (ends.length === 0) return null;
  return {
    actors: ends.flatMap(({ actors = [] }) => actors),
    credentials: ends.flatMap(({ credentials = [] }) => credentials),
    delegations: ends.flatMap(({ delegations = [] }) => delegations),
  };
}
