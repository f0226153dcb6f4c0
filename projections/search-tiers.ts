import { FRAGMENT_MIN, fragmentsOf, fragmentsOfTerm, startToken, token, wordsOf } from './terms.ts';

/** What may stand for one term of a query: the term, or its corrections. */
export type Slot = readonly string[];

/** A query: something of each slot must be there. */
export type Slots = readonly Slot[];

/** What was asked for. */
export interface Wanted {
  /** The whole folded text; null when it was corrected. */
  readonly text: string | null;
  /** The query, or its corrected forms: one of them must fit. */
  readonly alternatives: readonly Slots[];
}

/** A way to fit: the candidates in the index, and what is checked on each. */
export interface Tier {
  /** How well it fits, 0 is best. */
  readonly tier: number;
  /** An FTS5 expression of tokens. */
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

export const quote = (text: string) => `"${text}"`;
export const and = (expressions: readonly string[]) => `(${expressions.join(' AND ')})`;
const or = (expressions: readonly string[]) => `(${expressions.join(' OR ')})`;
export const but = (expression: string, excluded: string) => `(${expression} NOT ${excluded})`;

function expression({ alternatives }: Wanted, tokensOf: (term: string) => string[]): string {
  const ofTerm = (term: string) => and(tokensOf(term).map(quote));
  return or(alternatives.map((slots) => and(slots.map((slot) => or(slot.map(ofTerm))))));
}

/** The fragments that a context which fits has of a term. */
function fragmentsFor({ text }: Wanted, term: string): string[] {
  return fragmentsOfTerm(term, text === null ? 'all' : 'covering');
}

function inNameOf(wanted: Wanted): string {
  return expression(wanted, (term) => fragmentsFor(wanted, term).map((fragment) => token('nameFragment', fragment)));
}

/**
 * Everything that fits in any way. Trigrams can be there without the term, so that the text itself is looked at; short
 * terms and words are tokens of their own.
 */
export function anyFit(wanted: Wanted, values: Binder): Tier {
  const given = values.add(JSON.stringify(wanted.alternatives));
  const isThere = `EXISTS (SELECT 1 FROM json_each(${given}) a WHERE NOT EXISTS (SELECT 1 FROM json_each(a.value) s
    WHERE NOT EXISTS (SELECT 1 FROM json_each(s.value) t WHERE instr(c.search, t.value) > 0)))`;
  const match = expression(wanted, (term) => fragmentsFor(wanted, term).map((fragment) => token('any', fragment)));
  return { tier: TIER.anywhere, match, conditions: [isThere] };
}

/**
 * The ways to fit, best first; together they are what `anyFit` gives. Nothing is ranked: each is a question to the
 * index, which answers newest first and stops at a full page, so that a common word costs no more than a rare one. Each
 * leaves out what the better ones gave.
 */
export function searchTiers(wanted: Wanted, values: Binder): Tier[] {
  const words = expression(wanted, (term) => [token('nameWord', term)]);
  const inName = inNameOf(wanted);
  const any = anyFit(wanted, values);
  const elsewhere = { ...any, match: but(any.match, inName) };
  const { text } = wanted;
  if (text === null) {
    return [
      { tier: TIER.words, match: words, conditions: [] },
      { tier: TIER.inName, match: but(inName, words), conditions: any.conditions },
      elsewhere,
    ];
  }
  const whole = quote(token('name', text));
  const [start, length] = [values.add(text), values.integer([...text].length)];
  const begins = `substr(c.search, 1, ${length}) = ${start}`;
  const beginsOtherwise = `substr(c.search, 1, ${length}) <> ${start}`;
  return [
    { tier: TIER.name, match: whole, conditions: [] },
    { tier: TIER.start, match: but(and([quote(startToken(text)), inName]), whole), conditions: [begins] },
    { tier: TIER.words, match: words, conditions: [beginsOtherwise] },
    { tier: TIER.inName, match: but(inName, words), conditions: [beginsOtherwise, ...any.conditions] },
    elsewhere,
  ];
}

/** Whether a context's search text has the terms: what `anyFit` tells of short ones only by the index. */
export function hasTerms(search: string, { alternatives }: Wanted): boolean {
  let fragments: Set<string> | null = null;
  const has = (term: string) => {
    if ([...term].length >= FRAGMENT_MIN) return search.includes(term);
    fragments ??= new Set(search.split('\n').flatMap((field) => [...fragmentsOf(field)]));
    return fragments.has(term);
  };
  return alternatives.some((slots) => slots.every((slot) => slot.some(has)));
}

/** The tier of a context that fits, by its folded name: the same as the questions above would have given. */
export function tierOf(name: string, wanted: Wanted): number {
  const { text, alternatives } = wanted;
  const words = new Set(wordsOf(name));
  const fragments = fragmentsOf(name);
  const fits = (isThere: (term: string) => boolean) =>
    alternatives.some((slots) => slots.every((slot) => slot.some(isThere)));
  if (name === text) return TIER.name;
  const isInName = fits((term) => fragmentsFor(wanted, term).every((fragment) => fragments.has(fragment)));
  if (text !== null && isInName && name.startsWith(text)) return TIER.start;
  if (fits((term) => words.has(term))) return TIER.words;
  return isInName ? TIER.inName : TIER.anywhere;
}
