import {
  escaped,
  FRAGMENT_MIN,
  fragmentsOf,
  fragmentsOfTerm,
  knownPieces,
  startTokens,
  token,
  wordsOf,
} from './terms.ts';

/** What was asked for. */
export interface Wanted {
  /** The whole folded text; null when it was corrected. */
  readonly text: string | null;
  /** All terms of all wordings, each once. */
  readonly terms: readonly string[];
  /** The terms that are found as whole words only, because they are short. Each must be there. */
  readonly short: readonly string[];
  /** The other terms, as they were typed or in each of their corrected forms: all terms of one of these must be there. */
  readonly wordings: readonly (readonly string[])[];
}

/** A way to fit: the candidates in the index, and what is checked on each. */
export interface Tier {
  /** How well it fits, 0 is best. */
  readonly tier: number;
  /** An SQL expression that gives an FTS5 expression of tokens, or null when nothing fits in this way. */
  readonly match: string;
  /** SQL conditions on the row `c`. */
  readonly conditions: readonly string[];
}

/** How values get into a statement. */
export interface Binder {
  add(value: string | number): string;
  integer(value: number): string;
}

const TIER = { name: 0, start: 1, words: 2, inName: 3, anywhere: 4 } as const;

/**
 * Fragments by which candidates are looked for: the rarest ones, of different terms as far as there are some, and the two
 * rarest of all. The index goes through a list for each, and with these hardly a candidate is left that does not fit; a
 * common one would only be one more long list to keep up with.
 */
const RAREST = 3;
const RAREST_OF_ALL = 2;
/** Fragments of one wording of which the rarest are found out: a bound for long texts, each costs 0.1 ms. */
const COMPARED_MAX = 32;
/** How rare a fragment is tells the place in time of its newest context but this many. */
const DEPTH = 63;

export const quote = (text: string) => `"${text}"`;
export const and = (expressions: readonly string[]) => `(${expressions.join(' AND ')})`;
const or = (expressions: readonly string[]) => `(${expressions.join(' OR ')})`;
const but = (expression: string, excluded: string) => `(${expression} NOT ${excluded})`;

/** The folded name of the row `c`. */
export const NAME = 'substr(c.search, 1, instr(c.search, char(10)) - 1)';

/** Terms that are values of a statement each, which is quicker than a list of them; D1 takes 100 values. */
const TERMS_BOUND = 10;

/** Splits folded terms by how they are found. */
export function wantedOf(text: string | null, wordings: readonly (readonly string[])[]): Wanted {
  const isShort = (term: string) => [...term].length < FRAGMENT_MIN;
  // Only letters of longer terms are corrected: the short ones are the same in every wording.
  const short = (wordings[0] ?? []).filter(isShort);
  return {
    text,
    terms: [...new Set(wordings.flat())],
    short,
    wordings: wordings.map((terms) => terms.filter((term) => !isShort(term))),
  };
}

/** Whether all terms of a wording stand in a text of the row `c`, as an SQL condition. */
export function standIn(text: string, wordings: Wanted['wordings'], values: Binder): string {
  const [only = []] = wordings;
  if (wordings.length === 1 && only.length > 0 && only.length <= TERMS_BOUND) {
    return `(${only.map((term) => `instr(${text}, ${values.add(term)}) > 0`).join(' AND ')})`;
  }
  return `EXISTS (SELECT 1 FROM json_each(${values.add(JSON.stringify(wordings))}) w
    WHERE NOT EXISTS (SELECT 1 FROM json_each(w.value) t WHERE instr(${text}, t.value) = 0))`;
}

/**
 * The tables of the statements in which tiers are. Each is filled when it is first asked for.
 *
 * `possible` has a row unless the dictionary tells that nothing can fit. The fragments of a mistyped common word are as
 * common as the word, so that the index would go through all that have those before it knew.
 *
 * `rare` has the fragments of each wording that the fewest contexts have. Nothing counts them; but of a common one the
 * newest 64 contexts are all new, while those of a rare one go far back.
 */
