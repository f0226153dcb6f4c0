import type { D1Database } from '@cloudflare/workers-types';
import { firstRowid, hourOf } from './contexts.ts';
import { correctedQueries } from './corrections.ts';
import { fold } from './fold.ts';
import { and, anyFit, type Binder, but, quote, searchTiers, type Tier, tierOf, type Wanted } from './search-tiers.ts';
import { token } from './terms.ts';

/** Contexts changed within the wanted range up to which they are looked up one by one instead of all that match. */
const CHANGED_MAX = 500;
/** Contexts that are ranked here instead of tier by tier in the index: a little more than a page. */
const FEW = 40;
/** Characters of a context that is read before it is known whether it will be shown. */
const SMALL_BODY_CHARS = 4_000;
/** Rowids that may lie between a context's creation and its rowid because others had taken its place: one second. */
const SLACK_MS = 1_000;

/** What contexts must have to be found. Times are ISO 8601 in UTC with milliseconds. */
export interface ContextFilters {
  readonly owner?: string;
  readonly system?: string;
  readonly tool?: string;
  readonly status: 'active' | 'deleted';
  /** Created at this time or later. */
  readonly createdAfter?: string;
  /** Created before this time. */
  readonly createdBefore?: string;
  readonly updatedAfter?: string;
  readonly updatedBefore?: string;
}

/** Where a page ended: everything after it comes on the next one, whatever was added meanwhile. */
export interface Position {
  /** How well the last one fitted, 0 is best. */
  readonly tier: number;
  readonly rowid: number;
  /** Whether nothing fitted and one letter was forgiven. */
  readonly isCorrected: boolean;
}

/** What to look up. */
export interface ContextQuery {
  readonly filters: ContextFilters;
  /** The actor who asks, who sees what they own; null for an administrator, who sees everything. */
  readonly readableBy: string | null;
  /** Contexts on a page, at least 1. */
  readonly limit: number;
  /** Where the page before ended. */
  readonly after?: Position;
  /** Contexts that are ranked here instead of by the index; only tests have a reason to set it. */
  readonly few?: number;
}

/** A page of contexts. */
export interface ContextPage {
  /** The contexts as JSON texts. */
  readonly bodies: readonly string[];
  /** Where this page ends; null when nothing comes after it. */
  readonly next: Position | null;
  /** The folded terms that these were found by, of all corrections when a letter was forgiven. */
  readonly terms: readonly string[];
}

/** Bound values; `add` gives the name to write in the statement. */
class Values implements Binder {
  readonly list: (string | number)[] = [];

  add(value: string | number): string {
    this.list.push(value);
    return `?${this.list.length}`;
  }

  /** D1 binds every number as a double, and FTS5 bounds its scan only by integers. */
  integer(value: number): string {
    return `CAST(${this.add(value)} AS INTEGER)`;
  }
}

/** The contexts that pass the filters, newest first. */
export async function listContexts(db: D1Database, query: ContextQuery): Promise<ContextPage> {
  const match = and([token('status', query.filters.status), ...filterTokens(query)].map(quote));
  const scope = await scopeOf(db, query);
  return readTiers(db, scope, [{ tier: 0, match, conditions: [] }], []);
}

/**
 * The contexts that have every term of `text` in some field and pass the filters. Best first: the name is the text, the
 * name begins with it, all terms are words of the name, all are in the name, the rest; in each case newest first. Where
 * nothing fits at all, the same with one letter of the text corrected.
 *
 * @param text what was typed; not blank
 */
export async function searchContexts(db: D1Database, text: string, query: ContextQuery): Promise<ContextPage> {
  const folded = fold(text);
  const terms = [...new Set(folded.split(' '))];
  if (!query.after?.isCorrected) {
    const wanted = { text: folded, alternatives: [terms.map((term) => [term])] };
    const found = await find(db, query, wanted);
    if (found.bodies.length > 0 || query.after) return found;
  }
  const alternatives = await correctedQueries(db, terms, await placesToCorrect(db, query, terms));
  return alternatives.length === 0 ? { bodies: [], next: null, terms } : find(db, query, { text: null, alternatives });
}

