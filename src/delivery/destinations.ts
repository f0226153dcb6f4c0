import { z } from 'zod';
import type { DeliveryReport } from '../../actors/outbox.ts';
import type { CallOptions } from '../chittyos/call.ts';
import type { Relationship } from '../chittyos/chitty-chronicle.ts';
import type { InitializeRequest } from '../chittyos/chitty-dna.ts';
import { type Failure, isTurnedAway } from '../chittyos/failure.ts';
import type { ChittyOs } from '../chittyos/services.ts';
import { traceparentOf } from '../trace.ts';
import { eventType, type OutgoingEvent, skipped, withoutReferences } from './cloud-event.ts';

/** Entries that one request to ChittyChronicle carries. */
const CHRONICLE_BATCH = 200;
/** Characters of events in one request: services take bodies of 1 MiB, and a character may be three bytes. */
const REQUEST_CHARS = 300_000;

/**
 * How long one request may take with its repetitions. A queue batch is held for as long, so a service that hangs is given
 * up soon: the object sends again anyway.
 */
const PATIENCE = { budgetMs: 5_000 };

/** How a call about events is made. It can belong to one trace: that of the first of them; each event says what its own is. */
function about([first]: readonly OutgoingEvent[]): CallOptions {
  return { ...PATIENCE, ...(first && { traceparent: traceparentOf(first.correlationid) }) };
}

type Send = (events: readonly OutgoingEvent[]) => Promise<Failure | null>;

/** The events by which something gets a ChittyID. */
const IDENTIFICATIONS = ['context_identified', 'actor_identified'];

const identified = z.looseObject({ chittyId: z.string() });

const connected = z.looseObject({ from: z.string(), to: z.string(), type: z.string(), direction: z.string() });

/** What ChittyDNA says of events that cannot be taken because others are missing before them. */
const gap = z.looseObject({ expectedSequence: z.int().min(1) });

/**
 * Writes events to ChittyChronicle, and the relationships that follow from them.
 *
 * @returns the failure, null when everything was written
 */
export async function writeEntries(events: readonly OutgoingEvent[], services: ChittyOs): Promise<Failure | null> {
  for (const part of parts(events.map(withoutReferences))) {
    const entries = part.map((event) => ({
      id: event.id,
      eventType: eventType(event),
      entityId: event.subject,
      data: { ...event },
      timestamp: event.time,
    }));
    const written = await services.chronicle.logBatch(entries, about(part));
    if (!written.ok) return written.failure;
  }
  for (const event of events) {
    const relationship = relationshipIn(event);
    if (relationship === null) continue;
    const stated = await services.chronicle.relationships(relationship, about([event]));
    if (!stated.ok) return stated.failure;
  }
  return null;
}

/**
 * The relationship that begins with an event, or ends: ChittyChronicle keeps what it was told once, so that an end is a
 * relationship as well.
 */
function relationshipIn(event: OutgoingEvent): Relationship | null {
  const type = eventType(event);
  if (IDENTIFICATIONS.includes(type)) {
    const identity = identified.safeParse(event.data);
    return identity.success ? { from: event.subject, to: identity.data.chittyId, type: 'identified_as' } : null;
  }
  if (type !== 'connection_established' && type !== 'connection_disconnected') return null;
  const ends = connected.safeParse(event.data);
  if (!ends.success) return null;
  const { from, to, direction } = ends.data;
  return {
    from,
    to,
    type: type === 'connection_established' ? ends.data.type : `no_longer_${ends.data.type}`,
    data: { connection: event.subject, direction },
    timestamp: event.time,
  };
}

/** Writes one message's events to ChittyChronicle. */
export function toChronicle(events: readonly OutgoingEvent[], services: ChittyOs): Promise<DeliveryReport> {
  return deliver(events, (some) => writeEntries(some, services));
}

/**
 * Adds one message's events to the stream's DNA record, and closes the record when the context is deleted. A record that
 * the service has lost is begun anew, and then all of the stream is missing there.
 *
 * @param beginning what the record began with; null when that is not known
 */
