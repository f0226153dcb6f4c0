import type { D1Database, D1PreparedStatement } from '@cloudflare/workers-types';
import type { Context } from '../actors/context.ts';
import type { Envelope } from '../events/envelope.ts';
import { sha256Hex } from '../events/hash.ts';
import { ADD_TO_FEED, CLEAR_FEED, type FeedBatch, feedBatchOf } from './feed.ts';
import { dictionaryWords, indexTokens, searchText } from './terms.ts';

/** Milliseconds since 1970 at which rowids start: 2020. With it they stay below 2^53 for 139 years. */
const ROWID_EPOCH_MS = Date.UTC(2020, 0, 1);
/** Rowids of one millisecond. A context takes the one that its id leads to, or the next that is free. */
const ROWIDS_PER_MS = 2 ** 11;
/** Hexadecimal digits of a hash that tell one set of tokens and words from another: 128 bits. */
const HASH_DIGITS = 32;
const HOUR_MS = 3_600_000;
/** Contexts that are written by one batch at most. */
const BATCH_CONTEXTS = 500;
/** Characters of JSON in one bound parameter: far below D1's 2 MB of UTF-8, and more than the largest context has. */
const BATCH_CHARS = 400_000;

/** The row of `contexts` that a state leads to; `rowid` is the wanted one. */
interface ContextRow {
  readonly rowid: number;
  readonly id: string;
  readonly version: number;
  readonly status: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly updatedHour: number;
  readonly hash: string;
  readonly search: string;
  readonly body: string;
  /** The versions that go into the feed with it; 1 and 0 when none do. */
  readonly fedFrom: number;
  readonly fedTo: number;
}

/** What the index gets of a state. */
interface ContextTerms {
  readonly id: string;
  readonly version: number;
  readonly hash: string;
  readonly tokens: string;
  /** Words for the dictionary, each with its reverse. */
  readonly words: readonly (readonly [string, string])[];
}

/** The first rowid of the contexts that were created at this time (ISO 8601). */
export function firstRowid(time: string): number {
  const rowid = (Date.parse(time) - ROWID_EPOCH_MS) * ROWIDS_PER_MS;
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, rowid));
}

/** Hours since 1970 of a time (ISO 8601). */
export function hourOf(time: string): number {
  return Math.floor(Date.parse(time) / HOUR_MS);
}

/**
 * Writes the latest known state of contexts into the read model. A state that is not newer than what is there changes
 * nothing, so that duplicates and any order of arrival end in the same rows; what did not change is not rewritten: the
 * index only when what it holds of the context changed. A deleted context stays as a row.
 *
 * Each batch is one transaction; when it rejects, the states of that batch and of later ones are not written, and all
 * can be given again. The places of events in the feed are written in the transaction of their context: who may read them
 * is so known as soon as they can be found, and none has two places.
 *
 * @param events of some of these contexts, by their ids: up to the state or less, by rising version and without a gap
 */
export async function projectContexts(
  db: D1Database,
  states: readonly Context[],
  events: ReadonlyMap<string, readonly Envelope[]> = new Map(),
): Promise<void> {
  for (const batch of batches(latestOf(states), events)) await writeBatch(db, batch);
}

/** Writes the latest known state of one context and the places of its events, as `projectContexts` does. */
export function projectContext(db: D1Database, state: Context, events: readonly Envelope[]): Promise<void> {
  return projectContexts(db, [state], new Map([[state.id, events]]));
}

/**
 * Empties the read model and the feed, to be filled again from the logs. Rebuilding is: clear, then give every stream's state to
 * `projectContexts`. Changes that are made meanwhile come through the same guarded statements into the same tables, so
 * whichever of the two brings a context last, its newest version stays; no second set of tables and no switch-over is
 * needed. The price: until the rebuild has passed a context, lists and search do not show it.
 *
 * What is rebuilt equals what was kept live in every column but `rowid`, which can differ where two contexts of one
 * millisecond wanted the same one, and in `context_words`, which forgets the words that nobody uses any more.
 */
export async function clearContexts(db: D1Database): Promise<void> {
  await db.batch([
    db.prepare('DELETE FROM contexts'),
    db.prepare("INSERT INTO contexts_fts (contexts_fts) VALUES ('delete-all')"),
    db.prepare('DELETE FROM context_words'),
    ...CLEAR_FEED.map((sql) => db.prepare(sql)),
  ]);
}

