import { z } from 'zod';
import { canonicalText } from '../events/canonical.ts';
import { isChittyId } from '../events/chitty-id.ts';
import { sha256Hex } from '../events/hash.ts';
import { derivedId, isId } from '../events/id.ts';
import type { EmbeddedEnv } from './env.ts';
import { chittyIdText, jsonObject, shortText, time, wholeNumber } from './input.ts';
import { bytesOf, PAGE_BYTES } from './page-size.ts';
import { isProblem, notFound, type Problem } from './problem.ts';
import { type Call, get, post, type Route, reply, replyText } from './routing.ts';
import { SqliteObject } from './storage.ts';

/** The prefix of a record's id. */
const DNA_PREFIX = 'dna';
/** Events that one call adds at most. */
const BATCH_MAX = 1_000;
/** Events of a lineage in one answer at most. */
const PAGE_MAX = 1_000;

/** An event, ready to be compared and written. */
interface LineageEvent {
  readonly source: string;
  readonly id: string;
  readonly sequence: number | null;
  /** The hash of what may not differ when the event comes again: all but extension attributes, such as its trace. */
  readonly essence: string;
  /** The event as JSON text. */
  readonly text: string;
}

/** A record without its lineage. */
export interface DnaRecord {
  readonly id: string;
  readonly chittyid: string;
  readonly type: string;
  readonly status: 'active' | 'archived';
  /** Events in its lineage. */
  readonly length: number;
  readonly createdAt: string;
  readonly archivedAt: string | null;
}

/** What an evolution came to. */
interface Evolution {
  readonly accepted: number;
  readonly duplicates: number;
  readonly length: number;
}

/**
 * One record with its lineage: an object of its own, because its events are ordered among themselves and with no
 * others. Its id follows from the ChittyID, so that nobody has to remember which record belongs to whom.
 */
export class ChittyDnaObject extends SqliteObject {
  protected override readonly tables = `
    CREATE TABLE record (
      one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, chittyid TEXT NOT NULL, type TEXT NOT NULL,
      metadata TEXT NOT NULL, genesis TEXT NOT NULL, created_at TEXT NOT NULL, archived_at TEXT
    );
    CREATE TABLE lineage (
      position INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, essence TEXT NOT NULL, event TEXT NOT NULL,
      UNIQUE (source, id)
    );
    CREATE TABLE sources (source TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
  `;

  /** Begins the record, or finds it as it is. */
  initialize(
    id: string,
    { chittyid, type, metadata, genesis }: Genesis,
    now: number,
  ): { record: DnaRecord; isNew: boolean } | Problem {
    return this.write(() => {
      const known = this.#record();
      if (known && known.type !== type) {
        return { problem: 'conflict', detail: `${chittyid} has a record already, of type "${known.type}".` };
      }
      if (known) return { record: known, isNew: false };
      const createdAt = new Date(now).toISOString();
      const insert = 'INSERT INTO record VALUES (1, ?, ?, ?, ?, ?, ?, NULL)';
      this.sql.exec(insert, id, chittyid, type, metadata, genesis, createdAt);
      return { record: { id, chittyid, type, status: 'active', length: 0, createdAt, archivedAt: null }, isNew: true };
    });
  }

  /**
   * Adds events to the end of the lineage: all of them, or none. Those it has are passed over. Of each source the
   * `sequence` must go on without a gap. New events bring an archived record back, as when its subject was restored.
   */
  evolve(events: readonly LineageEvent[]): Evolution | Problem {
    const record = this.describe();
    if (!record) return UNKNOWN;
    return this.write(() => {
      let accepted = 0;
      for (const event of events) {
        const refusal = this.#refuse(event);
        if (refusal === 'duplicate') continue;
        if (refusal) return refusal;
        const { source, id, sequence, essence, text } = event;
        const insert = 'INSERT INTO lineage (source, id, essence, event) VALUES (?, ?, ?, ?)';
        this.sql.exec(insert, source, id, essence, text);
        if (sequence !== null) this.sql.exec('REPLACE INTO sources VALUES (?, ?)', source, sequence);
        accepted++;
      }
      if (accepted > 0 && record.archivedAt !== null) this.sql.exec('UPDATE record SET archived_at = NULL');
      return { accepted, duplicates: events.length - accepted, length: record.length + accepted };
    });
  }

