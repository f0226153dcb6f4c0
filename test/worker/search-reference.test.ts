import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Context } from '../../actors/context.ts';
import type { ContextFilters } from '../../projections/context-filters.ts';
import { type ContextQuery, listContexts, searchContexts } from '../../projections/context-query.ts';
import { clearContexts, projectContexts } from '../../projections/contexts.ts';
import { fold } from '../../projections/fold.ts';
import { contextState } from '../support/search.ts';
import { printedSeed } from '../support/seed.ts';

/*
 * What search means, written as plainly as can be, over all contexts at once. Only folding is taken from the product;
 * it has its own tests.
 */

function fieldsOf(context: Context): string[] {
  return [context.name, context.owner, ...context.systems, ...context.tools, context.description].map(fold);
}

const JOINING = /^[\p{L}\p{N}\p{M}]$/u;
const CJK = /^[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Hangul}]$/u;

function isJoining(letter: string | undefined): boolean {
  return letter !== undefined && JOINING.test(letter) && !CJK.test(letter);
}

/** Whether a term stands in a text: anywhere from 3 characters on, else as a whole word. */
function stands(term: string, text: string): boolean {
  const [needle, hay] = [[...term], [...text]];
  return hay.some((_, at) => {
    if (needle.some((letter, index) => hay[at + index] !== letter)) return false;
    if (needle.length >= 3) return true;
    const end = at + needle.length;
    const opens = !isJoining(hay[at - 1]) || !isJoining(hay[at]);
    return opens && (!isJoining(hay[end - 1]) || !isJoining(hay[end]));
  });
}

/** How well a context fits, 0 is best; null when it does not. The name is said to have a term when it has every third of its trigrams and the last. */
function tierOf(context: Context, text: string | null, terms: readonly string[]): number | null {
  const fields = fieldsOf(context);
  if (!terms.every((term) => fields.some((field) => stands(term, field)))) return null;
  const [name = ''] = fields;
  const words = [...name.split(' '), ...(name.match(/[\p{L}\p{N}\p{M}]+/gu) ?? [])];
  const hasFragments = terms.every((term) => {
    const letters = [...term];
    if (letters.length < 3) return stands(term, name);
    const places = letters
      .slice(2)
      .map((_, at) => at)
      .filter((at) => at % 3 === 0 || at === letters.length - 3);
    return places.every((at) => name.includes(letters.slice(at, at + 3).join('')));
  });
  if (name === text) return 0;
  if (text !== null && name.startsWith(text) && hasFragments) return 1;
  if (terms.every((term) => words.includes(term))) return 2;
  return hasFragments ? 3 : 4;
}

function passes(context: Context, { filters, readableBy }: Pick<ContextQuery, 'filters' | 'readableBy'>): boolean {
  return (
    context.status === filters.status &&
    (readableBy === null || context.owner === readableBy) &&
    (filters.owner === undefined || context.owner === filters.owner) &&
    (filters.system === undefined || context.systems.includes(filters.system)) &&
    (filters.tool === undefined || context.tools.includes(filters.tool)) &&
    (filters.createdAfter === undefined || context.createdAt >= filters.createdAfter) &&
    (filters.createdBefore === undefined || context.createdAt < filters.createdBefore) &&
    (filters.updatedAfter === undefined || context.updatedAt >= filters.updatedAfter) &&
    (filters.updatedBefore === undefined || context.updatedAt < filters.updatedBefore)
  );
}

type Scope = Pick<ContextQuery, 'filters' | 'readableBy' | 'few'>;

function newestFirst(a: Context, b: Context): number {
  return b.createdAt.localeCompare(a.createdAt);
}

function expectedSearch(contexts: readonly Context[], q: string, scope: Scope): string[] {
  const text = fold(q);
  const scored = contexts
    .filter((context) => passes(context, scope))
    .flatMap((context) => {
      const tier = tierOf(context, text, text.split(' '));
      return tier === null ? [] : [{ context, tier }];
    });
  return scored.sort((a, b) => a.tier - b.tier || newestFirst(a.context, b.context)).map(({ context }) => context.id);
}

async function actualSearch(
  q: string | null,
  scope: Scope,
  limit: number,
): Promise<{ ids: string[]; corrected: boolean }> {
  const ids: string[] = [];
  let query: ContextQuery = { ...scope, limit };
  let corrected = false;
  for (;;) {
    const page = q === null ? await listContexts(env.DB, query) : await searchContexts(env.DB, q, query);
    for (const body of page.bodies) {
      const { id }: { id: string } = JSON.parse(body);
      ids.push(id);
    }
    corrected ||= q !== null && page.terms.join(' ') !== [...new Set(fold(q).split(' '))].join(' ');
    if (page.next === null) return { ids, corrected };
    query = { ...query, after: page.next };
  }
}