function latestOf(states: readonly Context[]): Context[] {
  const latest = new Map<string, Context>();
  for (const state of states) {
    const known = latest.get(state.id);
    if (!known || known.version < state.version) latest.set(state.id, state);
  }
  return [...latest.values()];
}

/** What is written in one transaction: of each context its row, its terms, and its events' places in the feed. */
interface Batch {
  readonly rows: ContextRow[];
  readonly terms: ContextTerms[];
  readonly feed: (FeedBatch | null)[];
}

function* batches(states: readonly Context[], events: ReadonlyMap<string, readonly Envelope[]>): Generator<Batch> {
  let batch: Batch = { rows: [], terms: [], feed: [] };
  let chars = 0;
  let wanted = new Set<number>();
  for (const state of states) {
    const terms = termsOf(state);
    const feed = feedBatchOf(events.get(state.id) ?? []);
    const row = rowOf(state, terms.hash, wanted, feed);
    const size = Math.max(row.body.length + row.search.length, terms.tokens.length);
    if (batch.rows.length > 0 && (batch.rows.length === BATCH_CONTEXTS || chars + size > BATCH_CHARS)) {
      yield batch;
      batch = { rows: [], terms: [], feed: [] };
      chars = 0;
      wanted = new Set();
    }
    batch.rows.push(row);
    batch.terms.push(terms);
    batch.feed.push(feed);
    wanted.add(row.rowid);
    chars += size;
  }
  if (batch.rows.length > 0) yield batch;
}

function termsOf(state: Context): ContextTerms {
  const tokens = indexTokens(state);
  const words = dictionaryWords(state).map((word) => [word, reversed(word)] as const);
  const hash = sha256Hex(JSON.stringify([tokens, words])).slice(0, HASH_DIGITS);
  return { id: state.id, version: state.version, hash, tokens, words };
}

/** The characters of a text from its end to its beginning. */
export function reversed(text: string): string {
  return [...text].reverse().join('');
}

function rowOf(state: Context, hash: string, taken: ReadonlySet<number>, feed: FeedBatch | null): ContextRow {
  const slot = Number.parseInt(sha256Hex(state.id).slice(0, 8), 16) % ROWIDS_PER_MS;
  let rowid = firstRowid(state.createdAt) + slot;
  while (taken.has(rowid)) rowid += 1;
  return {
    rowid,
    id: state.id,
    version: state.version,
    status: state.status,
    createdAt: state.createdAt,
    updatedAt: state.updatedAt,
    updatedHour: hourOf(state.updatedAt),
    hash,
    search: searchText(state),
    body: JSON.stringify(state),
    fedFrom: feed?.first ?? 1,
    fedTo: feed?.last ?? 0,
  };
}

async function writeBatch(db: D1Database, batch: Batch): Promise<void> {
  try {
    await db.batch(statements(db, batch));
  } catch (error) {
    // Two contexts of one batch can be sent to the same free rowid because others stand in their places. Apart, each
    // finds its own.
    if (batch.rows.length === 1 || !String(error).includes('UNIQUE')) throw error;
    const half = batch.rows.length >> 1;
    await writeBatch(db, part(batch, 0, half));
    await writeBatch(db, part(batch, half));
  }
}

/** The rows of the parameter, as a table. */
const GIVEN_ROWS = `(SELECT value ->> 'rowid' AS rowid, value ->> 'id' AS id, value ->> 'version' AS version,
  value ->> 'status' AS status, value ->> 'createdAt' AS created_at, value ->> 'updatedAt' AS updated_at,
  value ->> 'updatedHour' AS updated_hour, value ->> 'hash' AS terms, value ->> 'search' AS search,
  value ->> 'body' AS body, value ->> 'fedFrom' AS fed_from, value ->> 'fedTo' AS fed_to FROM json_each(?1))`;

/** The terms of the parameter, as a table. */
const GIVEN_TERMS = `(SELECT value ->> 'id' AS id, value ->> 'version' AS version, value ->> 'hash' AS hash,
  value ->> 'tokens' AS tokens, value -> 'words' AS words FROM json_each(?1))`;