export async function toDna(
  events: readonly OutgoingEvent[],
  services: ChittyOs,
  beginning: () => Promise<InitializeRequest | null>,
): Promise<DeliveryReport | null> {
  const [first] = events;
  const dnaId = first?.dnaid;
  if (dnaId === undefined) return null;
  let isUnknown = false;
  const report = await deliver(events, async (some) => {
    for (const part of parts(some.map(withoutReferences))) {
      const evolved = await services.dna.evolve(dnaId, part, about(part));
      if (evolved.ok) continue;
      isUnknown = evolved.failure.status === 404;
      return evolved.failure;
    }
    return null;
  });
  if (isUnknown && (await isBegunAnew(dnaId, services, beginning, about(events)))) {
    return { ...report, isRefused: false, ...(report.first > 1 && { missingFrom: 1 }) };
  }
  // Not by the deletion itself: whatever comes after it, such as a step of provisioning, opens the record again.
  if (report.failed !== undefined || events.at(-1)?.isdeleted !== true) return report;
  // Unless the stream has gone on since: a message that comes late must not close a record that was opened again.
  const upTo = { source: first?.source ?? '', sequence: report.last };
  const archived = await services.dna.archive(dnaId, upTo, about(events.slice(-1)));
  return archived.ok ? report : failed(events, archived.failure);
}

/** Begins a record again. @returns false when the service will not, or makes another one of it */
async function isBegunAnew(
  dnaId: string,
  services: ChittyOs,
  beginning: () => Promise<InitializeRequest | null>,
  options: CallOptions,
): Promise<boolean> {
  const request = await beginning().catch(() => null);
  const begun = request && (await services.dna.initialize(request, options));
  return begun?.ok === true && begun.value.id === dnaId;
}

/** What became of a delivery. A refusal is about the events; being turned away is about us, and passes. */
export function reportOf(events: readonly OutgoingEvent[], failure: Failure | null): DeliveryReport {
  return failure === null ? range(events) : failed(events, failure);
}

/**
 * Whether a service will not take these events, whoever brings them and however often. A redirect, or any other answer
 * below 400, says nothing of them: it is a fault of the service.
 */
export function isRefusal(failure: Failure): boolean {
  const { kind, status = 0, retryable } = failure;
  return kind === 'status' && status >= 400 && !retryable && !isTurnedAway(failure);
}

/**
 * Delivers events. Of those that somebody has dropped, each that is refused again is put down as skipped; where the
 * service has something in its place already, such as the mark of another drop, there is nothing left to do for it.
 */
async function deliver(events: readonly OutgoingEvent[], send: Send): Promise<DeliveryReport> {
  const failure = await send(events);
  const droppedBy = events[0]?.droppedby;
  const report = reportOf(events, failure);
  if (report.isRefused !== true || droppedBy === undefined) return report;
  for (const event of events) {
    const single = await send([event]);
    const outcome = single && isRefusal(single) ? await send([skipped(event, droppedBy)]) : single;
    if (outcome && !isPlaceTaken(event, outcome)) return failed(events, outcome);
  }
  return range(events);
}

function failed(events: readonly OutgoingEvent[], failure: Failure): DeliveryReport {
  const missingFrom = missingBefore(events, failure);
  return {
    ...range(events),
    failed: `${failure.service}: ${failure.detail}`,
    isRefused: isRefusal(failure) && missingFrom === null,
    ...(missingFrom !== null && { missingFrom }),
  };
}

/** Whether a service will not take an event because it holds another in its place, with none missing before it. */
function isPlaceTaken(event: OutgoingEvent, failure: Failure): boolean {
  return failure.status === 409 && isRefusal(failure) && missingBefore([event], failure) === null;
}

/** The first version that a service says it has not got, when it lies before these events. */
function missingBefore(events: readonly OutgoingEvent[], { status, problem }: Failure): number | null {
  const said = status === 409 ? gap.safeParse(problem).data?.expectedSequence : undefined;
  return said !== undefined && said < range(events).first ? said : null;
}

function range(events: readonly OutgoingEvent[]): DeliveryReport {
  return { first: Number(events[0]?.sequence), last: Number(events.at(-1)?.sequence) };
}

/** Events in such numbers and lengths as one request takes, in their order. */
function parts(events: readonly OutgoingEvent[]): OutgoingEvent[][] {
  const all: OutgoingEvent[][] = [];
  let chars = Number.POSITIVE_INFINITY;
  for (const event of events) {
    const length = JSON.stringify(event).length;
    const last = all.at(-1);
    if (last && last.length < CHRONICLE_BATCH && chars + length <= REQUEST_CHARS) {
      last.push(event);
      chars += length;
    } else {
      all.push([event]);
      chars = length;
    }
  }
  return all;
}
