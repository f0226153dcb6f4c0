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

/** How well a context fits, 0 is best; null when it does not. */
function tierOf(context: Context, text: string | null, terms: readonly string[]): number | null {
  const fields = fieldsOf(context);
  if (!terms.every((term) => fields.some((field) => stands(term, field)))) return null;
  const [name = ''] = fields;
  const words = [...name.split(' '), ...(name.match(/[\p{L}\p{N}\p{M}]+/gu) ?? [])];
  if (name === text) return 0;
  if (!terms.every((term) => stands(term, name))) return 4;
  if (text !== null && name.startsWith(text)) return 1;
  return terms.every((term) => words.includes(term)) ? 2 : 3;
}

function passes(context: Context, { filters, readableBy, among }: Scope): boolean {
  return (
    context.status === filters.status &&
    (readableBy === null || context.members.some(({ actor }) => actor === readableBy)) &&
    (among === null || among.includes(context.id)) &&
    (filters.owner === undefined || context.owner === filters.owner) &&
    (filters.system === undefined || context.systems.includes(filters.system)) &&
    (filters.tool === undefined || context.tools.includes(filters.tool)) &&
    (filters.createdAfter === undefined || context.createdAt >= filters.createdAfter) &&
    (filters.createdBefore === undefined || context.createdAt < filters.createdBefore) &&
    (filters.updatedAfter === undefined || context.updatedAt >= filters.updatedAfter) &&
    (filters.updatedBefore === undefined || context.updatedAt < filters.updatedBefore)
  );
}

type Scope = Pick<ContextQuery, 'filters' | 'readableBy' | 'few'> & { among: readonly string[] | null };

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
  between: () => Promise<unknown> = async () => undefined,
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
    await between();
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
  'argaret',
  '*',
  'OR',
  'x',
  ' ',
  ' ',
  ' ',
];
const piece = fc.oneof(fc.constantFrom('an', 'plan', 'ana', ' plan ', ' '), fc.constantFrom(...pieces));
const text = fc.array(piece, { minLength: 2, maxLength: 6, size: 'max' }).map((parts) => parts.join(''));
const label = fc.constantFrom('github', 'GitHub', 'linear', 'a b', '日本');
const owner = fc.constantFrom('act_alice', 'act_Alice', 'act_margaret');
const reader = fc.constantFrom('act_alice', 'act_margaret', 'act_carol', 'act_carol', 'act_carol');
const time = fc.integer({ min: 0, max: 12 }).map((n) => new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString());

const active = fc.constantFrom('active' as const, 'active' as const, 'active' as const, 'deleted' as const);

const fields = fc.record({
  name: text.map((name) => name.trim() || 'x'),
  description: fc.oneof(fc.constant(''), text),
  owner,
  others: fc.subarray(['act_alice', 'act_margaret', 'act_carol'], { minLength: 1 }),
  systems: fc.uniqueArray(label, { maxLength: 2 }),
  tools: fc.uniqueArray(label, { maxLength: 2 }),
  status: active,
  hours: fc.integer({ min: 0, max: 3 }),
});

type Fields = typeof fields extends fc.Arbitrary<infer T> ? T : never;

/** The nth context. */
function contextOf({ hours, others, ...rest }: Fields, n: number): Context {
  const { createdAt } = contextState(n);
  const members = [
    { actor: rest.owner, role: 'owner' as const, since: createdAt },
    ...others
      .filter((actor) => actor !== rest.owner)
      .map((actor) => ({ actor, role: 'viewer' as const, since: createdAt })),
  ];
  const updatedAt = new Date(Date.parse(createdAt) + hours * 3_600_000).toISOString();
  return contextState(n, { ...rest, members, updatedAt });
}

const corpus = fc.array(fields, { minLength: 4, maxLength: 12, size: 'max' }).map((all) => all.map(contextOf));

/** Most queries are for what many contexts have: of one that nothing fits, there is little to compare. */
const typed = fc.oneof(fc.constantFrom('plan', 'pla', 'lan', 'an', 'ana', 'plan an', 'an ana', 'x', '京'), text);

