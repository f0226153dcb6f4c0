import type { D1Database, D1PreparedStatement } from '@cloudflare/workers-types';
import { allThatPass, type Restriction, rangeConditions, restrict } from './context-filters.ts';
import { correctedQueries, wordsNear } from './corrections.ts';
import { fewStatements, manyConditions, readFew } from './few-contexts.ts';
import { fold } from './fold.ts';
import { anyFit, quote, searchTiers, type Tier, tierTables, type Wanted, wantedOf } from './search-tiers.ts';
import { Values } from './values.ts';

/** An SQL expression for what to match, for the index, which takes no null. No kind of token begins with z. */
const orNothing = (match: string) => `coalesce(${match}, '${quote('z')}')`;

/** Where a page ended: everything after it comes on the next one, whatever was added meanwhile. */
interface Position {
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
  /** How many contexts are few, so that each of them is looked at; only tests have a reason to set it. */
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

/** A context on a page. */
export interface FoundRow {
  readonly tier: number;
  readonly position: number;
  readonly body: string;
}

/** The contexts that pass the filters, newest first. */
export function listContexts(db: D1Database, query: ContextQuery): Promise<ContextPage> {
  return find(db, query, null);
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
    const found = await find(db, query, wantedOf(folded, [terms]));
    if (found.bodies.length > 0 || query.after) return found;
  }
  const isWorthCorrecting = await placesToCorrect(db, query, terms);
  const corrected = await correctedQueries((runs) => wordsNear(db, runs), terms, isWorthCorrecting);
  return corrected.length === 0 ? { bodies: [], next: null, terms } : find(db, query, wantedOf(null, corrected));
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
      const others = wantedOf(null, [terms.filter((__, at) => at !== place)]);
      const { match, conditions } = anyFit(others, values);
      const where = [`contexts_fts MATCH ${orNothing(restrict(query, match, values))}`, ...conditions].join(' AND ');
      return db
        .prepare(
          `WITH ${tierTables(others, values)}
           SELECT 1 FROM contexts_fts CROSS JOIN contexts c ON c.rowid = contexts_fts.rowid WHERE ${where} LIMIT 1`,
        )
        .bind(...values.list);
    }),
  );
  return (place) => (answers[place]?.results.length ?? 0) > 0;
}

/** A page of what fits: of everything that passes the filters when nothing is wanted of it. */
async function find(db: D1Database, query: ContextQuery, wanted: Wanted | null): Promise<ContextPage> {
  const answers = await db.batch<never>([...fewStatements(db, query, wanted), tiersStatement(db, query, wanted)]);
  const found = answers.map(({ results }) => results);
  const many: FoundRow[] = found.pop() ?? [];
  const rows = (await readFew(db, query, wanted, found)) ?? many;
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  const isCorrected = wanted?.text === null;
  return {
    bodies: page.map(({ body }) => body),
    next: last && rows.length > page.length ? { tier: last.tier, rowid: last.position, isCorrected } : null,
    terms: wanted?.terms ?? [],
  };
}

/**
 * Reads one page by the index: asks the tiers one after the other and stops when the page is full. Nothing when a filter
 * leaves few contexts.
 */
function tiersStatement(db: D1Database, query: ContextQuery, wanted: Wanted | null): D1PreparedStatement {
  const { limit, after } = query;
  const values = new Values();
  // One more than the page has tells whether another page follows.
  const end = values.integer(limit + 1);
  const many = manyConditions(query, wanted, values);
  const tables = [
    ...(many.length === 0 ? [] : [`many AS MATERIALIZED (SELECT 1 WHERE ${many.join(' AND ')})`]),
    ...(wanted === null ? [] : [tierTables(wanted, values)]),
  ];
  const conditions = rangeConditions(query, values);
  const tiers: Tier[] =
    wanted === null
      ? [{ tier: 0, match: allThatPass(query, values), conditions: [] }]
      : searchTiers(wanted, values)
          .filter(({ tier }) => tier >= (after?.tier ?? 0))
          .map((tier) => ({ ...tier, match: restrict(query, tier.match, values) }));
  const parts = tiers.map(({ tier, match, conditions: ofTier }) => {
    const start = after?.tier === tier ? [`contexts_fts.rowid < ${values.integer(after.rowid)}`] : [];
    const where = [
      `contexts_fts MATCH ${orNothing(many.length === 0 ? match : `(SELECT ${match} FROM many)`)}`,
      ...start,
      ...conditions,
      ...ofTier,
    ].join(' AND ');
    return `SELECT * FROM (SELECT ${tier} AS tier, c.rowid AS position, c.body AS body
        FROM contexts_fts CROSS JOIN contexts c ON c.rowid = contexts_fts.rowid
        WHERE ${where} ORDER BY contexts_fts.rowid DESC LIMIT ${end})`;
  });
  const sql = `${tables.length === 0 ? '' : `WITH ${tables.join(', ')}`} ${parts.join(' UNION ALL ')} LIMIT ${end}`;
  return db.prepare(sql).bind(...values.list);
}
