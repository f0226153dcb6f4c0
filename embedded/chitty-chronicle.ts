import { z } from 'zod';
import { canonicalText } from '../events/canonical.ts';
import { sha256Hex } from '../events/hash.ts';
import { derivedId, newId } from '../events/id.ts';
import { jsonObject, shortText, time, wholeNumber } from './input.ts';
import { cutToPage, type Listed, listingQuery, mergePages } from './listing.ts';
import { bytesOf, PAGE_BYTES } from './page-size.ts';
import { isProblem, type Problem } from './problem.ts';
import { type Answer, type Call, get, post, type Route, reply, replyText } from './routing.ts';
import { allPartitions, partition, partitionName, SqliteObject } from './storage.ts';

/** The prefix of the ids of entries that came without one. */
const ENTRY_PREFIX = 'ent';
/** Entries that one call writes at most. */
const BATCH_MAX = 1_000;
/** Records in one answer at most. */
const PAGE_MAX = 1_000;
/** Records in one answer when the caller does not say. */
const PAGE_DEFAULT = 100;

/** Something to be recorded of an entity: an entry, or one side of a relationship. */
interface ChronicleRecord {
  readonly entity: string;
  /** Unique within the entity; what comes again with it is the same record. */
  readonly id: string;
  /** Null for a relationship. */
  readonly eventType: string | null;
  /** ISO 8601, UTC, with milliseconds. */
  readonly timestamp: string;
  /** The record as JSON text. */
  readonly text: string;
}

/** A record as it is read, with its place in its entity's history: 1, 2, 3 … */
interface StoredRecord {
  readonly number: number;
  readonly timestamp: string;
  readonly text: string;
}

/** Which entries are asked for. */
export interface EntryFilter {
  readonly entityId: string | null;
  readonly eventType: string | null;
  readonly startDate: string | null;
  readonly endDate: string | null;
  readonly limit: number;
}

/**
 * Entities are spread over partitions; everything about one entity is in one of them, in the order in which it came.
 * That order, the timeline and idempotency are matters of one entity, so each write is one turn of one object. What is
 * asked across entities goes to all partitions, and their answers are merged: there is no second copy that could
 * disagree, and nothing more to write for each entry.
 */
export class ChittyChronicleObject extends SqliteObject {
  protected override readonly tables = `
    CREATE TABLE records (
      entity TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, event_type TEXT, timestamp TEXT NOT NULL,
      record TEXT NOT NULL, PRIMARY KEY (entity, number)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX records_by_id ON records (entity, id);
    CREATE INDEX records_by_time ON records (timestamp);
  `;

  /** Writes records after those that their entities have: all of them, or none. Those it has are passed over. */
  record(records: readonly ChronicleRecord[]): { accepted: number; duplicates: number } | Problem {
    return this.write(() => {
      let accepted = 0;
      for (const { entity, id, eventType, timestamp, text } of records) {
        const [known] = this.sql
          .exec<{ record: string }>('SELECT record FROM records WHERE entity = ? AND id = ?', entity, id)
          .toArray();
        // A relationship's id is made of what it says; whatever else came with it, it is the same one.
        if (known && known.record !== text && eventType !== null) {
          return { problem: 'conflict', detail: `The entry ${id} of ${entity} is there with other content.` };
        }
        if (known) continue;
        this.sql.exec(
          `INSERT INTO records (entity, number, id, event_type, timestamp, record)
           VALUES (?1, (SELECT coalesce(max(number), 0) + 1 FROM records WHERE entity = ?1), ?2, ?3, ?4, ?5)`,
          entity,
          id,
          eventType,
          timestamp,
          text,
        );
        accepted++;
      }
      return { accepted, duplicates: records.length - accepted };
    });
  }

  /** A record that an entity has. */
  kept(entity: string, id: string): Pick<StoredRecord, 'timestamp' | 'text'> {
    const query = 'SELECT timestamp, record AS text FROM records WHERE entity = ? AND id = ?';
    return this.sql.exec<{ timestamp: string; text: string }>(query, entity, id).one();
  }

  /** Entries that fit, newest first. */
  entries({ entityId, eventType, startDate, endDate, limit }: EntryFilter): StoredRecord[] {
    const where = `event_type IS NOT NULL AND (?1 IS NULL OR entity = ?1) AND (?2 IS NULL OR event_type = ?2)
      AND (?3 IS NULL OR timestamp >= ?3) AND (?4 IS NULL OR timestamp <= ?4)
      ORDER BY timestamp DESC, number DESC LIMIT ?5`;
    return this.#page(where, entityId, eventType, startDate, endDate, limit);
  }

