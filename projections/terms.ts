import { fold } from './fold.ts';

/**
 * What can be asked of the index. The first letter of a token says which question it answers; the rest is the text that
 * the question is about.
 */
const KINDS = {
  /** A fragment of any field. */
  any: 'a',
  /** A fragment of the name. */
  nameFragment: 'n',
  /** A word of the name. */
  nameWord: 'w',
  /** The first characters of the name. */
  nameStart: 'p',
  /** The whole name. */
  name: 'e',
  owner: 'o',
  /** Somebody who may read it. */
  reader: 'r',
  system: 's',
  tool: 't',
  status: 'x',
} as const;

/** Code points from which on a term is found anywhere; shorter ones are found as whole words. */
export const FRAGMENT_MIN = 3;

/**
 * Code points of a name's beginning that have a token. A query is looked up by the longest that it fills, which leaves
 * few candidates to check; Fibonacci numbers keep the tokens few.
 */
const START_LENGTHS = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144];

/** Code points of a word that the dictionary of corrections takes: below, nearly everything is one letter away. */
const WORD_MIN = 3;
const WORD_MAX = 40;
/** Code points of a piece of a term of which the dictionary is asked whether it has it: of less, the index knows as soon. */
const PIECE_MIN = 6;
const PIECE_MAX = 20;

/** What the index is about: the searchable members of a context. */
export interface Searchable {
  readonly name: string;
  readonly description: string;
  readonly owner: string;
  readonly members: readonly { readonly actor: string }[];
  readonly systems: readonly string[];
  readonly tools: readonly string[];
  readonly status: string;
}

/**
 * A token as the index keeps it: digits, letters and non-ASCII characters stand for themselves, everything else is
 * `z<hex>z`, so that the tokenizer sees one token, upper and lower case stay apart and no query can contain syntax.
 */
export function token(kind: keyof typeof KINDS, text: string): string {
  return KINDS[kind] + escaped(text);
}

/** A text as it stands in tokens. */
export function escaped(text: string): string {
  return text.replace(/[^0-9a-y\u0080-\u{10ffff}]/gu, (c) => `z${c.codePointAt(0)?.toString(16)}z`);
}

/** The folded texts of a context's fields, a line each, the name first. */
export function searchText(context: Searchable): string {
  return [context.name, context.owner, ...context.systems, ...context.tools, context.description].map(fold).join('\n');
}

/** All tokens of a context, separated by spaces. */
export function indexTokens(context: Searchable): string {
  const tokens = new Set<string>([
    token('owner', context.owner),
    ...context.members.map(({ actor }) => token('reader', actor)),
    token('status', context.status),
    ...context.systems.map((system) => token('system', system)),
    ...context.tools.map((tool) => token('tool', tool)),
  ]);
  const fields = searchText(context).split('\n');
  for (const field of fields) for (const fragment of fragmentsOf(field)) tokens.add(token('any', fragment));
  const [name = ''] = fields;
  for (const fragment of fragmentsOf(name)) tokens.add(token('nameFragment', fragment));
  for (const word of wordsOf(name)) tokens.add(token('nameWord', word));
  const letters = [...name];
  for (const length of START_LENGTHS) {
    if (length <= letters.length) tokens.add(token('nameStart', letters.slice(0, length).join('')));
  }
  tokens.add(token('name', name));
  return [...tokens].join(' ');
}

/** Tokens that every name starting with this folded text has: its longest indexed beginning, its words, its end. */
export function startTokens(folded: string): string[] {
  const letters = [...folded];
  const length = START_LENGTHS.findLast((candidate) => candidate <= letters.length) ?? 0;
  const words = folded.split(' ');
  const last = [...(words.pop() ?? '')];
  const tokens = new Set([
    token('nameStart', letters.slice(0, length).join('')),
    ...words.map((word) => token('nameWord', word)),
  ]);
  // What the beginning does not reach of the last word, which may be longer in the name.
  const reached = Math.max(0, length - (letters.length - last.length));
  for (let end = last.length; end > reached && last.length >= FRAGMENT_MIN; end -= FRAGMENT_MIN) {
    const start = Math.max(0, end - FRAGMENT_MIN);
    tokens.add(token('nameFragment', last.slice(start, start + FRAGMENT_MIN).join('')));
  }
  return [...tokens];
}

