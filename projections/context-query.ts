import type { D1Database } from '@cloudflare/workers-types';
import { firstRowid, hourOf } from './contexts.ts';
import { correctedQueries } from './corrections.ts';
import { fold } from './fold.ts';
import { fragmentsOfTerm, startToken, token } from './terms.ts';

/** Contexts changed within the wanted range up to which they are looked up one by one instead of all that match. */
const CHANGED_MAX = 500;
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

/** How well something fits: the candidates in the index, and what is checked on each. */
interface Tier {
  readonly tier: number;
  /** An FTS5 expression of tokens. */
  readonly match: string;
  /** SQL conditions on the row `c`; values are bound through `Values`. */
  readonly conditions: readonly string[];
}

/** Bound values; `add` gives the name to write in the statement. */
class Values {
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
export function listContexts(db: D1Database, query: ContextQuery): Promise<ContextPage> {
  const match = and([token('status', query.filters.status), ...filterTokens(query)].map(quote));
  return page(db, query, [], false, () => [{ tier: 0, match, conditions: [] }]);
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
  const isCorrected = query.after?.isCorrected ?? false;
  if (!isCorrected) {
    const found = await page(db, query, terms, false, (values) => searchTiers(query, folded, [terms], values));
    if (found.bodies.length > 0 || query.after) return found;
  }
  const corrected = await correctedQueries(db, terms);
  if (corrected.length === 0) return { bodies: [], next: null, terms };
  const all = [...new Set(corrected.flat())];
  return page(db, query, all, true, (values) => searchTiers(query, null, corrected, values));
}

/**
 * The ways to fit, best first. Nothing is ranked: each way is a question to the index, which answers newest first and
 * stops at a full page, so that a common word costs no more than a rare one. Each excludes what the better ones gave.
 *
 * @param folded the whole text, null when it was corrected
 * @param alternatives the terms of the text, or of each corrected one: one of them must fit
 */
function searchTiers(
  query: ContextQuery,
  folded: string | null,
  alternatives: readonly (readonly string[])[],
  values: Values,
): Tier[] {
  const fits = (tokensOf: (term: string) => string[]) =>
    or(alternatives.map((terms) => and([...new Set(terms.flatMap(tokensOf))].map(quote))));
  const words = fits((term) => [token('nameWord', term)]);
  const inName = fits((term) => fragmentsOfTerm(term).map((fragment) => token('nameFragment', fragment)));
  const anywhere = fits((term) => fragmentsOfTerm(term).map((fragment) => token('any', fragment)));

  // Trigrams can be there without the term. A word cannot.
  const given = values.add(JSON.stringify(alternatives));
  const isThere = `EXISTS (SELECT 1 FROM json_each(${given}) a WHERE NOT EXISTS
    (SELECT 1 FROM json_each(a.value) t WHERE instr(c.search, t.value) = 0))`;

  if (folded === null) {
    return restrict(query, [
      { tier: 2, match: words, conditions: [] },
      { tier: 3, match: but(inName, words), conditions: [isThere] },
      { tier: 4, match: but(anywhere, inName), conditions: [isThere] },
    ]);
  }
  const whole = quote(token('name', folded));
  const [text, length] = [values.add(folded), values.integer([...folded].length)];
  const begins = `substr(c.search, 1, ${length}) = ${text}`;
  const other = `substr(c.search, 1, ${length}) <> ${text}`;
  return restrict(query, [
    { tier: 0, match: whole, conditions: [] },
    { tier: 1, match: but(and([quote(startToken(folded)), inName]), whole), conditions: [begins] },
    { tier: 2, match: words, conditions: [other] },
    { tier: 3, match: but(inName, words), conditions: [other, isThere] },
    { tier: 4, match: but(anywhere, inName), conditions: [isThere] },
  ]);
}

/** Narrows each way to fit down to what passes the filters, in the index itself: a rare owner makes it cheap. */
function restrict(query: ContextQuery, tiers: readonly Tier[]): Tier[] {
  const tokens = filterTokens(query).map(quote);
  const isDeleted = quote(token('status', 'deleted'));
  return tiers.map((tier) => {
    // Few contexts are deleted: passing over those is less work than going through all the others.
    if (query.filters.status === 'active') return { ...tier, match: but(and([tier.match, ...tokens]), isDeleted) };
    return { ...tier, match: and([tier.match, ...tokens, isDeleted]) };
  });
}

function filterTokens({ filters, readableBy }: ContextQuery): string[] {
  return [
    ...(readableBy === null ? [] : [token('owner', readableBy)]),
    ...(filters.owner === undefined ? [] : [token('owner', filters.owner)]),
    ...(filters.system === undefined ? [] : [token('system', filters.system)]),
    ...(filters.tool === undefined ? [] : [token('tool', filters.tool)]),
  ];
}

const quote = (text: string) => `"${text}"`;
const and = (expressions: readonly string[]) => `(${expressions.join(' AND ')})`;
const or = (expressions: readonly string[]) => `(${expressions.join(' OR ')})`;
const but = (expression: string, excluded: string) => `(${expression} NOT ${excluded})`;

interface Row {
  readonly tier: number;
  readonly position: number;
  readonly body: string;
}

/** Reads one page. One statement asks the tiers one after the other and stops when the page is full. */
async function page(
  db: D1Database,
  query: ContextQuery,
  terms: readonly string[],
  isCorrected: boolean,
  tiersOf: (values: Values) => readonly Tier[],
): Promise<ContextPage> {
  const { filters, limit, after } = query;
  const values = new Values();
  // One more than the page has tells whether another page follows.
  const wanted = values.integer(limit + 1);
  const conditions = rangeConditions(filters, values);
  const from = (await areFewChanged(db, filters))
    ? 'contexts c INDEXED BY contexts_updated CROSS JOIN contexts_fts ON contexts_fts.rowid = c.rowid'
    : 'contexts_fts CROSS JOIN contexts c ON c.rowid = contexts_fts.rowid';
  const parts = tiersOf(values)
    .filter(({ tier }) => tier >= (after?.tier ?? 0))
    .map((tier) => {
      const match = `contexts_fts MATCH ${values.add(tier.match)}`;
      const start = after?.tier === tier.tier ? [`contexts_fts.rowid < ${values.integer(after.rowid)}`] : [];
      const where = [match, ...start, ...conditions, ...tier.conditions].join(' AND ');
      return `SELECT * FROM (SELECT ${tier.tier} AS tier, c.rowid AS position, c.body AS body FROM ${from}
        WHERE ${where} ORDER BY contexts_fts.rowid DESC LIMIT ${wanted})`;
    });
  const sql = `${parts.join(' UNION ALL ')} LIMIT ${wanted}`;
  const { results } = await db
    .prepare(sql)
    .bind(...values.list)
    .all<Row>();
  const rows = results.slice(0, limit);
  const last = rows.at(-1);
  const hasMore = last !== undefined && results.length > limit;
  return {
    bodies: rows.map(({ body }) => body),
    next: hasMore ? { tier: last.tier, rowid: last.position, isCorrected } : null,
    terms,
  };
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