  /** An entity's entries by their own time, after a place in that order. */
  timeline(entity: string, after: { timestamp: string; number: number }, limit: number): StoredRecord[] {
    const where = `entity = ? AND event_type IS NOT NULL AND (timestamp, number) > (?, ?)
      ORDER BY timestamp, number LIMIT ?`;
    return this.#page(where, entity, after.timestamp, after.number, limit);
  }

  /** All that was recorded of an entity, in the order in which it came. */
  history(entity: string, after: number, limit: number): StoredRecord[] {
    return this.#page('entity = ? AND number > ? ORDER BY number LIMIT ?', entity, after, limit);
  }

  /** The entities that anything was recorded of, in the order of their names, with how much it was. */
  entities(after: string, limit: number): Listed[] {
    if (!this.hasTables) return [];
    const query = `SELECT entity AS key, json_object('entityId', entity, 'entries', count(event_type),
        'relationships', count(*) - count(event_type)) AS text
      FROM records WHERE entity > ? GROUP BY entity ORDER BY entity LIMIT ?`;
    return cutToPage(this.sql.exec<{ key: string; text: string }>(query, after, limit), limit).page;
  }

  #page(where: string, ...bindings: (string | number | null)[]): StoredRecord[] {
    if (!this.hasTables) return [];
    const page: StoredRecord[] = [];
    let bytes = 0;
    const query = `SELECT number, timestamp, record AS text FROM records WHERE ${where}`;
    for (const row of this.sql.exec<{ number: number; timestamp: string; text: string }>(query, ...bindings)) {
      page.push(row);
      bytes += bytesOf(row.text);
      if (bytes >= PAGE_BYTES) break;
    }
    return page;
  }
}

const entryBody = z.strictObject({
  id: shortText.exactOptional(),
  eventType: shortText,
  entityId: shortText,
  data: jsonObject.default({}),
  timestamp: time,
});

type Entry = z.infer<typeof entryBody>;

/** Batches have come as a bare array and as an object with one. */
const batchBody = z.preprocess(
  (body) => (Array.isArray(body) ? { entries: body } : body),
  z.strictObject({
    entries: z.array(entryBody.required({ id: true })).max(BATCH_MAX, `must have at most ${BATCH_MAX} entries`),
  }),
);

const relationshipBody = z.strictObject({
  from: shortText,
  to: shortText,
  type: shortText,
  data: jsonObject.default({}),
  timestamp: time.exactOptional(),
});

const page = { limit: wholeNumber(1, PAGE_MAX).default(PAGE_DEFAULT) };

const entriesQuery = z.strictObject({
  entityId: shortText.nullable().default(null),
  eventType: shortText.nullable().default(null),
  startDate: time.nullable().default(null),
  endDate: time.nullable().default(null),
  ...page,
});

const timelineQuery = z.strictObject({
  after: z
    .string()
    .regex(/^[\d:.TZ-]{24}_\d{1,15}$/, 'must be the nextAfter of an earlier answer')
    .default('_0')
    .transform((cursor) => {
      const [timestamp = '', number = ''] = cursor.split('_');
      return { timestamp, number: Number(number) };
    }),
  ...page,
});

const historyQuery = z.strictObject({ after: wholeNumber(0, Number.MAX_SAFE_INTEGER).default(0), ...page });

function recordOf({ eventType, entityId, data, timestamp }: Entry, id: string): ChronicleRecord {
  const text = canonicalText({ id, kind: 'entry', eventType, entityId, timestamp, data });
  return { entity: entityId, id, eventType, timestamp, text };
}

async function log({ env, idempotencyKey, now }: Call, entry: Entry): Promise<Answer> {
  const id = entry.id ?? (idempotencyKey === null ? newId(ENTRY_PREFIX, now) : derivedId(ENTRY_PREFIX, idempotencyKey));
  const record = recordOf(entry, id);
  const outcome = await partition(env.CHITTY_CHRONICLE, record.entity).record([record]);
  return isProblem(outcome) ? outcome : replyText(record.text, outcome.accepted === 1);
}

