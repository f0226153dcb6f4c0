import type { D1Database, D1PreparedStatement } from '@cloudflare/workers-types';
import { reversed } from './contexts.ts';
import { letterRuns } from './terms.ts';

/** Corrected queries that are searched for at most. */
const CORRECTIONS_MAX = 64;
/** Runs of letters in a query whose corrections are looked for: each is three look-ups. */
const RUNS_MAX = 20;
/** Words that one look-up may give: with the beginning or the end and the length fixed, a bound for hostile words only. */
const WORDS_MAX = 5_000;
/** After every word that begins with a text: no character sorts higher. */
const LAST = '\u{10ffff}';

/**
 * The queries that differ from this one by one letter and consist of words that are in use: one letter too many, too
 * few, another one, or two neighbours swapped.
 *
 * @param nearWords gives, for each of these, words in use among which are all that are one letter away
 * @param terms the folded terms of the query
 * @param isWorthCorrecting the places of the terms without which something fits: only those can be the mistyped ones
 */
export async function correctedQueries(
  nearWords: (runs: readonly string[]) => Promise<readonly (readonly string[])[]>,
  terms: readonly string[],
  isWorthCorrecting: (place: number) => boolean = () => true,
): Promise<string[][]> {
  const places = terms.map((term, place) => (isWorthCorrecting(place) ? letterRuns(term) : []));
  const runs = [...new Set(places.flat())].slice(0, RUNS_MAX);
  if (runs.length === 0) return [];
  const candidates = await nearWords(runs);
  const words = new Map(
    runs.map((run, index) => {
      const near = (candidates[index] ?? []).filter((word) => isOneEdit([...run], [...word]));
      return [run, [...new Set(near)].sort()];
    }),
  );
  const corrected = places.flatMap((inTerm, place) => {
    const term = terms[place] ?? '';
    const options = inTerm.flatMap((run) => (words.get(run) ?? []).map((word) => replaceRun(term, run, word)));
    return [...new Set(options)].map((option) => terms.with(place, option));
  });
  return corrected.slice(0, CORRECTIONS_MAX);
}

/** Words of the dictionary among which are all that are one letter away, for each of these. */
export async function wordsNear(db: D1Database, runs: readonly string[]): Promise<string[][]> {
  const answers = await db.batch<{ word: string }>(runs.flatMap((run) => lookUps(db, run)));
  const perRun = answers.length / runs.length;
  return runs.map((_, index) => {
    const found = answers.slice(index * perRun, (index + 1) * perRun).flatMap(({ results }) => results);
    return found.map(({ word }) => word);
  });
}

/** The term with its first run of letters that is `run` replaced. */
function replaceRun(term: string, run: string, word: string): string {
  let isReplaced = false;
  return term.replace(/[\p{L}\p{M}]+/gu, (letters) => {
    if (isReplaced || letters !== run) return letters;
    isReplaced = true;
    return word;
  });
}

/**
 * One added, missing or other letter leaves the first half or the second half of a word as it is, so words that begin
 * or end the same are all that need a look. Two swapped letters can touch both halves; those words are few and are asked
 * for by name.
 */
function lookUps(db: D1Database, run: string): D1PreparedStatement[] {
  const letters = [...run];
  const half = Math.ceil(letters.length / 2);
  const beginning = letters.slice(0, half).join('');
  const ending = reversed(letters.slice(half).join(''));
  const swapped = letters.slice(1).map((letter, index) => {
    return [...letters.slice(0, index), letter, letters[index], ...letters.slice(index + 2)].join('');
  });
  const range = (column: string) =>
    `SELECT word FROM context_words WHERE ${column} >= ?1 AND ${column} < ?2
     AND length(word) BETWEEN ?3 - 1 AND ?3 + 1 LIMIT ${WORDS_MAX}`;
  return [
    db
      .prepare('SELECT word FROM context_words WHERE word IN (SELECT value FROM json_each(?1))')
      .bind(JSON.stringify(swapped)),
    db.prepare(range('word')).bind(beginning, beginning + LAST, letters.length),
    db.prepare(range('reversed')).bind(ending, ending + LAST, letters.length),
  ];
}

/** Whether two words are exactly one edit apart: insertion, deletion, replacement, or transposition of neighbours. */
export function isOneEdit(a: readonly string[], b: readonly string[]): boolean {
  if (a.length > b.length) return isOneEdit(b, a);
  if (b.length - a.length > 1) return false;
  const first = a.findIndex((letter, index) => letter !== b[index]);
  if (first === -1) return b.length === a.length + 1;
  const same = (from: number, to: number) => a.slice(from).join('') === b.slice(to).join('');
  if (b.length > a.length) return same(first, first + 1);
  return (
    same(first + 1, first + 1) || (a[first] === b[first + 1] && a[first + 1] === b[first] && same(first + 2, first + 2))
  );
}