  /**
   * Closes the record.
   *
   * @param upTo the last sequence that the caller knew of; when the source has gone on since, nothing is closed
   */
  archive(upTo: { source: string; sequence: number } | null, now: number): DnaRecord | Problem {
    const record = this.describe();
    if (!record) return UNKNOWN;
    const isOutdated = upTo !== null && this.#sequenceOf(upTo.source) > upTo.sequence;
    if (record.archivedAt !== null || isOutdated) return record;
    const archivedAt = new Date(now).toISOString();
    this.sql.exec('UPDATE record SET archived_at = ?', archivedAt);
    return { ...record, status: 'archived', archivedAt };
  }

  /** The record without its lineage; null when there is none. */
  describe(): DnaRecord | null {
    return this.hasTables ? this.#record() : null;
  }

  /** The record with the events after position `after`, oldest first, as JSON text; null when there is none. */
  read(after: number, limit: number): string | null {
    const record = this.describe();
    if (!record) return null;
    const { metadata, genesis } = this.sql
      .exec<{ metadata: string; genesis: string }>('SELECT metadata, genesis FROM record')
      .one();
    const page: string[] = [];
    let bytes = 0;
    const query = 'SELECT event FROM lineage WHERE position > ? ORDER BY position LIMIT ?';
    for (const { event } of this.sql.exec<{ event: string }>(query, after, limit)) {
      page.push(event);
      bytes += bytesOf(event);
      if (bytes >= PAGE_BYTES) break;
    }
    // Positions have no gap, because nothing is ever taken out of a lineage.
    const reached = after + page.length;
    const next = page.length > 0 && reached < record.length ? reached : null;
    const head = JSON.stringify(record).slice(0, -1);
    return `${head},"metadata":${metadata},"genesis":${genesis},"lineage":[${page.join()}],"nextAfter":${next}}`;
  }

  #refuse({ source, id, sequence, essence }: LineageEvent): Problem | 'duplicate' | null {
    const [known] = this.sql
      .exec<{ essence: string }>('SELECT essence FROM lineage WHERE source = ? AND id = ?', source, id)
      .toArray();
    if (known?.essence === essence) return 'duplicate';
    if (known) return { problem: 'conflict', detail: `The event ${id} of ${source} is there with other content.` };
    if (sequence === null) return null;
    const expected = this.#sequenceOf(source) + 1;
    if (sequence === expected) return null;
    const extensions = { source, expectedSequence: expected, sequence };
    if (sequence < expected) {
      return { problem: 'conflict', detail: `Sequence ${sequence} of ${source} belongs to another event.`, extensions };
    }
    const detail = `Sequence ${expected} of ${source} comes next, not ${sequence}. Send the events in between first.`;
    return { problem: 'sequence-gap', detail, extensions };
  }

  #sequenceOf(source: string): number {
    const [row] = this.sql
      .exec<{ sequence: number }>('SELECT sequence FROM sources WHERE source = ?', source)
      .toArray();
    return row?.sequence ?? 0;
  }

  #record(): DnaRecord | null {
    const [row] = this.sql
      .exec<{
        id: string;
        chittyid: string;
        type: string;
        createdAt: string;
        archivedAt: string | null;
        length: number;
      }>(
        `SELECT id, chittyid, type, created_at AS createdAt, archived_at AS archivedAt,
           (SELECT coalesce(max(position), 0) FROM lineage) AS length FROM record`,
      )
      .toArray();
    if (!row) return null;
    const { id, chittyid, type, length, createdAt, archivedAt } = row;
    return { id, chittyid, type, status: archivedAt === null ? 'active' : 'archived', length, createdAt, archivedAt };
  }
}

const UNKNOWN = notFound('DNA record with this id');