/** The places of the terms without which something fits. */
async function placesToCorrect(
  db: D1Database,
  query: ContextQuery,
  terms: readonly string[],
): Promise<(place: number) => boolean> {
  if (terms.length === 1) return () => true;
  const answers = await db.batch(
    terms.map((_, place) => {
      const values = new Values();
      const others = terms.filter((__, at) => at !== place).map((term) => [term]);
      const { match } = restrict(query, anyFit({ text: null, alternatives: [others] }, values));
      return db.prepare('SELECT rowid FROM contexts_fts WHERE contexts_fts MATCH ?1 LIMIT 1').bind(match);
    }),
  );
  return (place) => (answers[place]?.results.length ?? 0) > 0;
}

/** A page of what fits. Few are ranked here, in one look at the index; of many, the index is asked tier by tier. */
async function find(db: D1Database, query: ContextQuery, wanted: Wanted): Promise<ContextPage> {
  const scope = await scopeOf(db, query);
  const terms = [...new Set(wanted.alternatives.flat(2))];
  const few = await readFew(db, scope, wanted);
  if (few) return rankFew(db, query, few, wanted, terms);
  const tiers = searchTiers(wanted, scope.values).map((tier) => restrict(query, tier));
  return readTiers(db, scope, tiers, terms, wanted.text === null);
}

/** Narrows a way to fit down to what passes the filters, in the index itself: a rare owner makes a common word cheap. */
function restrict(query: ContextQuery, tier: Tier): Tier {
  const match = and([tier.match, ...filterTokens(query).map(quote)]);
  const isDeleted = quote(token('status', 'deleted'));
  // Few contexts are deleted: passing over those is less work than going through all the others.
  return { ...tier, match: query.filters.status === 'active' ? but(match, isDeleted) : and([match, isDeleted]) };
}

function filterTokens({ filters, readableBy }: ContextQuery): string[] {
  return [
    ...(readableBy === null ? [] : [token('owner', readableBy)]),
    ...(filters.owner === undefined ? [] : [token('owner', filters.owner)]),
    ...(filters.system === undefined ? [] : [token('system', filters.system)]),
    ...(filters.tool === undefined ? [] : [token('tool', filters.tool)]),
  ];
}

/** A statement in the making: what all its parts share. */
interface Scope {
  readonly query: ContextQuery;
  readonly values: Values;
  readonly from: string;
  readonly conditions: readonly string[];
}

async function scopeOf(db: D1Database, query: ContextQuery): Promise<Scope> {
  const from = (await areFewChanged(db, query.filters))
    ? 'contexts c INDEXED BY contexts_updated CROSS JOIN contexts_fts ON contexts_fts.rowid = c.rowid'
    : 'contexts_fts CROSS JOIN contexts c ON c.rowid = contexts_fts.rowid';
  const values = new Values();
  return { query, values, from, conditions: rangeConditions(query.filters, values) };
}

interface Row {
  readonly tier: number;
  readonly position: number;
  readonly body: string;
}

/** Reads one page. One statement asks the tiers one after the other and stops when the page is full. */
async function readTiers(
  db: D1Database,
  { query: { limit, after }, values, from, conditions }: Scope,
  tiers: readonly Tier[],
  terms: readonly string[],
  isCorrected = false,
): Promise<ContextPage> {
  // One more than the page has tells whether another page follows.
  const wanted = values.integer(limit + 1);
  const parts = tiers
    .filter(({ tier }) => tier >= (after?.tier ?? 0))
    .map((tier) => {
      const match = `contexts_fts MATCH ${values.add(tier.match)}`;
      const start = after?.tier === tier.tier ? [`contexts_fts.rowid < ${values.integer(after.rowid)}`] : [];
      const where = [match, ...start, ...conditions, ...tier.conditions].join(' AND ');
      return `SELECT * FROM (SELECT ${tier.tier} AS tier, c.rowid AS position, c.body AS body FROM ${from}
        WHERE ${where} ORDER BY contexts_fts.rowid DESC LIMIT ${wanted})`;
    });
  const statement = db.prepare(`${parts.join(' UNION ALL ')} LIMIT ${wanted}`).bind(...values.list);
  const { results } = await statement.all<Row>();
  return pageOf(results, limit, terms, isCorrected);
}

function pageOf(found: readonly Row[], limit: number, terms: readonly string[], isCorrected: boolean): ContextPage {
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  const hasMore = last !== undefined && found.length > limit;
  const next = hasMore ? { tier: last.tier, rowid: last.position, isCorrected } : null;
  return { bodies: rows.map(({ body }) => body), next, terms };
}

interface FewRow {
  readonly position: number;
  readonly name: string;
  /** Null when it is large: only those that are shown are worth reading. */
  readonly body: string | null;
}

