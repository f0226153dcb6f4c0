import type { DeliveryReport } from '../../actors/outbox.ts';
import { type ChittyOs, chittyOs } from '../chittyos/services.ts';
import type { Env } from '../env.ts';
import { messageSchema, type OutgoingEvent } from './cloud-event.ts';
import { isRefusal, reportOf, toChronicle, toDna, writeEntries } from './destinations.ts';
import { withData } from './large-events.ts';
import { Reporter } from './reporter.ts';

/** Streams that are delivered to at the same time. */
const STREAMS_AT_ONCE = 6;
/** Seconds after which a message that a service refuses is given to it once more. */
const POISON_RETRY_S = 10;

/** A message and the events in it. */
interface Readable {
  readonly message: Message;
  readonly events: readonly OutgoingEvent[];
}

/** The messages of one stream, in order, and who tells its object of them. */
interface Stream {
  readonly messages: readonly Readable[];
  readonly reporter: Reporter;
}

/**
 * Consumes CONTEXT_OPS_QUEUE: delivers the events of each message to ChittyChronicle and, once the context has a record
 * there, to ChittyDNA, and tells the context's object what arrived. A service that is down is no matter for the queue:
 * the object sends again, later and later. What a service *refuses* is retried a few times and then goes to the dead
 * letters, where somebody has to look at it; other streams go on meanwhile. The two services get what is theirs at the
 * same time, and what one has made of it is reported whatever the other does.
 */
export async function consumeContextOps(batch: MessageBatch, env: Env): Promise<void> {
  const services = chittyOs(env);
  const readable = (await Promise.all(batch.messages.map((message) => read(message, env)))).filter(
    (message) => message !== null,
  );
  const streams = [...Map.groupBy(readable, ({ events }) => events[0]?.source ?? '')].map(
    ([source, messages]): Stream => {
      const subject = messages[0]?.events[0]?.subject ?? '';
      return { messages, reporter: new Reporter(env, { source, subject }) };
    },
  );
  const together = toChronicleTogether(readable, services);
  const toOne = {
    async chronicle(message: Readable) {
      return (await together).get(message) ?? toChronicle(message.events, services);
    },
    dna: ({ events }: Readable) => toDna(events, services),
  };
  const kept = await Promise.all([
    inParallel(streams, STREAMS_AT_ONCE, (stream) => inOrder(stream, 'chronicle', toOne.chronicle)),
    inParallel(streams, STREAMS_AT_ONCE, (stream) => inOrder(stream, 'dna', toOne.dna)),
  ]);
  settle(readable, new Set(kept.flat(2)));
  await Promise.all(streams.map(({ reporter }) => reporter.complete()));
}

/** @returns the message, null when it cannot be read, in which case it goes back to the queue */
async function read(message: Message, env: Env): Promise<Readable | null> {
  try {
    return { message, events: await withData(messageSchema.parse(message.body), env) };
  } catch {
    // Not ours or not whole: no retry can mend it, but the dead letters keep it.
    message.retry({ delaySeconds: POISON_RETRY_S });
    return null;
  }
}

/**
 * Writes the events of all streams to ChittyChronicle in common requests.
 *
 * @returns what became of each message; of none when some were refused, so that each has to be tried by itself
 */
async function toChronicleTogether(
  messages: readonly Readable[],
  services: ChittyOs,
): Promise<ReadonlyMap<Readable, DeliveryReport>> {
  const wanted = messages.filter(({ events }) => isFor('chronicle', events) && !isDropped(events));
  const failure =
    wanted.length > 0
      ? await writeEntries(
          wanted.flatMap(({ events }) => events),
          services,
        )
      : null;
  if (failure && isRefusal(failure) && wanted.length > 1) return new Map();
  return new Map(wanted.map((message) => [message, reportOf(message.events, failure)]));
}

/**
 * Gives a destination the messages of one stream, one after the other, and none after one that failed.
 *
 * @returns the messages that the queue has to keep: a refused one, and of those that did not arrive the dropped ones,
 * because nobody but the queue sends them again
 */
async function inOrder(
  { messages, reporter }: Stream,
  name: string,
  deliver: (message: Readable) => Promise<DeliveryReport | null>,
): Promise<Readable[]> {
  const kept: Readable[] = [];
  let isHeldUp = false;
  for (const message of messages.filter(({ events }) => isFor(name, events))) {
    const report: DeliveryReport | null = isHeldUp ? null : await deliver(message);
    if (report !== null) reporter.note(name, report);
    isHeldUp ||= report?.failed !== undefined;
    if (report?.isRefused === true || (isHeldUp && isDropped(message.events))) kept.push(message);
  }
  return kept;
}

function isFor(destination: string, events: readonly OutgoingEvent[]): boolean {
  return events[0]?.deliverto?.split(' ').includes(destination) ?? true;
}

/** Lets the messages go, or has the queue bring them again. */
function settle(messages: readonly Readable[], kept: ReadonlySet<Readable>): void {
  for (const readable of messages) {
    if (kept.has(readable)) readable.message.retry({ delaySeconds: POISON_RETRY_S });
    else readable.message.ack();
  }
}

function isDropped(events: readonly OutgoingEvent[]): boolean {
  return events[0]?.droppedby !== undefined;
}

async function inParallel<Item, Result>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const left = items.values();
  const results: Result[] = [];
  const workers = Array.from({ length: Math.min(limit, items.length) }, async () => {
    for (const item of left) results.push(await work(item));
  });
  await Promise.all(workers);
  return results;
}