const genesisBody = z
  .strictObject({
    chittyid: chittyIdText,
    type: shortText,
    metadata: jsonObject.default({}),
    genesis: z
      .object({ service: shortText, timestamp: time, genesisSchemaVersion: z.union([shortText, z.number()]) })
      .catchall(z.json()),
  })
  .transform(({ metadata, genesis, ...rest }) => ({
    ...rest,
    metadata: canonicalText(metadata),
    genesis: canonicalText(genesis),
  }));

type Genesis = z.infer<typeof genesisBody>;

/** An event in the JSON format of CloudEvents 1.0; extension attributes are kept as they come. */
const cloudEvent = z
  .object({
    specversion: z.literal('1.0', 'must be "1.0"'),
    id: shortText,
    source: shortText,
    type: shortText,
    subject: z.string().exactOptional(),
    time: z.iso.datetime({ offset: true, error: 'must be an RFC 3339 time' }).exactOptional(),
    // An integer by its meaning; JSON senders write it either way, and it is kept the way it came.
    sequence: z
      .union([z.int().min(1), z.string().regex(/^0*[1-9]\d{0,14}$/)], { error: 'must be a whole number from 1' })
      .exactOptional(),
    data: z.json().exactOptional(),
  })
  .catchall(z.json())
  .transform((event): LineageEvent => {
    const { id, source, type, subject = null, time: at = null, data = null } = event;
    const sequence = event.sequence === undefined ? null : Number(event.sequence);
    const essence = sha256Hex(canonicalText({ type, subject, time: at, sequence, data }));
    return { source, id, sequence, essence, text: JSON.stringify(event) };
  });

const batchBody = z
  .array(cloudEvent, 'must be an array of CloudEvents')
  .max(BATCH_MAX, `must have at most ${BATCH_MAX} events`);

const archiveBody = z
  .strictObject({
    reason: shortText.exactOptional(),
    source: shortText.exactOptional(),
    sequence: z.int().min(0).exactOptional(),
  })
  .refine(
    ({ source, sequence }) => (source === undefined) === (sequence === undefined),
    'needs source and sequence together',
  )
  .transform(({ source, sequence }) => (source === undefined || sequence === undefined ? null : { source, sequence }));

/** The object of a record that is named by its own id or by the ChittyID it belongs to; null for what is neither. */
export function dnaObject(env: EmbeddedEnv, name: string): DurableObjectStub<ChittyDnaObject> | null {
  const id = isChittyId(name) ? derivedId(DNA_PREFIX, name) : name;
  return isId(DNA_PREFIX, id) ? env.CHITTY_DNA.getByName(id) : null;
}

const named = ({ env, params: { id = '' } }: Call) => dnaObject(env, id);

/** ChittyDNA: how everything came to be what it is. */
export const dnaRoutes: readonly Route[] = [
  post('/api/initialize', genesisBody, async ({ env, now }, genesis) => {
    const id = derivedId(DNA_PREFIX, genesis.chittyid);
    const outcome = await env.CHITTY_DNA.getByName(id).initialize(id, genesis, now);
    return isProblem(outcome) ? outcome : replyText(JSON.stringify(outcome.record), outcome.isNew);
  }),
  post(
    '/api/dna/:id/evolve',
    batchBody,
    async (call, events) => {
      const outcome = (await named(call)?.evolve(events)) ?? UNKNOWN;
      return isProblem(outcome) ? outcome : reply(outcome);
    },
    { mediaTypes: ['application/cloudevents-batch+json', 'application/json'] },
  ),
  post('/api/dna/:id/archive', archiveBody, async (call, upTo) => {
    const outcome = (await named(call)?.archive(upTo, call.now)) ?? UNKNOWN;
    return isProblem(outcome) ? outcome : reply(outcome);
  }),
  get(
    '/api/dna/:id',
    z.strictObject({
      after: wholeNumber(0, Number.MAX_SAFE_INTEGER).default(0),
      limit: wholeNumber(1, PAGE_MAX).default(100),
    }),
    async (call, { after, limit }) => {
      const text = await named(call)?.read(after, limit);
      return text === undefined || text === null ? UNKNOWN : { status: 200, text };
    },
  ),
];
