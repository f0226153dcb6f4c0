import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Context } from '../../actors/context.ts';
import type { ContextFilters } from '../../projections/context-filters.ts';
import { type ContextQuery, listContexts, searchContexts } from '../../projections/context-query.ts';
import { clearContexts, projectContexts } from '../../projections/contexts.ts';
import { contextState } from '../support/search.ts';

/*
 * A query is answered in one of two ways, whichever is quickest: tier by tier from the index, or by looking at the few
 * that a filter leaves. What comes out must not tell which.
 */
const CHANGED: ContextFilters = { status: 'active', updatedAfter: '2026-01-01T00:00:00.000Z' };
const ways: [string, Pick<ContextQuery, 'filters' | 'few'>][] = [
  ['tier by tier', { filters: { status: 'active' }, few: 0 }],
  ['tier by tier, because a filter leaves many', { filters: CHANGED, few: 0 }],
  ['by looking at the few that changed', { filters: CHANGED, few: 40 }],
];

beforeEach(() => clearContexts(env.DB));

function given(...contexts: Partial<Context>[]): Promise<void> {
  return projectContexts(
    env.DB,
    contexts.map((fields, n) => contextState(n, fields)),
  );
}

describe.each(ways)('a search that is answered %s', (_, way) => {
  async function names(text: string | null, more: Partial<ContextQuery> = {}): Promise<string[]> {
    const query = { ...way, readableBy: null, limit: 20, ...more };
    const page = text === null ? await listContexts(env.DB, query) : await searchContexts(env.DB, text, query);
    return page.bodies.map((body) => {
      const { name }: { name: string } = JSON.parse(body);
      return name;
    });
  }

  it('puts words before parts of words, and the name before other fields', async () => {
    await given(
      { name: 'plan' },
      { name: 'Planning' },
      { name: 'A plan' },
      { name: 'Replan' },
      { name: 'B', tools: ['plan'] },
    );
    expect(await names('plan')).toEqual(['plan', 'Planning', 'A plan', 'Replan', 'B']);
  });

  it('finds short terms only as whole words', async () => {
    await given({ name: 'Airplane' }, { name: 'AI plan' }, { name: 'Plan a', description: 'hair' });
    expect(await names('ai')).toEqual(['AI plan']);
    expect(await names('a')).toEqual(['Plan a']);
    expect(await names('i')).toEqual([]);
  });

  it('shows a caller nothing that is somebody else’s, corrected or not', async () => {
    await given({ name: 'Mine plan', owner: 'act_me' }, { name: 'Your plan', owner: 'act_you' });
    for (const text of ['plan', 'plna', null]) {
      expect(await names(text, { readableBy: 'act_me' }), String(text)).toEqual(['Mine plan']);
      expect(await names(text, { readableBy: 'act_m' }), String(text)).toEqual([]);
      expect(await names(text, { readableBy: 'act_me', filters: { ...way.filters, owner: 'act_you' } })).toEqual([]);
    }
  });

  it('finds a part of the owner’s id, which is in no other field', async () => {
    await given({ name: 'Hers', owner: 'act_margaret' }, { name: 'His' });
    expect(await names('argaret')).toEqual(['Hers']);
    expect(await names('act_margaret')).toEqual(['Hers']);
  });

  it('goes through pages in one order, with the large ones and those whose words are not set off by spaces', async () => {
    const all = [
      { name: 'plan' },
      { name: 'My (plan)' },
      { name: 'Planning', description: 'x'.repeat(5000) },
      { name: 'Replan' },
      { name: 'Our plan', description: 'x'.repeat(5000) },
      { name: 'B', tools: ['plan'] },
      { name: 'C', description: 'planned' },
    ];
    await given(...all);
    const pages: string[][] = [];
    let after: ContextQuery['after'];
    do {
      const query = { ...way, readableBy: null, limit: 2, ...(after && { after }) };
      const { bodies, next } = await searchContexts(env.DB, 'plan', query);
      pages.push(
        bodies.map((body) => {
          const { name }: { name: string } = JSON.parse(body);
          return name;
        }),
      );
      after = next ?? undefined;
    } while (after !== undefined);
    expect(pages).toEqual([['plan', 'Planning'], ['Our plan', 'My (plan)'], ['Replan', 'C'], ['B']]);
  });

  it('filters by owner, system and tool', async () => {
    await given({ name: 'One plan', owner: 'act_a', systems: ['github'] }, { name: 'Two plan', tools: ['github'] });
    expect(await names('plan', { filters: { ...way.filters, system: 'github' } })).toEqual(['One plan']);
    expect(await names('plan', { filters: { ...way.filters, tool: 'github' } })).toEqual(['Two plan']);
    expect(await names('plan', { filters: { ...way.filters, owner: 'act_a' } })).toEqual(['One plan']);
  });
});