/** All that fits, newest first, when it is little; null when it is more. */
async function readFew(db: D1Database, { query, from }: Scope, wanted: Wanted): Promise<FewRow[] | null> {
  const few = query.few ?? FEW;
  const values = new Values();
  const tier = restrict(query, anyFit(wanted, values));
  const ranges = rangeConditions(query.filters, values);
  const where = [`contexts_fts MATCH ${values.add(tier.match)}`, ...ranges, ...tier.conditions].join(' AND ');
  const statement = db
    .prepare(
      `SELECT c.rowid AS position, substr(c.search, 1, instr(c.search, char(10)) - 1) AS name,
        CASE WHEN length(c.body) <= ${SMALL_BODY_CHARS} THEN c.body END AS body
       FROM ${from} WHERE ${where} ORDER BY contexts_fts.rowid DESC LIMIT ${values.integer(few + 1)}`,
    )
    .bind(...values.list);
  const { results } = await statement.all<FewRow>();
  return results.length > few ? null : results;
}

async function rankFew(
  db: D1Database,
  { limit, after }: ContextQuery,
  few: readonly FewRow[],
  wanted: Wanted,
  terms: readonly string[],
): Promise<ContextPage> {
  const ranked = few
    .map((row) => ({ ...row, tier: tierOf(row.name, wanted) }))
    .sort((a, b) => a.tier - b.tier || b.position - a.position)
    .filter(({ tier, position }) => {
      return !after || tier > after.tier || (tier === after.tier && position < after.rowid);
    })
    .slice(0, limit + 1);
  const large = ranked.filter(({ body }) => body === null).map(({ position }) => position);
  const bodies = new Map<number, string>();
  if (large.length > 0) {
    const { results } = await db
      .prepare('SELECT rowid AS position, body FROM contexts WHERE rowid IN (SELECT value FROM json_each(?1))')
      .bind(JSON.stringify(large))
      .all<Row>();
    for (const { position, body } of results) bodies.set(position, body);
  }
  const rows = ranked.flatMap(({ tier, position, body }) => {
    const text = body ?? bodies.get(position);
    // Gone since the first statement: a rebuild has just begun.
    return text === undefined ? [] : [{ tier, position, body: text }];
  });
  return pageOf(rows, limit, terms, wanted.text === null);
}

/** The ranges of time as conditions: on the rowid, which bounds the scan, and exactly. */
function rangeConditions(filters: ContextFilters, values: Values): string[] {
  const { createdAfter, createdBefore, updatedAfter, updatedBefore } = filters;
  // Nothing is changed before it is created.
  const before = [createdBefore, updatedBefore].filter((time) => time !== undefined).sort()[0];
  const later = before === undefined ? undefined : new Date(Date.parse(before) + SLACK_MS).toISOString();
  const on = (condition: string, value: string | undefined) =>
    value === undefined ? [] : [`${condition} ${values.add(value)}`];
  return [
    ...(createdAfter === undefined ? [] : [`contexts_fts.rowid >= ${values.integer(firstRowid(createdAfter))}`]),
    ...(later === undefined ? [] : [`contexts_fts.rowid < ${values.integer(firstRowid(later))}`]),
    ...on('c.created_at >=', createdAfter),
    ...on('c.created_at <', createdBefore),
    ...on('c.updated_at >=', updatedAfter),
    ...on('c.updated_at <', updatedBefore),
    ...hourConditions(filters, values),
  ];
}

function hourConditions({ updatedAfter, updatedBefore }: ContextFilters, values: Values): string[] {
  return [
    ...(updatedAfter === undefined ? [] : [`c.updated_hour >= ${values.integer(hourOf(updatedAfter))}`]),
    ...(updatedBefore === undefined ? [] : [`c.updated_hour <= ${values.integer(hourOf(updatedBefore))}`]),
  ];
}

/** Whether so few contexts changed in the wanted range that it is quicker to look at each of them. */
async function areFewChanged(db: D1Database, filters: ContextFilters): Promise<boolean> {
  const values = new Values();
  const conditions = hourConditions(filters, values);
  if (conditions.length === 0) return false;
  const sql = `SELECT count(*) AS n FROM (SELECT 1 FROM contexts c WHERE ${conditions.join(' AND ')} LIMIT ${CHANGED_MAX + 1})`;
  const row = await db
    .prepare(sql)
    .bind(...values.list)
    .first<{ n: number }>();
  return row !== null && row.n <= CHANGED_MAX;
}
