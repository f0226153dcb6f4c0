import { z } from 'zod';
import { type CallOptions, type Connection, call, type Operation } from './call.ts';
import { isChittyId } from './chitty-id-format.ts';

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
}

const done = z.looseObject({});

const log: Operation<z.infer<typeof done>> = { name: 'log', method: 'POST', answer: done };

const logBatch: Operation<z.infer<typeof done>> = {
  name: 'logBatch',
  method: 'POST',
  answer: done,
  // The service tells entries by their ids and keeps each once.
  isIdempotent: true,
};

const relationships: Operation<z.infer<typeof done>> = {
  name: 'relationships',
  method: 'POST',
  answer: done,
  // The same relationship stated twice is one.
  isIdempotent: true,
};

const items = z.array(z.looseObject({}));

/** Lists have come as a bare array and as an object with one; both become the array. */
const listAnswer = (member: string) =>
  z.union([items, z.looseObject({ [member]: items })]).transform((answer) => {
    return Array.isArray(answer) ? answer : items.parse(answer[member]);
  });

type List = z.infer<typeof items>;

const entries: Operation<List> = { name: 'entries', method: 'GET', answer: listAnswer('entries') };
const timeline: Operation<List> = { name: 'timeline', method: 'GET', answer: listAnswer('entries') };
const history: Operation<List> = { name: 'history', method: 'GET', answer: listAnswer('entries') };

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
      return call(connection, logBatch, { path: ['api', 'entries', 'batch'], body: { entries: batch } }, options);
    },
    /** Reads entries by what they are about. */
    entries({ entityId, eventType, startDate, limit }: EntryQuery, options?: CallOptions) {
      const query = { entityId, eventType, startDate, limit };
      return call(connection, entries, { path: ['api', 'entries'], query }, options);
    },
    /** Reads what happened to an entity, in order. */
    timeline(entityId: string, options?: CallOptions) {
      return call(
        connection,
        timeline,
        { path: ['api', 'timeline', entityId], chittyId: chittyIdOf(entityId) },
        options,
      );
    },
    /** States a relationship. */
    relationships(relationship: Relationship, options?: CallOptions) {
      return call(connection, relationships, { path: ['api', 'relationships'], body: relationship }, options);
    },
    /** Reads everything that is known of an entity: its entries and relationships. */
    history(entityId: string, options?: CallOptions) {
      return call(
        connection,
        history,
        { path: ['api', 'entities', entityId, 'history'], chittyId: chittyIdOf(entityId) },
        options,
      );
    },
  };
}

/** The client of ChittyChronicle. */
export type ChittyChronicleClient = ReturnType<typeof chittyChronicleClient>;
