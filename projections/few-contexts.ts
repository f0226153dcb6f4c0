import type { D1Database, D1PreparedStatement } from '@cloudflare/workers-types';
import {
  exactTimes,
  filterTokens,
  hourConditions,
  idConditions,
  restConditions,
  rowConditions,
} from './context-filters.ts';
import type { ContextQuery, FoundRow } from './context-query.ts';
import { and, hasShort, likelyTier, NAME, quote, standIn, tierOf, type Wanted } from './search-tiers.ts';
import { Values } from './values.ts';

/*
 * Where a filter leaves few contexts, each of them is looked at: 400 take a millisecond, while the index would look for
 * each of them in the long lists of all that have a term. Which it will be is known only when they are counted; so the
 * statements for both ways are sent together, and count: those of the wrong way end there.
 */

/** Contexts that are few, at most. */
const FEW_MAX = 1_000;
/** Pages of those that seem to fit best, of which more than the names is read at once. */
const PAGES_READ = 2;

/** A filter that may leave few contexts. */
interface Source {
  /** A query for their rowids as `position`, without a limit. */
  positions(values: Values): string;
  /** What is left to be looked at in the row `c`. */
  conditions(values: Values): string[];
}

function sourcesOf(query: ContextQuery, wanted: Wanted | null): Source[] {
  const { filters, among } = query;
  const fromRows = (where: (values: Values) => string[]): Source[] => {
    if (where(new Values()).length === 0) return [];
    const positions = (values: Values) =>
      `SELECT c.rowid AS position FROM contexts c WHERE ${where(values).join(' AND ')}`;
    return [{ positions, conditions: (values) => rowConditions(query, values) }];
  };
  const tokens = filterTokens(query).map(quote);
  const fromIndex: Source = {
    positions: (values) =>
      `SELECT rowid AS position FROM contexts_fts WHERE contexts_fts MATCH ${values.add(and(tokens))}`,
    conditions: (values) => restConditions(query, values),
  };
  // A list that is filtered by tokens alone is what the index gives, newest first.
  const isIndexQuicker = tokens.length === 0 || wanted === null;
  return [
    ...fromRows((values) => idConditions(among, values)),
    ...fromRows((values) => hourConditions(filters, values)),
    ...(isIndexQuicker ? [] : [fromIndex]),
  ];
}

/** SQL conditions that tell that no filter leaves few contexts. */
export function manyConditions(query: ContextQuery, wanted: Wanted | null, values: Values): string[] {
  const max = query.few ?? FEW_MAX;
  return sourcesOf(query, wanted).map((source) => {
    return `(SELECT count(*) FROM (${source.positions(values)} LIMIT ${values.integer(max + 1)})) > ${values.integer(max)}`;
  });
}

/** A row of an answer. The first of each has no position: it says that the contexts are few. */
interface Row {
  readonly position: number | null;
  readonly name: string;
  /** Null for those that did not seem to be among the best. */
  readonly body: string | null;
  /** The text in which short terms are looked for, null when there are none. */
  readonly search: string | null;
}

/** The statements that look at few contexts, one for each filter that may leave few. */
export function fewStatements(db: D1Database, query: ContextQuery, wanted: Wanted | null): D1PreparedStatement[] {
  return sourcesOf(query, wanted).map((source) => {
    const values = new Values();
    const { limit, after } = query;
    const max = query.few ?? FEW_MAX;
    const tier = wanted === null ? '0' : likelyTier(wanted, values);
    const isBefore =
      after === undefined
        ? '0'
        : `tier < ${values.integer(after.tier)}
           OR (tier = ${values.integer(after.tier)} AND position >= ${values.integer(after.rowid)})`;
    const conditions = [
      '(SELECT n FROM counted) IS NOT NULL',
      ...(wanted === null ? [] : [standIn('c.search', wanted.wordings, values)]),
      ...exactTimes(query.filters, values),
      ...source.conditions(values),
    ];
    const sql = `WITH few AS MATERIALIZED (${source.positions(values)} LIMIT ${values.integer(max + 1)}),
      counted AS MATERIALIZED (SELECT n FROM (SELECT count(*) AS n FROM few) WHERE n <= ${values.integer(max)}),
      fitting AS (SELECT c.rowid AS position, ${NAME} AS name, ${tier} AS tier, c.body AS body,
          ${wanted === null || wanted.short.length === 0 ? 'NULL' : 'c.search'} AS search
        FROM few CROSS JOIN contexts c ON c.rowid = few.position WHERE ${conditions.join(' AND ')})
      SELECT NULL AS position, NULL AS name, NULL AS body, NULL AS search FROM counted
      UNION ALL SELECT position, name,
        CASE WHEN row_number() OVER (ORDER BY ${isBefore}, tier, position DESC) <= ${PAGES_READ * (limit + 1)}
          THEN body END, search FROM fitting`;
    return db.prepare(sql).bind(...values.list);
  });
}

/**
 * The wanted page of few contexts and one more, in order.
 *
 * @param answers what `fewStatements` gave; null comes back when it was for many contexts
 */
export async function readFew(
  db: D1Database,
  { limit, after }: ContextQuery,
  wanted: Wanted | null,
  answers: readonly (readonly Row[])[],
): Promise<FoundRow[] | null> {
  const few = answers.find(({ length }) => length > 0);
  if (few === undefined) return null;
  const ranked = few
    .flatMap(({ position, name, body, search }) => {
      if (position === null || (wanted !== null && search !== null && !hasShort(search, wanted))) return [];
      return [{ position, tier: wanted === null ? 0 : tierOf(name, wanted), body }];
    })
    .filter(({ tier, position }) => {
      return !after || tier > after.tier || (tier === after.tier && position < after.rowid);
    })
    .sort((a, b) => a.tier - b.tier || b.position - a.position)
    .slice(0, limit + 1);
  return readBodies(db, ranked);
}

/** The rows with their bodies. Without those that are gone since: a rebuild has just begun. */
async function readBodies(
  db: D1Database,
  rows: readonly { tier: number; position: number; body: string | null }[],
): Promise<FoundRow[]> {
  const unread = rows.filter(({ body }) => body === null).map(({ position }) => position);
  const bodies = new Map<number, string>();
  if (unread.length > 0) {
    const { results } = await db
      .prepare('SELECT rowid AS position, body FROM contexts WHERE rowid IN (SELECT value FROM json_each(?1))')
      .bind(JSON.stringify(unread))
      .all<{ position: number; body: string }>();
    for (const { position, body } of results) bodies.set(position, body);
  }
  return rows.flatMap(({ tier, position, body }) => {
    const text = body ?? bodies.get(position);
    return text === undefined ? [] : [{ tier, position, body: text }];
  });
}