const pieces = [
  'an',
  'ana',
  'ban',
  'na',
  'plan',
  'Größe',
  'É',
  '東',
  '京都',
  'か',
  '😀',
  'c++',
  '-',
  '"',
  '100%',
  '*',
  'OR',
  'x',
  ' ',
  ' ',
  ' ',
];
const text = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
const label = fc.constantFrom('github', 'GitHub', 'linear', 'a b', '日本');
const owner = fc.constantFrom('act_alice', 'act_Alice', 'act_bob');
const time = fc.integer({ min: 0, max: 12 }).map((n) => new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString());

const fields = fc.record({
  name: text.map((name) => name.trim() || 'x'),
  description: fc.oneof(fc.constant(''), text),
  owner,
  systems: fc.uniqueArray(label, { maxLength: 2 }),
  tools: fc.uniqueArray(label, { maxLength: 2 }),
  status: fc.constantFrom('active' as const, 'active' as const, 'deleted' as const),
  hours: fc.integer({ min: 0, max: 3 }),
});

const corpus = fc.array(fields, { maxLength: 12 }).map((all) =>
  all.map(({ hours, ...rest }, n) => {
    const { createdAt } = contextState(n);
    return contextState(n, { ...rest, updatedAt: new Date(Date.parse(createdAt) + hours * 3_600_000).toISOString() });
  }),
);

const filters: fc.Arbitrary<ContextFilters> = fc.oneof(
  fc.constant({ status: 'active' as const }),
  fc.record(
    {
      status: fc.constantFrom('active' as const, 'deleted' as const),
      owner,
      system: label,
      tool: label,
      createdAfter: time,
      createdBefore: time,
      updatedAfter: time,
      updatedBefore: fc.oneof(time, fc.constant('2026-01-01T02:00:05.000Z')),
    },
    { requiredKeys: ['status'] },
  ),
);
// Few contexts are ranked in one way, many in another: with none to be few, all are many.
const scope: fc.Arbitrary<Scope> = fc.record({ filters, readableBy: fc.option(owner), few: fc.constantFrom(0, 3, 40) });
const limit = fc.constantFrom(1, 2, 3, 100);

describe('search and lists against a plain reference', () => {
  it('give the same contexts in the same order, whatever the page size', async () => {
    const queries = fc.array(
      fc.tuple(
        text.filter((q) => fold(q) !== ''),
        scope,
        limit,
      ),
      { minLength: 8, maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(corpus, queries, async (contexts, asked) => {
        await clearContexts(env.DB);
        await projectContexts(env.DB, contexts);
        for (const [q, where, size] of asked) {
          const expected = expectedSearch(contexts, q, where);
          const { ids, corrected } = await actualSearch(q, where, size);
          // What is found when nothing fits has a test of its own.
          expect(corrected ? [] : ids, q).toEqual(expected);

          const listed = contexts.filter((context) => passes(context, where)).sort(newestFirst);
          expect((await actualSearch(null, where, size)).ids).toEqual(listed.map(({ id }) => id));
        }
      }),
      { numRuns: 60, seed: printedSeed('search') },
    );
  }, 60_000);

  it('forgive one letter anywhere in a word, and only where nothing fits', async () => {
    const words = ['budget', 'planning', 'größe', 'infra', 'ops', 'review'];
    const contexts = words.map((word, n) => contextState(n, { name: `The ${word} of ${n}` }));
    await clearContexts(env.DB);
    await projectContexts(env.DB, contexts);
    const letter = fc.constantFrom(...'abzéß');
    const edit = fc.record({
      word: fc.constantFrom(...words),
      at: fc.nat(8),
      letter,
      kind: fc.constantFrom('add', 'drop', 'other', 'swap'),
      few: fc.constantFrom(0, 40),
    });
    await fc.assert(
      fc.asyncProperty(edit, async ({ word, at, letter: other, kind, few }) => {
        const letters = [...fold(word)];
        const place = at % letters.length;
        const here = letters[place] ?? '';
        if (kind === 'add') letters.splice(place, 0, fold(other)[0] ?? '');
        if (kind === 'drop') letters.splice(place, 1);
        if (kind === 'other') letters[place] = fold(other)[0] ?? '';
        if (kind === 'swap') letters.splice(place, 2, letters[place + 1] ?? '', here);
        const typed = letters.join('');
        fc.pre(letters.length >= 3);
        const where: Scope = { filters: { status: 'active' }, readableBy: null, few };
        const { ids } = await actualSearch(typed, where, 100);
        const fitting = expectedSearch(contexts, typed, where);
        const meant = contexts[words.indexOf(word)]?.id ?? '';
        if (fitting.length > 0) expect(ids).toEqual(fitting);
        else expect(ids, typed).toContain(meant);
      }),
      { numRuns: 150, seed: printedSeed('typing errors') },
    );
  }, 30_000);
});