export function tierTables({ wordings }: Wanted, values: Binder): string {
  const compared = wordings.map((terms) => {
    const fragments = terms.flatMap((term, place) =>
      fragmentsOfTerm(term).map((each) => [escaped(each), place] as const),
    );
    const step = Math.ceil(fragments.length / COMPARED_MAX);
    return fragments.filter((_, index) => index % step === 0);
  });
  // Corrected terms are made of words of the dictionary.
  const pieces = wordings.length === 1 ? wordings.flat().flatMap(knownPieces) : [];
  return `possible AS MATERIALIZED (SELECT 1 WHERE NOT EXISTS (
      SELECT 1 FROM json_each(${values.add(JSON.stringify(pieces))}) p
      WHERE NOT EXISTS (SELECT 1 FROM context_words WHERE word >= p.value AND word < p.value || char(${0x10ffff}))
        AND NOT EXISTS (SELECT 1 FROM context_words WHERE instr(word, p.value) > 0))),
    ${rareTable(compared, values)}`;
}

function rareTable(compared: readonly (readonly (readonly [string, number])[])[], values: Binder): string {
  const each = `json_each(${values.add(JSON.stringify(compared))}) w CROSS JOIN json_each(w.value) f`;
  if (compared.every(({ length }) => length <= RAREST)) {
    return `rare AS MATERIALIZED (SELECT w.key AS wording, f.value ->> 0 AS text FROM ${each})`;
  }
  const all = values.add(JSON.stringify([...new Set(compared.flat().map(([fragment]) => fragment))]));
  return `fragment AS MATERIALIZED (SELECT value AS text, (SELECT rowid FROM contexts_fts
      WHERE contexts_fts MATCH '"${token('any', '')}' || value || '"' ORDER BY rowid DESC LIMIT 1 OFFSET ${DEPTH}) AS depth
      FROM json_each(${all})),
    ranked AS (SELECT w.key AS wording, fragment.text AS text, depth,
        row_number() OVER (PARTITION BY w.key ORDER BY depth) AS place,
        row_number() OVER (PARTITION BY w.key, f.value ->> 1 ORDER BY depth) AS place_in_term
      FROM ${each} JOIN fragment ON fragment.text = f.value ->> 0),
    rare AS MATERIALIZED (SELECT wording, text FROM (SELECT wording, text, place,
        row_number() OVER (PARTITION BY wording ORDER BY place_in_term > 1, depth) AS turn FROM ranked)
      WHERE turn <= ${RAREST} OR place <= ${RAREST_OF_ALL})`;
}

/** An SQL expression for the candidates that have the rarest fragments, and the short terms, in any field or the name. */
function candidates({ short, wordings }: Wanted, kind: 'any' | 'nameFragment', values: Binder): string {
  const exact = short.map((term) => quote(token(kind, term)));
  if (!hasLong({ wordings })) return values.add(and(exact));
  return `(SELECT '((' || group_concat(wording, ') OR (') || '))${exact.map((one) => ` AND ${one}`).join('')}' FROM (
    SELECT group_concat('"${token(kind, '')}' || text || '"', ' AND ') AS wording FROM possible CROSS JOIN rare GROUP BY rare.wording))`;
}

function hasLong({ wordings }: Pick<Wanted, 'wordings'>): boolean {
  return wordings.some((terms) => terms.length > 0);
}

/** Everything that fits in any way. Fragments can be there without the term, so that the text itself is looked at. */
export function anyFit(wanted: Wanted, values: Binder): Tier {
  const conditions = hasLong(wanted) ? [standIn('c.search', wanted.wordings, values)] : [];
  return { tier: TIER.anywhere, match: candidates(wanted, 'any', values), conditions };
}

/**
 * The ways to fit, best first; together they are what `anyFit` gives. Nothing is ranked: each is a question to the
 * index, which answers newest first and stops at a full page, so that a common word costs no more than a rare one. Each
 * leaves out what the better ones gave.
 */