/** Fragments that every text which has a term has: the term itself when it is short, else its trigrams. */
export function fragmentsOfTerm(term: string): string[] {
  const letters = [...term];
  if (letters.length <= FRAGMENT_MIN) return [term];
  return [...new Set(letters.slice(FRAGMENT_MIN - 1).map((_, at) => letters.slice(at, at + FRAGMENT_MIN).join('')))];
}

/** The trigrams of a folded text, and what stands in it as a whole word of one or two characters. */
export function fragmentsOf(folded: string): Set<string> {
  const fragments = new Set<string>();
  for (const chunk of folded.split(' ')) {
    const letters = [...chunk];
    for (const [index, letter] of letters.entries()) {
      const [before, second, third] = [letters[index - 1], letters[index + 1], letters[index + 2]];
      if (second !== undefined && third !== undefined) fragments.add(letter + second + third);
      if (!isWordBoundary(before, letter)) continue;
      if (isWordBoundary(letter, second)) fragments.add(letter);
      if (second !== undefined && isWordBoundary(second, third)) fragments.add(letter + second);
    }
  }
  return fragments;
}

/** The words of a folded text: what stands between spaces, and its runs of letters and digits. */
export function wordsOf(folded: string): string[] {
  return [...folded.split(' '), ...(folded.match(/[\p{L}\p{N}\p{M}]+/gu) ?? [])].filter((word) => word !== '');
}

/**
 * The words that the dictionary takes from a context, each once: those that a mistyped one may be corrected to, and
 * something around each of the `knownPieces` that the index has of the context.
 */
export function dictionaryWords(context: Searchable): string[] {
  const text = [context.name, ...context.systems, ...context.tools, context.description].map(fold).join('\n');
  const long = spacedRuns(text).flatMap((run) => overlapping([...run]));
  return [...new Set([...letterRuns(text), ...long, fold(context.owner)])];
}

/**
 * Pieces of a folded term of which the dictionary has a word around each, when there is a context with the term at all.
 * No pieces of scripts without spaces: whole sentences would be words.
 */
export function knownPieces(term: string): string[] {
  return spacedRuns(term).filter((run) => {
    const { length } = [...run];
    return length >= PIECE_MIN && length <= PIECE_MAX;
  });
}

/** The runs of letters of scripts that put spaces between words. */
function spacedRuns(folded: string): string[] {
  return (folded.match(/[\p{L}\p{M}]+/gu) ?? [])
    .flatMap((run) => run.split(UNSPACED))
    .filter((run) => [...run].length >= WORD_MIN);
}

/** A run of letters as words that the dictionary takes: whole when it is short enough, else so that none of its pieces is cut. */
function overlapping(letters: readonly string[]): string[] {
  if (letters.length <= WORD_MAX) return [letters.join('')];
  return [letters.slice(0, WORD_MAX).join(''), ...overlapping(letters.slice(WORD_MAX - PIECE_MAX))];
}

/** The runs of letters in a folded text that can be corrected. */
export function letterRuns(folded: string): string[] {
  return (folded.match(/[\p{L}\p{M}]+/gu) ?? []).filter((run) => {
    const { length } = [...run];
    return length >= WORD_MIN && length <= WORD_MAX;
  });
}

/** Letters of scripts that are written without spaces, or (Hangul) with endings joined on: each is a word by itself. */
const UNSPACED =
  /[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Hangul}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}]/u;

const LETTER = /[\p{L}\p{N}\p{M}]/u;

/** Whether a character makes a longer word with its neighbour, by character: asked for every one that is indexed. */
const joins = new Map<string, boolean>();

/** Entries of `joins` at most: more than the letters of any corpus, and a bound on what hostile input can fill. */
const JOINS_MAX = 20_000;

function joinsNeighbours(character: string): boolean {
  const known = joins.get(character);
  if (known !== undefined) return known;
  const answer = LETTER.test(character) && !UNSPACED.test(character);
  if (joins.size < JOINS_MAX) joins.set(character, answer);
  return answer;
}

/** Whether a word can end between these two characters; undefined stands for the end of the text. */
export function isWordBoundary(before: string | undefined, after: string | undefined): boolean {
  return before === undefined || after === undefined || !joinsNeighbours(before) || !joinsNeighbours(after);
}