/** Writes a batch partition by partition. When one refuses, others may have written: sending it again does no harm. */
async function logBatch({ env }: Call, entries: readonly (Entry & { id: string })[]): Promise<Answer> {
  const groups = new Map<string, ChronicleRecord[]>();
  for (const entry of entries) {
    const name = partitionName(entry.entityId);
    const group = groups.get(name) ?? [];
    group.push(recordOf(entry, entry.id));
    groups.set(name, group);
  }
  const outcomes = await Promise.all(
    [...groups].map(([name, records]) => env.CHITTY_CHRONICLE.getByName(name).record(records)),
  );
  let [accepted, duplicates] = [0, 0];
  for (const outcome of outcomes) {
    if (isProblem(outcome)) return outcome;
    accepted += outcome.accepted;
    duplicates += outcome.duplicates;
  }
  return reply({ accepted, duplicates });
}

/**
 * Records a relationship with both its ends. The same one again is the one that is there. One that is stated with a time,
 * or with the connection that it comes of, is the same only with these: what ends and begins again is another one.
 */
async function relate({ env, now }: Call, { from, to, type, data, timestamp }: z.infer<typeof relationshipBody>) {
  const { connection } = data;
  const essence = {
    from,
    to,
    type,
    ...(timestamp !== undefined && { timestamp }),
    ...(connection !== undefined && { connection }),
  };
  const id = `rel_${sha256Hex(canonicalText(essence))}`;
  const at = timestamp ?? new Date(now).toISOString();
  const text = canonicalText({ id, kind: 'relationship', from, to, type, timestamp: at, data });
  let kept = { timestamp: at, text };
  let accepted = 0;
  for (const entity of new Set([from, to])) {
    const object = partition(env.CHITTY_CHRONICLE, entity);
    const outcome = await object.record([{ entity, id, eventType: null, ...kept }]);
    if (isProblem(outcome)) return outcome;
    accepted += outcome.accepted;
    if (outcome.duplicates > 0) kept = await object.kept(entity, id);
  }
  return replyText(kept.text, accepted > 0);
}

/** A page of records, and where the next one begins when there may be one. */
function pageOf(records: readonly StoredRecord[], limit: number, cursorOf: (last: StoredRecord) => string): Answer {
  const bytes = records.reduce((sum, record) => sum + bytesOf(record.text), 0);
  const last = records.at(-1);
  const next = last && (records.length === limit || bytes >= PAGE_BYTES) ? cursorOf(last) : 'null';
  return { status: 200, text: `{"entries":[${records.map(({ text }) => text).join()}],"nextAfter":${next}}` };
}

async function entries({ env }: Call, filter: EntryFilter): Promise<Answer> {
  const { entityId, limit } = filter;
  const { CHITTY_CHRONICLE: chronicle } = env;
  const asked = entityId === null ? allPartitions(chronicle) : [partition(chronicle, entityId)];
  const found = (await Promise.all(asked.map((object) => object.entries(filter)))).flat();
  found.sort((a, b) => (a.timestamp < b.timestamp ? 1 : a.timestamp > b.timestamp ? -1 : b.number - a.number));
  const texts: string[] = [];
  let bytes = 0;
  for (const { text } of found.slice(0, limit)) {
    if (bytes >= PAGE_BYTES) break;
    texts.push(text);
    bytes += bytesOf(text);
  }
  // A partition that gave as much as an answer holds may have more.
  const isComplete = texts.length === found.length && found.length < limit && bytes < PAGE_BYTES;
  return { status: 200, text: `{"entries":[${texts.join()}],"isComplete":${isComplete}}` };
}

/** ChittyChronicle: what happened, to what, when. */
export const chronicleRoutes: readonly Route[] = [
  post('/api/entries', entryBody, log),
  post('/api/entries/batch', batchBody, (call, batch) => logBatch(call, batch.entries)),
  get('/api/entries', entriesQuery, entries),
  get('/api/timeline/:entity', timelineQuery, async ({ env, params: { entity = '' } }, { after, limit }) => {
    const found = await partition(env.CHITTY_CHRONICLE, entity).timeline(entity, after, limit);
    return pageOf(found, limit, (last) => `"${last.timestamp}_${last.number}"`);
  }),
  post('/api/relationships', relationshipBody, relate),
  get('/api/entities', listingQuery, async ({ env }, { after, limit }) => {
    const pages = allPartitions(env.CHITTY_CHRONICLE).map((object) => object.entities(after, limit));
    return mergePages('entities', await Promise.all(pages), limit);
  }),
  get('/api/entities/:entity/history', historyQuery, async ({ env, params: { entity = '' } }, { after, limit }) => {
    const found = await partition(env.CHITTY_CHRONICLE, entity).history(entity, after, limit);
    return pageOf(found, limit, (last) => String(last.number));
  }),
];