const ADD_WORDS = `INSERT OR IGNORE INTO context_words (word, reversed)
  SELECT w.value ->> 0, w.value ->> 1
  FROM ${GIVEN_TERMS} g JOIN json_each(g.words) w LEFT JOIN contexts c ON c.id = g.id
  WHERE c.id IS NULL OR (c.version < g.version AND c.terms <> g.hash)`;

/** Before the rows are updated, while they still tell what the index holds. */
const REINDEX = `INSERT OR REPLACE INTO contexts_fts (rowid, terms)
  SELECT c.rowid, g.tokens FROM ${GIVEN_TERMS} g JOIN contexts c ON c.id = g.id
  WHERE c.version < g.version AND c.terms <> g.hash`;

const COLUMNS = `version = g.version, status = g.status, created_at = g.created_at, updated_at = g.updated_at,
  terms = g.terms, search = g.search, body = g.body,
  fed = CASE WHEN contexts.fed >= g.fed_from - 1 AND contexts.fed < g.fed_to THEN g.fed_to ELSE contexts.fed END`;

/** Naming the indexed column in SET rewrites its index entry even when it stays the same: so it is named only when not. */
const UPDATE_WITH_HOUR = `UPDATE contexts SET updated_hour = g.updated_hour, ${COLUMNS} FROM ${GIVEN_ROWS} g
  WHERE contexts.id = g.id AND contexts.version < g.version AND contexts.updated_hour <> g.updated_hour`;

const UPDATE = `UPDATE contexts SET ${COLUMNS} FROM ${GIVEN_ROWS} g
  WHERE contexts.id = g.id AND contexts.version < g.version`;

/** Where the state was there already: what has come since is more of the events that led to it. */
const UPDATE_FED = `UPDATE contexts SET fed = g.fed_to FROM ${GIVEN_ROWS} g
  WHERE contexts.id = g.id AND contexts.fed >= g.fed_from - 1 AND contexts.fed < g.fed_to`;

/** Takes the wanted rowid, or the first free one after it. */
const INSERT = `INSERT INTO contexts
    (rowid, id, version, status, created_at, updated_at, updated_hour, terms, search, body, fed)
  SELECT
    CASE WHEN NOT EXISTS (SELECT 1 FROM contexts t WHERE t.rowid = g.rowid) THEN g.rowid
    ELSE (SELECT t.rowid + 1 FROM contexts t WHERE t.rowid >= g.rowid
      AND NOT EXISTS (SELECT 1 FROM contexts n WHERE n.rowid = t.rowid + 1) ORDER BY t.rowid LIMIT 1) END,
    g.id, g.version, g.status, g.created_at, g.updated_at, g.updated_hour, g.terms, g.search, g.body,
    CASE WHEN g.fed_from = 1 THEN g.fed_to ELSE 0 END
  FROM ${GIVEN_ROWS} g WHERE NOT EXISTS (SELECT 1 FROM contexts c WHERE c.id = g.id)`;

const INDEX_NEW = `INSERT INTO contexts_fts (rowid, terms)
  SELECT c.rowid, g.tokens FROM ${GIVEN_TERMS} g JOIN contexts c ON c.id = g.id
  WHERE c.version = g.version AND NOT EXISTS (SELECT 1 FROM contexts_fts f WHERE f.rowid = c.rowid)`;

function part({ rows, terms, feed }: Batch, from: number, to?: number): Batch {
  return { rows: rows.slice(from, to), terms: terms.slice(from, to), feed: feed.slice(from, to) };
}

function statements(db: D1Database, { rows, terms, feed }: Batch): D1PreparedStatement[] {
  const fed = feed.filter((events) => events !== null);
  const givenRows = JSON.stringify(rows);
  const givenTerms = JSON.stringify(terms);
  return [
    db.prepare(ADD_WORDS).bind(givenTerms),
    db.prepare(REINDEX).bind(givenTerms),
    // Before the rows are updated, while they still tell how far the feed is.
    ...fed.map((events) => db.prepare(ADD_TO_FEED).bind(JSON.stringify(events))),
    db.prepare(UPDATE_WITH_HOUR).bind(givenRows),
    db.prepare(UPDATE).bind(givenRows),
    ...(fed.length === 0 ? [] : [db.prepare(UPDATE_FED).bind(givenRows)]),
    db.prepare(INSERT).bind(givenRows),
    db.prepare(INDEX_NEW).bind(givenTerms),
  ];
}
