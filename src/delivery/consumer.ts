import type { DeliveryReport } from '../../actors/outbox.ts';
import { type ChittyOs, chittyOs } from '../chittyos/services.ts';
import type { Env } from '../env.ts';
import { Backlog, type Deliver } from './backlog.ts';
import { messageSchema, type OutgoingEvent } from './cloud-event.ts';
import { isRefusal, reportOf, toChronicle, toDna, writeEntries } from './destinations.ts';
import { dnaRecordFor } from './dna-record.ts';
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
  /** What comes after its messages, when that is delivered as well. */
  readonly backlog: Backlog | null;
}

/**
 * Consumes CONTEXT_OPS_QUEUE: delivers the events of each message to ChittyChronicle and, once the context has a record
 * there, to ChittyDNA, and tells the context's object what arrived. A service that is down is no matter for the queue:
 * the object sends again, later and later. What a service *refuses* is retried a few times and then goes to the dead
 * letters, where somebody has to look at it; other streams go on meanwhile. The two services get what is theirs at the
 * same time, and what one has made of it is reported whatever the other does. What a stream has more than its messages
 * carry is delivered in the background: the queue goes on with the next batch meanwhile.
 */
export async function consumeContextOps(
  batch: MessageBatch,
  env: Env,
  execution: Pick<ExecutionContext, 'waitUntil'>,
): Promise<void> {
  const services = chittyOs(env);
  const readable = (await Promise.all(batch.messages.map((message) => read(message, env)))).filter(
    (message) => message !== null,
  );
  const streams = [...Map.groupBy(readable, ({ events }) => events[0]?.source ?? '')].map(
    ([source, messages]): Stream => {
      const subject = messages[0]?.events[0]?.subject ?? '';
      const reporter = new Reporter(env, { source, subject });
      const last = messages.at(-1)?.events.at(-1);
      return { messages, reporter, backlog: last?.hasmore ? Backlog.begin(env, last, reporter) : null };
    },
  );
  const together = toChronicleTogether(readable, services);
  const chronicle: Deliver = (events) => toChronicle(events, services);
  const dna: Deliver = (events) => {
    const [first] = events;
    return toDna(events, services, async () => (first ? dnaRecordFor(env, first) : null));
  };
  const kept = await Promise.all([
    inParallel(streams, STREAMS_AT_ONCE, async (stream) => inOrder(stream, 'chronicle', chronicle, await together)),
    inParallel(streams, STREAMS_AT_ONCE, (stream) => inOrder(stream, 'dna', dna)),
  ]);
  settle(readable, new Set(kept.flat(2)));
  for (const { backlog, reporter } of streams) {
    if (backlog !== null) execution.waitUntil(backlog.ended().then(() => reporter.complete()));
  }
  await Promise.all(streams.map(({ backlog, reporter }) => backlog ?? reporter.complete()));
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
 * Gives a destination the messages of one stream, one after the other, and none after one that failed; then begins with
 * what comes after them, when there is a backlog.
 *
 * @param delivered what became of messages that it was given already
 * @returns the messages that the queue has to keep: a refused one, and of those that did not arrive the dropped ones,
 * because nobody but the queue sends them again
 */
async function inOrder(
  { messages, reporter, backlog }: Stream,
  name: string,
  deliver: Deliver,
  delivered?: ReadonlyMap<Readable, DeliveryReport>,
): Promise<Readable[]> {
  const kept: Readable[] = [];
  const wanted = messages.filter(({ events }) => isFor(name, events));
  let isHeldUp = false;
  for (const message of wanted) {
    const report: DeliveryReport | null = isHeldUp
      ? null
      : (delivered?.get(message) ?? (await deliver(message.events)));
    isHeldUp ||= report?.failed !== undefined;
    const goesOn = report !== null && !isHeldUp && backlog !== null && message === wanted.at(-1);
    const generation = message.events[0]?.generation;
    const about = { ...(goesOn && { goesOn }), ...(generation !== undefined && { generation }) };
    if (report !== null) reporter.note(name, { ...report, ...about });
    if (goesOn) backlog.follow(name, { ...report, ...about }, deliver);
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
