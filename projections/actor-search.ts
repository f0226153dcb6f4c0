import type { D1Database } from '@cloudflare/workers-types';
import type { ActorRecord } from '../actors/actor.ts';
import { whereGiven } from './context-filters.ts';
import { correctedQueries } from './corrections.ts';
import { fold } from './fold.ts';
import { likelyTier, standIn, type Wanted, wantedOf } from './search-tiers.ts';
import { letterRuns } from './terms.ts';
import { Values } from './values.ts';

/*
 * Actors have no index of what is in their names: their rows are gone through, about a microsecond each. They are few
 * beside contexts, and an index would keep pieces of a name after its row was overwritten to erase somebody.
 */

/** Names that are looked at for a word that was mistyped. */
const NAMES_MAX = 5_000;
/** Letters of a half of a word that are looked for: D1 takes patterns of 50 bytes. */
const HALF_MAX = 9;
/** In a pattern: what is no part of a word. More than that is, of folded letters that are not ASCII: it finds more. */
const EDGE = '[^0-9a-z]';

/** Where a page ended: everything after it comes on the next one, whatever was added meanwhile. */
interface ActorPosition {
  /** How well the last one fitted, 0 is best. */
  readonly tier: number;
  readonly createdAt: string;
  readonly id: string;
  /** Whether nothing fitted and one letter was forgiven. */
  readonly isCorrected: boolean;
}

/** What to look up; what is left out does not matter. Times are ISO 8601 in UTC with milliseconds. */
export interface ActorQuery {
  /** Words of the name or parts of them, or the whole ChittyID; not blank. */
  readonly text?: string;
  readonly kind?: ActorRecord['kind'];
  readonly status?: ActorRecord['status'];
  /** Created at this time or later. */
  readonly createdAfter?: string;
  /** Created before this time. */
  readonly createdBefore?: string;
  /** Actors on a page, at least 1. */
  readonly limit: number;
  /** Where the page before ended. */
  readonly after?: ActorPosition;
}

/** A page of actors. */
export interface ActorPage {
  readonly actors: readonly ActorRecord[];
  /** Where this page ends; null when nothing comes after it. */
  readonly next: ActorPosition | null;
  /** The folded terms that these were found by, of all corrections when a letter was forgiven. */
  readonly terms: readonly string[];
}

/**
 * A page of the actors that pass the filters, newest first; with a text those that have all its terms in their name, or it
 * as their ChittyID, best first: as contexts are found, but that a term of one or two characters may begin a word.
 */
export async function findActors(db: D1Database, query: ActorQuery): Promise<ActorPage> {
  const { text, after } = query;
  if (text === undefined) return page(db, query, null);
  const folded = fold(text);
  const terms = [...new Set(folded.split(' '))];
  if (!after?.isCorrected) {
    const found = await page(db, query, wantedOf(folded, [terms]));
    if (found.actors.length > 0 || after) return found;
  }
  const corrected = await correctedQueries((runs) => nearWords(db, runs), terms);
  return corrected.length === 0 ? { actors: [], next: null, terms } : page(db, query, wantedOf(null, corrected));
}

async function page(db: D1Database, query: ActorQuery, wanted: Wanted | null): Promise<ActorPage> {
  const { limit, after, text } = query;
  const values = new Values();
  // Only a text can be a ChittyID, and only before a letter of it was corrected.
  const chittyId = wanted?.text == null ? null : `c.chitty_id = ${values.add(text ?? '')}`;
  const tier = wanted === null ? '0' : likelyTier(wanted, values, 'c.name');
  const conditions = [
    ...(wanted === null
      ? []
      : [`(${[...(chittyId === null ? [] : [chittyId]), inName(wanted, values)].join(' OR ')})`]),
    ...filterConditions(query, values),
  ];
  const from = after === undefined ? '' : `WHERE ${afterPosition(after, wanted !== null, values)}`;
  const { results } = await db
    .prepare(
      `SELECT tier, created_at AS createdAt, id, body FROM (
         SELECT ${chittyId === null ? tier : `CASE WHEN ${chittyId} THEN 0 ELSE ${tier} END`} AS tier, c.created_at, c.id, c.body
         FROM actors c WHERE ${conditions.length === 0 ? 'TRUE' : conditions.join(' AND ')})
       ${from} ORDER BY ${wanted === null ? '' : 'tier, '}created_at DESC, id DESC LIMIT ${values.integer(limit + 1)}`,
    )
    .bind(...values.list)
    .all<Omit<ActorPosition, 'isCorrected'> & { readonly body: string }>();
  const rows = results.slice(0, limit);
  const last = rows.at(-1);
  const isCorrected = wanted?.text === null;
  return {
    actors: rows.map(({ body }): ActorRecord => JSON.parse(body)),
    next:
      last && results.length > limit ? { tier: last.tier, createdAt: last.createdAt, id: last.id, isCorrected } : null,
    terms: wanted?.terms ?? [],
  };
}

/** Whether the row `c` has all terms in its name, as an SQL condition. */
function inName({ short, wordings }: Wanted, values: Values): string {
  const hasLong = wordings.some((terms) => terms.length > 0);
  const begin = short.map((term) => `*${EDGE}${term.replace(/[*?[]/g, '[$&]')}*`);
  return [
    ...(hasLong ? [standIn('c.name', wordings, values)] : []),
    ...(short.length === 0
      ? []
      : [
          `NOT EXISTS (SELECT 1 FROM json_each(${values.add(JSON.stringify(begin))}) t
             WHERE NOT (' ' || c.name GLOB t.value))`,
        ]),
  ].join(' AND ');
}

function filterConditions({ kind, status, createdAfter, createdBefore }: ActorQuery, values: Values): string[] {
  return whereGiven(values, [
    ['c.kind =', kind],
    ['c.status =', status],
    ['c.created_at >=', createdAfter],
    ['c.created_at <', createdBefore],
  ]);
}

function afterPosition({ tier, createdAt, id }: ActorPosition, hasTiers: boolean, values: Values): string {
  const isOlder = `(created_at, id) < (${values.add(createdAt)}, ${values.add(id)})`;
  if (!hasTiers) return isOlder;
  return `(tier > ${values.integer(tier)} OR (tier = ${values.integer(tier)} AND ${isOlder}))`;
}

/**
 * The words of names among which are all that are one letter away, for each of these: one letter that is added, missing or another leaves a
 * half of a word as it is, and so do two that are swapped, unless they are in the middle.
 */
async function nearWords(db: D1Database, runs: readonly string[]): Promise<string[][]> {
  const found = await db.batch<{ name: string }>(
    runs.map((run) => {
      const letters = [...run];
      const half = Math.ceil(letters.length / 2);
      const beginning = letters.slice(0, Math.min(half, HALF_MAX)).join('');
      const ending = letters.slice(Math.max(half, letters.length - HALF_MAX)).join('');
      const swapped = [...letters.slice(0, half - 1), letters[half], letters[half - 1], ...letters.slice(half + 1)];
      return db
        .prepare(
          `SELECT DISTINCT name FROM actors
           WHERE ' ' || name GLOB ?1 OR name || ' ' GLOB ?2 OR instr(name, ?3) > 0 LIMIT ${NAMES_MAX}`,
        )
        .bind(`*${EDGE}${beginning}*`, `*${ending}${EDGE}*`, swapped.join(''));
    }),
  );
  return found.map(({ results }) => results.flatMap(({ name }) => letterRuns(name)));
}
