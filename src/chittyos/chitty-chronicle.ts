import { z } from 'zod';
import { isChittyId } from '../../events/chitty-id.ts';
import { type CallOptions, type Connection, call, type Operation } from './call.ts';
import { type Receipt, receiptFor } from './receipt.ts';

/** Something that happened to an entity. */
export interface ChronicleEntry {
  readonly eventType: string;
  readonly entityId: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** ISO 8601, UTC. */
  readonly timestamp: string;
}

/** An entry whose id makes it one, however often it is sent. */
export interface IdentifiedEntry extends ChronicleEntry {
  readonly id: string;
}

/** Which entries are read. */
export interface EntryQuery {
  readonly entityId?: string;
  readonly eventType?: string;
  /** ISO 8601; entries from then on. */
  readonly startDate?: string;
  readonly limit?: number;
}

/** That two entities have to do with each other. */
export interface Relationship {
  readonly from: string;
  readonly to: string;
  /** Such as `uses`. */
  readonly type: string;
  readonly data?: Readonly<Record<string, unknown>>;
  /** ISO 8601, UTC. */
  readonly timestamp?: string;
}

const text = z.string().optional();

const logAnswer = z
  .looseObject({ id: text, entryId: text, success: z.boolean().optional() })
  .refine(({ id, entryId, success }) => Boolean(id ?? entryId ?? success), 'does not say that the entry was written');

const log: Operation<z.infer<typeof logAnswer>> = { name: 'log', method: 'POST', answer: logAnswer };

/** Writing entries: the answer must account for every one of them, or they are not known to have arrived. */
const logBatch = (entries: number): Operation<Receipt> => ({
  name: 'logBatch',
  method: 'POST',
  answer: receiptFor(entries),
  // The service tells entries by their ids and keeps each once.
  isIdempotent: true,
});

const relationshipAnswer = z.looseObject({ id: z.string().min(1) });

const relationships: Operation<z.infer<typeof relationshipAnswer>> = {
  name: 'relationships',
  method: 'POST',
  answer: relationshipAnswer,
  // The same relationship stated twice is one.
  isIdempotent: true,
};

const items = z.array(z.looseObject({}));

const page = z.looseObject({ entries: items, nextAfter: z.union([z.string(), z.int()]).nullish() });

/** Entries, and where the next ones begin; null at the end. Lists have also come as a bare array, which is all there is. */
const pageAnswer = z
  .union([items, page])
  .transform((answer) =>
    Array.isArray(answer)
      ? { entries: answer, nextAfter: null }
      : { entries: answer.entries, nextAfter: answer.nextAfter ?? null },
  );

type Page = z.infer<typeof pageAnswer>;

const entries: Operation<Page> = { name: 'entries', method: 'GET', answer: pageAnswer };
const timeline: Operation<Page> = { name: 'timeline', method: 'GET', answer: pageAnswer };
const history: Operation<Page> = { name: 'history', method: 'GET', answer: pageAnswer };

/** Which part of a list is read: what comes after the `nextAfter` of the part before. */
export interface PageQuery {
  readonly after?: string | number;
  readonly limit?: number;
}

/** What X-ChittyID says of an entity: entities that have no ChittyID are written of as well. */
function chittyIdOf(entityId: string): string | undefined {
  return isChittyId(entityId) ? entityId : undefined;
}

/** ChittyChronicle: the record of everything that happens in ChittyOS. */
export function chittyChronicleClient(connection: Connection) {
  return {
    /** Writes one entry. Repeated only when it carries an Idempotency-Key; `logBatch` may always be repeated. */
    log(entry: ChronicleEntry, options?: CallOptions) {
      return call(
        connection,
        log,
        { path: ['api', 'entries'], body: entry, chittyId: chittyIdOf(entry.entityId) },
        options,
      );
    },
    /** Writes entries, each once for its id. */
    logBatch(batch: readonly IdentifiedEntry[], options?: CallOptions) {
      return call(
        connection,
        logBatch(batch.length),
        { path: ['api', 'entries', 'batch'], body: { entries: batch } },
        options,
      );
    },
    /** Reads entries by what they are about. */
    entries({ entityId, eventType, startDate, limit }: EntryQuery, options?: CallOptions) {
      const query = { entityId, eventType, startDate, limit };
      return call(connection, entries, { path: ['api', 'entries'], query }, options);
    },
    /** Reads what happened to an entity, in the order of its times. */
    timeline(entityId: string, { after, limit }: PageQuery = {}, options?: CallOptions) {
      const request = { path: ['api', 'timeline', entityId], query: { after, limit }, chittyId: chittyIdOf(entityId) };
      return call(connection, timeline, request, options);
    },
    /** States a relationship. */
    relationships(relationship: Relationship, options?: CallOptions) {
      return call(connection, relationships, { path: ['api', 'relationships'], body: relationship }, options);
    },
    /** Reads everything that is known of an entity, its entries and relationships, in the order in which it came. */
    history(entityId: string, { after, limit }: PageQuery = {}, options?: CallOptions) {
      const path = ['api', 'entities', entityId, 'history'];
      return call(connection, history, { path, query: { after, limit }, chittyId: chittyIdOf(entityId) }, options);
    },
  };
}
