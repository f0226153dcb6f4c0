import type { DeliveryReport } from '../../actors/outbox.ts';
import { type ChittyOs, chittyOs } from '../chittyos/services.ts';
import type { Env } from '../env.ts';
import { messageSchema, type OutgoingEvent } from './cloud-event.ts';
import { isRefusal, reportOf, toChronicle, toDna, writeEntries } from './destinations.ts';
import { withData } from './large-events.ts';

/** Streams that are delivered to at the same time. */
const STREAMS_AT_ONCE = 6;
/** Seconds after which a message that a service refuses is given to it once more. */
const POISON_RETRY_S = 10;

/** A message and the events in it. */
interface Readable {
  readonly message: Message;
  readonly events: readonly OutgoingEvent[];
}

/** What became of a message at one destination; null when it is not for it, or has to wait for one before it. */
type Outcome = DeliveryReport | null;

/**
 * Consumes CONTEXT_OPS_QUEUE: delivers the events of each message to ChittyChronicle and, once the context has a record
 * there, to ChittyDNA, and tells the context's object what arrived. A service that is down is no matter for the queue:
 * the object sends again, later and later. What a service *refuses* is retried a few times and then goes to the dead
 * letters, where somebody has to look at it; other streams go on meanwhile.
 */
export async function consumeContextOps(batch: MessageBatch, env: Env): Promise<void> {
  const services = chittyOs(env);
  const readable = (await Promise.all(batch.messages.map((message) => read(message, env)))).filter(
    (message) => message !== null,
  );
  const streams = Map.groupBy(readable, ({ events }) => events[0]?.subject ?? '');
  const together = await toChronicleTogether(readable, services);
  await inParallel([...streams.values()], STREAMS_AT_ONCE, async (messages) => {
    const [chronicle, dna] = await Promise.all([
      inOrder(messages, 'chronicle', async (message) =>
        together.has(message) ? (together.get(message) ?? null) : toChronicle(message.events, services),
      ),
      inOrder(messages, 'dna', ({ events }) => toDna(events, services)),
    ]);
    for (const [index, message] of messages.entries()) {
      await settle(env, message, { chronicle: chronicle[index] ?? null, dna: dna[index] ?? null });
    }
  });
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

/** Gives a destination the messages of one stream, one after the other, and none after one that failed. */
async function inOrder(
  messages: readonly Readable[],
  name: string,
  deliver: (message: Readable) => Promise<Outcome>,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const message of messages) {
    const isHeldUp = outcomes.some((outcome) => outcome?.failed !== undefined);
    outcomes.push(isFor(name, message.events) && !isHeldUp ? await deliver(message) : null);
  }
  return outcomes;
}

function isFor(destination: string, events: readonly OutgoingEvent[]): boolean {
  return events[0]?.deliverto?.split(' ').includes(destination) ?? true;
}

/** Reports a delivery to the object it came from, then lets the message go or keeps it. */
async function settle(
  env: Env,
  { message, events }: Readable,
  outcomes: Readonly<Record<'chronicle' | 'dna', Outcome>>,
): Promise<void> {
  const reports = Object.fromEntries(
    Object.entries(outcomes).flatMap(([name, outcome]) => (outcome ? [[name, outcome] as const] : [])),
  );
  try {
    const subject = events[0]?.subject ?? '';
    await env.CONTEXTS.get(env.CONTEXTS.idFromName(subject)).reportDelivery(reports);
  } catch {
    // The object will send again what it has no report of; every service knows an event it has had.
  }
  const failures = Object.values(reports).filter((report) => report.failed !== undefined);
  // Nobody but the queue sends a dropped message again.
  const isKept = failures.some((report) => report.isRefused) || (failures.length > 0 && isDropped(events));
  if (isKept) message.retry({ delaySeconds: POISON_RETRY_S });
  else message.ack();
}

function isDropped(events: readonly OutgoingEvent[]): boolean {
  return events[0]?.droppedby !== undefined;
}

async function inParallel<Item>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const workers = Array.from({ length: Math.min(limit, items.length) }, async () => {
    for (const item of left) await work(item);
  });
  await Promise.all(workers);
}
