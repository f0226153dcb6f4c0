import { z } from 'zod';
import type { Json } from '../../events/json.ts';
import { foreignId } from './answer.ts';
import { type CallOptions, type Connection, call, type Operation } from './call.ts';
import { type Receipt, receiptFor } from './receipt.ts';

/** CloudEvents 1.0, JSON batch format. */
const BATCH_MEDIA_TYPE = 'application/cloudevents-batch+json';

/** An event as it is delivered (CloudEvents 1.0, JSON format). */
export interface CloudEvent {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly time?: string;
  readonly subject?: string;
  readonly datacontenttype?: string;
  /** The version of the event in its stream, as decimal digits or a number. */
  readonly sequence?: string | number;
  readonly data?: Json;
  /** Extension attributes. */
  readonly [attribute: string]: Json | undefined;
}

/** What a DNA record begins with. */
export interface InitializeRequest {
  readonly chittyid: string;
  /** Such as `context`. */
  readonly type: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly genesis: { readonly service: string; readonly timestamp: string; readonly genesisSchemaVersion: string };
}

const recordAnswer = z.looseObject({ id: foreignId });

const initialize: Operation<z.infer<typeof recordAnswer>> = {
  name: 'initialize',
  method: 'POST',
  answer: recordAnswer,
  // The service keeps one record for each ChittyID.
  isIdempotent: true,
};

/** Adding events: the answer must account for every one of them, or they are not known to have arrived. */
const evolve = (events: number): Operation<Receipt> => ({
  name: 'evolve',
  method: 'POST',
  answer: receiptFor(events),
  // The service tells events by their ids and takes each once.
  isIdempotent: true,
});

const archiveAnswer = z.looseObject({ id: z.string().min(1), status: z.string() });

const archive: Operation<z.infer<typeof archiveAnswer>> = {
  name: 'archive',
  method: 'POST',
  answer: archiveAnswer,
  isIdempotent: true,
};

const lineageAnswer = z.looseObject({
  id: z.string().min(1),
  chittyid: z.string().optional(),
  status: z.string().optional(),
  lineage: z.array(z.looseObject({})).optional(),
  /** Where the next part of the lineage begins; missing or null at its end. */
  nextAfter: z.union([z.string(), z.int()]).nullish(),
});

const read: Operation<z.infer<typeof lineageAnswer>> = { name: 'read', method: 'GET', answer: lineageAnswer };

/** Which part of a lineage is read: what comes after the `nextAfter` of the part before. */
export interface LineageQuery {
  readonly after?: string | number;
  readonly limit?: number;
}

/** ChittyDNA: the record of how an entity came to be what it is. Everything it does may be repeated. */
export function chittyDnaClient(connection: Connection) {
  return {
    /** Begins the record of an entity, or finds the one it has. */
    initialize(request: InitializeRequest, options?: CallOptions) {
      const { chittyid } = request;
      return call(connection, initialize, { path: ['api', 'initialize'], body: request, chittyId: chittyid }, options);
    },
    /**
     * Adds events to a record, in order. A gap before them is refused with status 409, and `failure.problem` then says
     * which sequence is expected.
     */
    evolve(dnaId: string, events: readonly CloudEvent[], options?: CallOptions) {
      const path = ['api', 'dna', dnaId, 'evolve'];
      return call(connection, evolve(events.length), { path, body: events, mediaType: BATCH_MEDIA_TYPE }, options);
    },
    /** Closes a record. It can still be read. With `upTo`, only if no later event of that source has come. */
    archive(dnaId: string, upTo?: { readonly source: string; readonly sequence: number }, options?: CallOptions) {
      return call(connection, archive, { path: ['api', 'dna', dnaId, 'archive'], body: upTo ?? {} }, options);
    },
    /** Reads a record with its lineage. */
    read(dnaId: string, { after, limit }: LineageQuery = {}, options?: CallOptions) {
      return call(connection, read, { path: ['api', 'dna', dnaId], query: { after, limit } }, options);
    },
  };
}