const filter: fc.Arbitrary<Partial<ContextFilters>> = fc.oneof(
  fc.record({ owner }),
  fc.record({ system: label }),
  fc.record({ tool: label }),
  fc.record({ createdAfter: time }),
  fc.record({ createdBefore: time }),
  fc.record({ updatedAfter: time }),
  fc.record({ updatedBefore: fc.oneof(time, fc.constant('2026-01-01T02:00:05.000Z')) }),
);
const filters: fc.Arbitrary<ContextFilters> = fc
  .tuple(
    active,
    fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(filter, { maxLength: 2 }) }),
  )
  .map(([status, all]) => Object.assign({ status }, ...all));
// Few contexts are looked at, many are asked for of the index: with none to be few, all are many.
const scope: fc.Arbitrary<Scope> = fc.record({
  filters,
  readableBy: fc.option(reader, { freq: 2 }),
  among: fc.oneof(
    { weight: 3, arbitrary: fc.constant(null) },
    {
      weight: 1,
      arbitrary: fc.subarray([...Array(12).keys()], { minLength: 4 }).map((all) => all.map((n) => contextState(n).id)),
    },
  ),
  few: fc.constantFrom(0, 3, 40),
});
const limit = fc.constantFrom(1, 2, 3, 100);

// Each takes seconds on a machine that does nothing else.
describe('search and lists against a plain reference', { timeout: 120_000 }, () => {
  it('give the same contexts in the same order, whatever the page size', async () => {
    const queries = fc.array(
      fc.tuple(
        typed.filter((q) => fold(q) !== ''),
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
  });

  it('find what a change made of the same pieces', async () => {
    const word = fc.integer({ min: 1, max: 5 }).map((times) => `ba${'na'.repeat(times)}`);
    const change = fc.tuple(word, word);
    const queries = fc.array(fc.tuple(word, fc.nat(4), fc.constantFrom(0, 40)), { minLength: 6, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), queries, async (changes, asked) => {
        const before = changes.map(([description], n) => contextState(n, { description }));
        const after = changes.map(([, description], n) => contextState(n, { description, version: 2 }));
        await clearContexts(env.DB);
        await projectContexts(env.DB, before);
        await projectContexts(env.DB, after);
        for (const [whole, cut, few] of asked) {
          const q = whole.slice(Math.min(cut, whole.length - 3));
          const where: Scope = { filters: { status: 'active' }, readableBy: null, among: null, few };
          const expected = expectedSearch(after, q, where);
          const { ids, corrected } = await actualSearch(q, where, 100);
          expect({ q, corrected, ids: corrected ? [] : ids }).toEqual({
            q,
            corrected: corrected && expected.length === 0,
            ids: expected,
          });
        }
      }),
      { numRuns: 40, seed: printedSeed('changes') },
    );
  });

  it('give the same contexts in the same order while others are added between the pages', async () => {
    const asked = fc.tuple(
      typed.filter((q) => fold(q) !== ''),
      scope,
      fc.constantFrom(1, 2, 3),
    );
    await fc.assert(
      fc.asyncProperty(corpus, fc.array(fields, { maxLength: 6 }), asked, async (contexts, later, [q, where, size]) => {
        for (const given of [q, null]) {
          await clearContexts(env.DB);
          await projectContexts(env.DB, contexts);
          const added = new Set<string>();
          const more = later.map((each, n) => contextOf(each, n % 2 === 0 ? 20 + n : -n));
          const between = async () => {
            const next = more.pop();
            if (next === undefined) return;
            added.add(next.id);
            await projectContexts(env.DB, [next]);
          };
          const expected =
            given === null
              ? contexts
                  .filter((context) => passes(context, where))
                  .sort(newestFirst)
                  .map(({ id }) => id)
              : expectedSearch(contexts, given, where);
          const { ids, corrected } = await actualSearch(given, where, size, between);
          // Whatever was added came after the first page was given.
          if (!corrected)
            expect(
              ids.filter((id) => !added.has(id)),
              given ?? 'list',
            ).toEqual(expected);
          expect(new Set(ids).size).toBe(ids.length);
        }
      }),
      { numRuns: 60, seed: printedSeed('pages') },
    );
  });

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
        const where: Scope = { filters: { status: 'active' }, readableBy: null, among: null, few };
        const { ids } = await actualSearch(typed, where, 100);
        const fitting = expectedSearch(contexts, typed, where);
        const meant = contexts[words.indexOf(word)]?.id ?? '';
        if (fitting.length > 0) expect(ids).toEqual(fitting);
        else expect(ids, typed).toContain(meant);
      }),
      { numRuns: 150, seed: printedSeed('typing errors') },
    );
  });
});