export function searchTiers(wanted: Wanted, values: Binder): Tier[] {
  const { text, short, wordings } = wanted;
  const words = or(wordings.map((terms) => and([...terms, ...short].map((term) => quote(token('nameWord', term))))));
  const others = [
    { tier: TIER.words, match: values.add(words), conditions: [] },
    inName(wanted, words, values),
    elsewhere(wanted, values),
  ];
  if (text === null) return others;
  const [start, length] = [values.add(text), values.integer([...text].length)];
  const begins = `substr(c.search, 1, ${length}) = ${start}`;
  const beginsOtherwise = `substr(c.search, 1, ${length}) <> ${start}`;
  const whole = quote(token('name', text));
  const starting = [...startTokens(text), ...short.map((term) => token('nameFragment', term))];
  return [
    { tier: TIER.name, match: values.add(whole), conditions: [] },
    {
      tier: TIER.start,
      match: `(SELECT ${values.add(but(and(starting.map(quote)), whole))} FROM possible)`,
      conditions: [begins],
    },
    ...others.map((tier) => {
      return tier.tier === TIER.anywhere ? tier : { ...tier, conditions: [beginsOtherwise, ...tier.conditions] };
    }),
  ];
}

function inName(wanted: Wanted, words: string, values: Binder): Tier {
  const match = `(${candidates(wanted, 'nameFragment', values)} || ${values.add(` NOT ${words}`)})`;
  return { tier: TIER.inName, match, conditions: hasLong(wanted) ? [standIn(NAME, wanted.wordings, values)] : [] };
}

function elsewhere(wanted: Wanted, values: Binder): Tier {
  const any = anyFit(wanted, values);
  const shortInName = and(wanted.short.map((term) => quote(token('nameFragment', term))));
  if (!hasLong(wanted)) return { ...any, match: `(${any.match} || ${values.add(` NOT ${shortInName}`)})` };
  const isInName = [
    standIn(NAME, wanted.wordings, values),
    ...(wanted.short.length === 0
      ? []
      : [
          `EXISTS (SELECT 1 FROM contexts_fts WHERE contexts_fts MATCH ${values.add(shortInName)}
            AND contexts_fts.rowid = c.rowid)`,
        ]),
  ];
  return { ...any, conditions: [...any.conditions, `NOT (${isInName.join(' AND ')})`] };
}

/** Whether the short terms are words of a context's search text. */
export function hasShort(search: string, { short }: Wanted): boolean {
  if (short.length === 0) return true;
  const fragments = new Set(search.split('\n').flatMap((field) => [...fragmentsOf(field)]));
  return short.every((term) => fragments.has(term));
}

/** The tier of a context that fits, by its folded name: the same as the questions above would have given. */
export function tierOf(name: string, wanted: Wanted): number {
  const { text, short, wordings } = wanted;
  if (name === text) return TIER.name;
  const isInName = wordings.some((terms) => terms.every((term) => name.includes(term))) && hasShort(name, wanted);
  if (!isInName) return TIER.anywhere;
  if (text !== null && name.startsWith(text)) return TIER.start;
  const words = new Set(wordsOf(name));
  return wordings.some((terms) => [...terms, ...short].every((term) => words.has(term))) ? TIER.words : TIER.inName;
}

/**
 * About the tier of the row `c`, as an SQL expression: as near as SQL comes without knowing what a letter is.
 *
 * @param name an SQL expression for the folded name of the row
 */
export function likelyTier(wanted: Wanted, values: Binder, name = NAME): string {
  const { text, short, wordings } = wanted;
  const spaced = wordings.map((terms) => [...terms, ...short].map((term) => ` ${term} `));
  const start = values.add(text ?? '');
  const starts =
    text === null
      ? ''
      : `WHEN ${name} = ${start} THEN ${TIER.name}
         WHEN substr(${name}, 1, ${values.integer([...text].length)}) = ${start} THEN ${TIER.start}`;
  return `CASE ${starts}
    WHEN ${standIn(`' ' || ${name} || ' '`, spaced, values)} THEN ${TIER.words}
    WHEN ${standIn(name, wanted.wordings, values)} THEN ${TIER.inName} ELSE ${TIER.anywhere} END`;
}
