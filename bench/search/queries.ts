import type { ContextFilters } from '../../projections/context-filters.ts';
import type { ContextQuery } from '../../projections/context-query.ts';
import { corpusContext, LATELY_MS, owner, random, rareWord, reader } from './corpus.ts';

/** Contexts on the page that is asked for. */
const LIMIT = 20;

/** One query: as the product asks it, and as FTS5 would be asked plainly, where it could be. */
export interface Sample {
  readonly find: { readonly text: string | null; readonly query: ContextQuery };
  readonly match: string | null;
}

/** A kind of query and its samples. */
export interface QueryKind {
  readonly name: string;
  sample(n: number, contexts: number): Sample;
}

const COMMON = ['project', 'review', 'planning', 'budget', 'team', 'customer', 'report', 'infrastructure', 'the'];
const COMMON_PARTS = ['ing', 'pro', 'tion', 'men', 'plan', 'ster', 'ent', 'rep', 'ling'];

const at = (items: readonly string[], n: number) => items[n % items.length] ?? '';

function query(filters: Partial<ContextFilters> = {}, more: Partial<ContextQuery> = {}): ContextQuery {
  return { filters: { status: 'active', ...filters }, readableBy: null, limit: LIMIT, ...more };
}

function text(q: string, filters?: Partial<ContextFilters>): Sample {
  const match = q.split(' ').every((term) => [...term].length >= 3)
    ? q
        .split(' ')
        .map((term) => `"${term}"`)
        .join(' AND ')
    : null;
  return { find: { text: q, query: query(filters) }, match: filters ? null : match };
}

const list = (filters: Partial<ContextFilters>): Sample => ({
  find: { text: null, query: query(filters) },
  match: null,
});

/** The same as an actor asks it who sees only what is shared with them; there is no plain index for that. */
function readable({ find }: Sample, readableBy: string): Sample {
  return { find: { ...find, query: { ...find.query, readableBy } }, match: null };
}

/** One of many who have about as much as everybody else: at a million contexts, 400. */
const oneReader = (n: number) => reader(n * 97);
/** One of the few who have the most: at a million contexts, 14,000 to 2,000. */
const greatOwner = (n: number) => owner(n % 12);

/** A word of some context, drawn evenly over contexts. */
function someWord(n: number, contexts: number): string {
  const next = random(n * 31 + 5);
  for (;;) {
    const words = corpusContext(Math.floor(next() * contexts))
      .name.toLowerCase()
      .split(' ');
    const word = words.find((candidate) => /^[a-z]{6,}$/.test(candidate));
    if (word !== undefined) return word;
  }
}

function mistyped(word: string, n: number): string {
  const place = 1 + (n % (word.length - 2));
  const [before, here, next, rest] = [
    word.slice(0, place),
    word.charAt(place),
    word.charAt(place + 1),
    word.slice(place + 2),
  ];
  const edits = [
    before + next + here + rest,
    before + next + rest,
    `${before}q${next}${rest}`,
    `${before}q${here}${next}${rest}`,
  ];
  return at(edits, n);
}

/** What is measured. */
export const queryKinds: readonly QueryKind[] = [
  { name: 'common word', sample: (n) => text(at(COMMON, n)) },
  { name: 'word of some context', sample: (n, contexts) => text(someWord(n, contexts)) },
  { name: 'rare word', sample: (n) => text(rareWord(29_000 + n)) },
  { name: 'whole name', sample: (n, contexts) => text(corpusContext((n * 7907) % contexts).name.toLowerCase()) },
  { name: 'prefix of 3 to 5', sample: (n, contexts) => text(someWord(n, contexts).slice(0, 3 + (n % 3))) },
  { name: 'fragment of 3 to 5', sample: (n, contexts) => text(someWord(n, contexts).slice(1, 4 + (n % 3))) },
  { name: 'common fragment', sample: (n) => text(at(COMMON_PARTS, n)) },
  { name: 'two common words', sample: (n) => text(`${at(COMMON, n)} ${at(COMMON, n * 5 + 1)}`) },
  { name: 'common word and some word', sample: (n, contexts) => text(`${at(COMMON, n)} ${someWord(n, contexts)}`) },
  { name: 'short word (ai, qa, hr)', sample: (n) => text(at(['ai', 'qa', 'hr', 'q3'], n)) },
  { name: 'CJK of 1 or 2 characters', sample: (n) => text(at(['東京', '計', '会議', '北', '설계'], n)) },
  { name: 'nothing fits, nothing near', sample: (n) => text(`xqzj${n}vkw`) },
  { name: 'one letter mistyped', sample: (n, contexts) => text(mistyped(someWord(n, contexts), n)) },
  {
    name: 'mistyped beside a common word',
    sample: (n, contexts) => text(`${at(COMMON, n)} ${mistyped(someWord(n, contexts), n)}`),
  },
  { name: 'common word, owner of few', sample: (n) => text(at(COMMON, n), { owner: owner(4_900 + (n % 90)) }) },
  { name: 'common word, common system', sample: (n) => text(at(COMMON, n), { system: 'github' }) },
  { name: 'common word, rare system', sample: (n) => text(at(COMMON, n), { system: 'docusign' }) },
  { name: 'common word, deleted', sample: (n) => text(at(COMMON, n), { status: 'deleted' }) },
  {
    name: 'common word, changed lately',
    sample: (n) => text(at(COMMON, n), { updatedAfter: new Date(LATELY_MS).toISOString() }),
  },
  {
    name: 'common word, created before',
    sample: (n) => text(at(COMMON, n), { createdBefore: corpusContext(2000 + n).createdAt }),
  },
  { name: 'common word, what one actor may read', sample: (n) => readable(text(at(COMMON, n)), oneReader(n)) },
  {
    name: 'some word, what one actor may read',
    sample: (n, contexts) => readable(text(someWord(n, contexts)), oneReader(n)),
  },
  { name: 'common word, what one with many may read', sample: (n) => readable(text(at(COMMON, n)), greatOwner(n)) },
  {
    name: 'some word, what one with many may read',
    sample: (n, contexts) => readable(text(someWord(n, contexts)), greatOwner(n)),
  },
  { name: 'list, newest', sample: () => list({}) },
  { name: 'list, what one actor may read', sample: (n) => readable(list({}), oneReader(n)) },
  { name: 'list, one owner', sample: (n) => list({ owner: owner(n * 40) }) },
  { name: 'list, system and tool', sample: () => list({ system: 'github', tool: 'docusign' }) },
  { name: 'list, changed lately', sample: () => list({ updatedAfter: new Date(LATELY_MS).toISOString() }) },
];
