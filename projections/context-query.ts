import type { D1Database } from '@cloudflare/workers-types';
import {
  exactTimes,
  filterTokens,
  hourConditions,
  type Restriction,
  rangeConditions,
  restrict,
  rowConditions,
} from './context-filters.ts';
import { correctedQueries } from './corrections.ts';
import { fold } from './fold.ts';
import { and, anyFit, hasTerms, quote, searchTiers, type Tier, tierOf, type Wanted } from './search-tiers.ts';
import { token } from './terms.ts';
import { Values } from './values.ts';

/** Contexts changed within the wanted range up to which each of them is looked at instead of all that match. */
const CHANGED_MAX = 500;
/** Contexts that are ranked here instead of tier by tier in the index: a little more than a page. */
const FEW = 40;
/**
 * Terms from which on it is tried whether few contexts fit. Then it saves asking for every tier, which doubles the time
 * of a whole name at a million contexts; with fewer terms most often many fit, and it would be one look too many.
 */
const FEW_FROM_TERMS = 3;
/** Characters of a context that is read before it is known whether it will be shown. */
const SMALL_BODY_CHARS = 4_000;

/** Where a page ended: everything after it comes on the next one, whatever was added meanwhile. */
export interface Position {
  /** How well the last one fitted, 0 is best. */
  readonly tier: number;
  readonly rowid: number;
  /** Whether nothing fitted and one letter was forgiven. */
  readonly isCorrected: boolean;
}

/** What to look up. */
export interface ContextQuery extends Restriction {
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

/** The contexts that pass the filters, newest first. */
export async function listContexts(db: D1Database, query: ContextQuery): Promise<ContextPage> {
  const changed = await readChanged(db, query, null);
  if (changed) return rankFew(db, query, changed, null);
  const match = and([token('status', query.filters.status), ...filterTokens(query)].map(quote));
  return readTiers(db, query, new Values(), [{ tier: 0, match, conditions: [] }], []);
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
  const few = (await readChanged(db, query, wanted)) ?? (await readFew(db, query, wanted));
  if (few) return rankFew(db, query, few, wanted);
  const values = new Values();
  const tiers = searchTiers(wanted, values).map((tier) => restrict(query, tier));
  return readTiers(db, query, values, tiers, termsOf(wanted), wanted.text === null);
}

function termsOf(wanted: Wanted): string[] {
  return [...new Set(wanted.alternatives.flat(2))];
}

interface Row {
  readonly tier: number;
  readonly position: number;
  readonly body: string;
}

/** Reads one page. One statement asks the tiers one after the other and stops when the page is full. */
async function readTiers(
  db: D1Database,
  query: ContextQuery,
  values: Values,
  tiers: readonly Tier[],
  terms: readonly string[],
  isCorrected = false,
): Promise<ContextPage> {
  const { limit, after } = query;
  // One more than the page has tells whether another page follows.
  const wanted = values.integer(limit + 1);
  const conditions = rangeConditions(query, values);
  const parts = tiers
    .filter(({ tier }) => tier >= (after?.tier ?? 0))
    .map((tier) => {
      const match = `contexts_fts MATCH ${values.add(tier.match)}`;
      const start = after?.tier === tier.tier ? [`contexts_fts.rowid < ${values.integer(after.rowid)}`] : [];
      const where = [match, ...start, ...conditions, ...tier.conditions].join(' AND ');
      return `SELECT * FROM (SELECT ${tier.tier} AS tier, c.rowid AS position, c.body AS body
        FROM contexts_fts CROSS JOIN contexts c ON c.rowid = contexts_fts.rowid 
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

const FEW_COLUMNS = `c.rowid AS position, substr(c.search, 1, instr(c.search, char(10)) - 1) AS name,
  CASE WHEN length(c.body) <= ${SMALL_BODY_CHARS} THEN c.body END AS body`;

interface FewRow {
  readonly position: number;
  readonly name: string;
  /** Null when it is large: only those that are shown are worth reading. */
  readonly body: string | null;
}

/** All that fits, newest first, when it is little; null when it is more. */
async function readFew(db: D1Database, query: ContextQuery, wanted: Wanted): Promise<FewRow[] | null> {
  const terms = wanted.alternatives[0]?.length ?? 0;
  const few = query.few ?? (terms >= FEW_FROM_TERMS ? FEW : 0);
  if (few === 0) return null;
  const values = new Values();
  const tier = restrict(query, anyFit(wanted, values));
  const match = `contexts_fts MATCH ${values.add(tier.match)}`;
  const where = [match, ...rangeConditions(query, values), ...tier.conditions].join(' AND ');
  const statement = db
    .prepare(
      `SELECT ${FEW_COLUMNS} FROM contexts_fts CROSS JOIN contexts c ON c.rowid = contexts_fts.rowid
       WHERE ${where} ORDER BY contexts_fts.rowid DESC LIMIT ${values.integer(few + 1)}`,
    )
    .bind(...values.list);
  const { results } = await statement.all<FewRow>();
  return results.length > few ? null : results;
}

/**
 * All that fits among what changed in the wanted range, when little changed in it: then each context is looked at, which
 * is quicker than looking for those few among all that have the terms. Null when more changed, or no range is wanted.
 */
async function readChanged(db: D1Database, query: ContextQuery, wanted: Wanted | null): Promise<FewRow[] | null> {
  const { filters } = query;
  const probe = new Values();
  const range = hourConditions(filters, probe);
  const max = query.few ?? CHANGED_MAX;
  if (range.length === 0) return null;
  const counted = await db
    .prepare(
      `SELECT count(*) AS n FROM (SELECT 1 FROM contexts c WHERE ${range.join(' AND ')} LIMIT ${probe.integer(max + 1)})`,
    )
    .bind(...probe.list)
    .first<{ n: number }>();
  if (counted === null || counted.n > max) return null;

  const values = new Values();
  const where = [
    ...hourConditions(filters, values),
    ...exactTimes(filters, values),
    ...rowConditions(query, values),
    ...(wanted === null ? [] : anyFit(wanted, values).conditions),
  ].join(' AND ');
  const { results } = await db
    .prepare(
      `SELECT ${FEW_COLUMNS}, c.search AS search FROM contexts c INDEXED BY contexts_updated
       WHERE ${where} ORDER BY c.rowid DESC`,
    )
    .bind(...values.list)
    .all<FewRow & { search: string }>();
  return wanted === null ? results : results.filter(({ search }) => hasTerms(search, wanted));
}

/** Puts few contexts in order and gives the wanted page of them. */
async function rankFew(
  db: D1Database,
  { limit, after }: ContextQuery,
  few: readonly FewRow[],
  wanted: Wanted | null,
): Promise<ContextPage> {
  const ranked = few
    .map((row) => ({ ...row, tier: wanted === null ? 0 : tierOf(row.name, wanted) }))
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
  return pageOf(rows, limit, wanted === null ? [] : termsOf(wanted), wanted?.text === null);
}
