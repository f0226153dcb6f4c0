import type { ActorEvent } from '../events/actor.ts';
import type { Envelope } from '../events/envelope.ts';
import type { ActorState } from './actor.ts';
import { endedBy } from './actor-access.ts';
import { type Recorded, recorded } from './decider.ts';
import type { EndedAccess } from './ended-access.ts';
import type { Sink } from './outbox.ts';
import type { Announcement, Watching } from './watching.ts';

/** The longest that word of an ended credential waits because others were sent just before, in milliseconds. */
const INTERVAL_MS = 1_000;
/** Contexts that are told at the same time, and in one delivery: a request of the platform can make so many calls. */
const AT_ONCE = 50;
const PER_DELIVERY = 500;
/** Contexts that cannot be told until that is taken for trouble of the platform's, in which there is no use in going on. */
const UNTOLD_MAX = 50;

/** Who has to be told, and how far that is. */
type Told = Pick<Watching, 'list' | 'announcement'>;

/**
 * The sink that ends what is open: tells every context where the actor has watched which credentials have ended, and
 * is tried again, as every sink is, until all of them have heard it. One that cannot be told holds up no other. What takes
 * more than one delivery goes on where it stood, whatever happens to the actor meanwhile: that is the next word.
 *
 * @param end tells one context
 */
export function liveSink(
  watching: Told,
  end: (context: string, ended: EndedAccess) => Promise<void>,
): Sink<ActorState> {
  return {
    destinations: ['live'],
    intervalMs: INTERVAL_MS,
    isReady: (_destination, state) => state !== null,
    async deliver({ stream, version, events }) {
      const read = events();
      const [first, newest] = [read[0]?.version ?? version, read.at(-1)?.version ?? version];
      const endedUpTo = (last: number) => {
        const upTo = read.filter((event) => event.version <= last);
        return combined(
          stream.slice(stream.indexOf('/') + 1),
          upTo.map(({ text }) => openEvent(text)),
        );
      };
      const endedByAll = endedUpTo(newest);
      if (endedByAll === null) return { confirmed: newest };
      const kept = underWay(watching, first, newest);
      const word = kept ?? { first, last: newest, context: '', untold: [] };
      const ended = word.last === newest ? endedByAll : endedUpTo(word.last);
      const told = ended && (await tell(watching, word, (context) => end(context, ended)));
      if (told === null) {
        if (kept) watching.announcement = null;
        return { confirmed: word.last };
      }
      watching.announcement = told.word;
      if (told.failure !== null) throw new Error(`${told.word.untold.length} contexts cannot be told: ${told.failure}`);
      return { isUnfinished: true };
    },
  };
}

/** The word that is on its way about the events that come next. When all but few were told, a newer one is for all. */
function underWay(watching: Told, first: number, newest: number): Announcement | null {
  const kept = watching.announcement;
  if (kept?.first !== first || kept.last > newest) return null;
  const isThrough = watching.list(kept.context, 1).length === 0;
  return isThrough && kept.last < newest ? null : kept;
}

/**
 * Goes on telling contexts, as far as one delivery can.
 *
 * @returns how far it came, and why it cannot go on when it cannot; null when all have been told
 */
async function tell(
  watching: Told,
  { first, last, ...start }: Announcement,
  end: (context: string) => Promise<void>,
): Promise<{ readonly word: Announcement; readonly failure: string | null } | null> {
  const reasons: string[] = [];
  const failing = async (contexts: readonly string[]) => {
    const results = await Promise.allSettled(contexts.map(end));
    for (const result of results) if (result.status === 'rejected') reasons.push(String(result.reason));
    return contexts.filter((_, index) => results[index]?.status === 'rejected');
  };
  let { context } = start;
  let untold = await failing(start.untold);
  let isThrough = false;
  for (let told = 0; told < PER_DELIVERY && !isThrough && untold.length < UNTOLD_MAX; told += AT_ONCE) {
    const contexts = watching.list(context, AT_ONCE);
    untold = [...untold, ...(await failing(contexts))];
    context = contexts.at(-1) ?? context;
    isThrough = contexts.length < AT_ONCE;
  }
  if (isThrough && untold.length === 0) return null;
  const isStuck = isThrough || untold.length >= UNTOLD_MAX;
  return { word: { first, last, context, untold }, failure: isStuck ? (reasons[0] ?? '') : null };
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
