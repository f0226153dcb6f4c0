import type { DeliveryReport } from '../../actors/outbox.ts';
import { type Failure, isTurnedAway } from '../chittyos/failure.ts';
import { type ChittyOs, chittyOs } from '../chittyos/services.ts';
import type { Env } from '../env.ts';
import { eventType, messageSchema, type OutgoingEvent, withoutReferences } from './cloud-event.ts';

/** Entries that one request to ChittyChronicle carries. */
const CHRONICLE_BATCH = 200;
/** Streams whose DNA is evolved at the same time. */
const DNA_CONCURRENCY = 6;
/** Seconds after which a message that a service refuses is given to it once more. */
const POISON_RETRY_S = 10;

interface Delivery {
  readonly message: Message;
  readonly events: readonly OutgoingEvent[];
  readonly chronicle: DeliveryReport;
  readonly dna: DeliveryReport | null;
}

/**
 * Consumes CONTEXT_OPS_QUEUE: delivers the events of each message to ChittyChronicle and, once the context has a record
 * there, to ChittyDNA, and tells the context's object what arrived. A service that is down is no matter for the queue:
 * the object sends again, later and later. What a service *refuses* is retried a few times and then goes to the dead
 * letters, where somebody has to look at it; other streams go on meanwhile.
 */
export async function consumeContextOps(batch: MessageBatch, env: Env): Promise<void> {
  const services = chittyOs(env);
  const readable: { message: Message; events: readonly OutgoingEvent[] }[] = [];
  for (const message of batch.messages) {
    const events = messageSchema.safeParse(message.body);
    // Not ours or not whole: no retry can mend it, but the dead letters keep it.
    if (events.success) readable.push({ message, events: events.data });
    else message.retry({ delaySeconds: POISON_RETRY_S });
  }
  const [chronicle, dna] = await Promise.all([
    toChronicle(
      readable.map(({ events }) => events),
      services,
    ),
    inParallel(readable, DNA_CONCURRENCY, ({ events }) => toDna(events, services)),
  ]);
  await Promise.all(
    readable.map(({ message, events }, index) =>
      settle(env, {
        message,
        events,
        chronicle: chronicle[index] ?? { failed: 'not delivered', isRefused: false },
        dna: dna[index] ?? null,
      }),
    ),
  );
}

/** Reports a delivery to the object it came from, then lets the message go or keeps it. */
async function settle(env: Env, { message, events, chronicle, dna }: Delivery): Promise<void> {
  const subject = events[0]?.subject ?? '';
  try {
    const object = env.CONTEXTS.get(env.CONTEXTS.idFromName(subject));
    await object.reportDelivery({ chronicle, ...(dna && { dna }) });
  } catch {
    // The object will send again what it has no report of; every service knows an event it has had.
  }
  const isPoison = [chronicle, dna].some((report) => report !== null && 'failed' in report && report.isRefused);
  if (isPoison) message.retry({ delaySeconds: POISON_RETRY_S });
  else message.ack();
}

/** Writes all messages' events to ChittyChronicle, together when it takes them, one by one when it refuses some. */
async function toChronicle(
  batches: readonly (readonly OutgoingEvent[])[],
  services: ChittyOs,
): Promise<DeliveryReport[]> {
  const all = await writeEntries(batches.flat(), services);
  if (all === null) return batches.map((events) => delivered(events));
  if (all.retryable || batches.length === 1) return batches.map(() => failed(all));
  return Promise.all(
    batches.map(async (events) => {
      const failure = await writeEntries(events, services);
      return failure ? failed(failure) : delivered(events);
    }),
  );
}

/** @returns the failure, null when everything was written */
async function writeEntries(events: readonly OutgoingEvent[], services: ChittyOs): Promise<Failure | null> {
  for (let start = 0; start < events.length; start += CHRONICLE_BATCH) {
    const entries = events.slice(start, start + CHRONICLE_BATCH).map((event) => ({
      id: event.id,
      eventType: eventType(event),
      entityId: event.subject,
      data: withoutReferences(event),
      timestamp: event.time,
    }));
    const written = await services.chronicle.logBatch(entries);
    if (!written.ok) return written.failure;
  }
  for (const event of events) {
    if (eventType(event) !== 'context_identified' || event.chittyid === undefined) continue;
    const relationship = { from: event.subject, to: event.chittyid, type: 'identified_as' };
    const stated = await services.chronicle.relationships(relationship);
    if (!stated.ok) return stated.failure;
  }
  return null;
}

/** Adds one stream's events to its DNA record, and closes the record when the context was deleted. */
async function toDna(events: readonly OutgoingEvent[], services: ChittyOs): Promise<DeliveryReport | null> {
  const dnaId = events[0]?.dnaid;
  if (dnaId === undefined) return null;
  const evolved = await services.dna.evolve(dnaId, events.map(withoutReferences));
  if (!evolved.ok) return failed(evolved.failure);
  const lastTurn = events.map(eventType).findLast((type) => type === 'context_deleted' || type === 'context_restored');
  if (lastTurn === 'context_deleted') {
    const archived = await services.dna.archive(dnaId);
    if (!archived.ok) return failed(archived.failure);
  }
  return delivered(events);
}

function delivered(events: readonly OutgoingEvent[]): DeliveryReport {
  return { delivered: Number(events.at(-1)?.sequence) };
}

/** A refusal is about the events; being turned away is about us, and passes when the token is set right. */
function failed(failure: Failure): DeliveryReport {
  const isRefused = failure.kind === 'status' && !failure.retryable && !isTurnedAway(failure);
  return { failed: `${failure.service}: ${failure.detail}`, isRefused };
}

async function inParallel<Item, Result>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length);
  let next = 0;
  const workers = Array.from({ length: Math.min(limit, items.length) }, async () => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item !== undefined) results[index] = await work(item);
    }
  });
  await Promise.all(workers);
  return results;
}
