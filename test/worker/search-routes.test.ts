import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Context } from '../../actors/context.ts';
import { clearContexts, projectContexts } from '../../projections/contexts.ts';
import { listContexts, searchContexts } from '../../src/http/context-lists.ts';
import { openApiText } from '../../src/http/openapi.ts';
import { expectInvalid, expectProblem } from '../support/rest.ts';
import { allPages, ask, askPage, contextState, found } from '../support/search.ts';

const LIST = '/v1/contexts';
const SEARCH = '/v1/contexts/search';

/** Puts contexts into the read model; later ones are newer. */
async function given(...contexts: Partial<Context>[]): Promise<Context[]> {
  const states = contexts.map((fields, n) => contextState(n, fields));
  await projectContexts(env.DB, states);
  return states;
}

beforeEach(() => clearContexts(env.DB));

describe('what is found', () => {
  it('is a word, a prefix, a fragment from 3 characters, and terms in any order', async () => {
    await given({ name: 'Quarterly Planning' });
    for (const q of ['planning', 'Plan', 'lann', 'ann', 'PLANNING quarterly', '  planning   quart ']) {
      expect(await found(q), q).toEqual(['Quarterly Planning']);
    }
    for (const q of ['planning yearly', 'xyz']) expect(await found(q), q).toEqual([]);
  });

  it('is in any of name, description, owner, systems and tools', async () => {
    await given({
      name: 'A',
      description: 'About whales',
      owner: 'act_ishmael',
      systems: ['pequod'],
      tools: ['harpoon'],
    });
    for (const q of ['whale', 'ishmael', 'quod', 'harpoon', 'whale harp act_'])
      expect(await found(q), q).toEqual(['A']);
  });

  it('is only a whole word for terms of one or two characters', async () => {
    await given({ name: 'AI airplanes' }, { name: 'Airplane' }, { name: 'Use C#, C++ and C' });
    expect(await found('ai')).toEqual(['AI airplanes']);
    expect(await found('c#')).toEqual(['Use C#, C++ and C']);
    expect(await found('c')).toEqual(['Use C#, C++ and C']);
  });

  it('is the term itself, not merely all its parts', async () => {
    await given({ name: 'Ban nana' }, { name: 'Other', description: 'ban, nana' }, { name: 'Bananas' });
    expect(await found('banana')).toEqual(['Bananas']);
    // As many as are asked for tier by tier.
    await given(...Array.from({ length: 60 }, (_, n) => ({ name: n % 2 ? 'Ban nana' : `Banana ${n}`, version: 2 })));
    expect(new Set(await found('anana', { limit: '100' }))).not.toContain('Ban nana');
    expect(await found('banana', { limit: '100' })).toHaveLength(30);
  });

  it('does not depend on accents, case and width', async () => {
    await given({ name: 'Größe über Łódź, naïve ｆｕｌｌ' });
    for (const q of ['grösse', 'GROSSE', 'uber', 'lodz', 'NAIVE', 'full', 'größe łódź']) {
      expect(await found(q), q).toHaveLength(1);
    }
  });

  it('holds for Chinese, Japanese, Korean and emoji of any length', async () => {
    await given({ name: '新東京計画' }, { name: '서울에서 회의' }, { name: 'Launch 🚀👩‍💻 party' });
    for (const q of ['東', '東京', '東京計', '新東京計画']) expect(await found(q), q).toEqual(['新東京計画']);
    for (const q of ['서울', '회의', '의']) expect(await found(q), q).toEqual(['서울에서 회의']);
    for (const q of ['🚀', '👩‍💻', '💻', '🚀 launch']) expect(await found(q), q).toEqual(['Launch 🚀👩‍💻 party']);
    expect(await found('🎉')).toEqual([]);
  });

  it('comes best first: the name, its beginning, its words, its parts, the rest; then the newest', async () => {
    await given(
      { name: 'plan' },
      { name: 'Planning of plans' },
      { name: 'The plan of old' },
      { name: 'Replanting' },
      { name: 'Other', description: 'a plan' },
      { name: 'Another', tools: ['plan'] },
      { name: 'A newer plan' },
    );
    const best = ['plan', 'Planning of plans', 'A newer plan', 'The plan of old', 'Replanting', 'Another', 'Other'];
    expect(await found('plan')).toEqual(best);
    expect((await allPages(SEARCH, { q: 'plan', limit: '2' })).map(({ name }) => name)).toEqual(best);
  });

  it('is the context as it is read by its id', async () => {
    const [state] = await given({ name: 'Whole', metadata: { a: [1, null, '</script>'] }, systems: ['x'] });
    expect((await askPage(SEARCH, { q: 'whole' })).items).toEqual([state]);
    expect((await askPage(LIST)).items).toEqual([state]);
  });

  it('is read whole when contexts are large', async () => {
    const metadata = { text: 'x'.repeat(50_000) };
    const states = await given({ name: 'Large one', metadata }, { name: 'Large two', metadata });
    expect((await askPage(SEARCH, { q: 'large' })).items).toEqual([states[1], states[0]]);
  });
});

describe('a mistyped letter', () => {
  it('is forgiven where nothing fits: added, missing, wrong or swapped', async () => {
    await given({ name: 'Infrastructure' }, { name: 'Unrelated' });
    for (const q of ['infrastrructure', 'infrastucture', 'infrastrukture', 'infrastrcuture', 'nfrastructure']) {
      expect(await found(q), q).toEqual(['Infrastructure']);
    }
    expect(await found('infrstrcture')).toEqual([]);
  });

  it('is forgiven in one term while the others must fit, and within the filters', async () => {
    await given({ name: 'Budget review', owner: 'act_a' }, { name: 'Budget plan', owner: 'act_b' });
    expect(await found('budget reveiw')).toEqual(['Budget review']);
    expect(await found('bugdet reveiw')).toEqual([]);
    expect(await found('bugdet', { owner: 'act_b' })).toEqual(['Budget plan']);
    expect(await found('reveiw', { owner: 'act_b' })).toEqual([]);
  });

  it('is not looked for where something fits as it was typed', async () => {
    await given({ name: 'form' }, { name: 'from' });
    expect(await found('form')).toEqual(['form']);
  });

  it('is forgiven on every page', async () => {
    await given(...Array.from({ length: 7 }, (_, n) => ({ name: `Budget ${n}` })));
    expect(await allPages(SEARCH, { q: 'bugdet', limit: '3' })).toHaveLength(7);
  });
});

describe('the query is data', () => {
  it.each([
    ['"', 'Say "hi" there'],
    ['"hi"', 'Say "hi" there'],
    ['OR', 'This OR that'],
    ['this OR zzz', null],
    ['NEAR(', 'NEAR( here'],
    ['NOT', 'Do NOT go'],
    ['100%', 'At 100% now'],
    ['%', 'At 100% now'],
    ['%%%', null],
    ['--', 'Dash -- dash'],
    ['*', 'Star * star'],
    ['sta*', null],
    ['name:star', null],
    ["'; DROP TABLE contexts; --", null],
    ['{name}', null],
    ['^Star', null],
    ['\\', null],
    ['___', null],
  ])('%j finds %j', async (q, name) => {
    const names = [
      'Say "hi" there',
      'This OR that',
      'NEAR( here',
      'Do NOT go',
      'At 100% now',
      'Dash -- dash',
      'Star * star',
    ];
    await given(...names.map((each) => ({ name: each })));
    expect(await found(q)).toEqual(name === null ? [] : [name]);
    expect((await askPage(LIST)).items).toHaveLength(names.length);
  });

  it('never fails, however it is built', async () => {
    await given({ name: 'Something' });
    const parts = [
      '"',
      "'",
      '*',
      '(',
      ')',
      'OR',
      'AND',
      'NOT',
      'NEAR',
      ':',
      '^',
      '-',
      '+',
      '\0',
      '\ud800',
      '😀',
      'z',
      '\\',
      '\u202e',
      'ß',
      '%',
      'a',
    ];
    for (let n = 0; n < 150; n++) {
      const q = Array.from({ length: 1 + (n % 12) }, (_, at) => parts[(n * 7 + at * at * 5) % parts.length]).join(
        n % 3 ? '' : ' ',
      );
      expect([200, 400], JSON.stringify(q)).toContain((await ask(SEARCH, { q })).status);
    }
    for (const q of [
      'a '.repeat(100),
      'ab '.repeat(66),
      '🏴'.repeat(200),
      'ﷺ'.repeat(200),
      'x'.repeat(200),
      'mistyped '.repeat(22),
    ]) {
      expect((await ask(SEARCH, { q })).status, q).toBe(200);
    }
  });
});

describe('filters', () => {
  it('narrow by owner, system, tool and status, each exactly', async () => {
    await given(
      { name: 'One plan', owner: 'act_a', systems: ['github'], tools: ['curl'] },
      { name: 'Two plan', owner: 'act_b', systems: ['GitHub', 'a b'], tools: ['jq'] },
      { name: 'Three plan', owner: 'act_a', status: 'deleted' },
    );
    const cases: [Record<string, string>, string[]][] = [
      [{}, ['Two plan', 'One plan']],
      [{ owner: 'act_a' }, ['One plan']],
      [{ owner: 'act' }, []],
      [{ system: 'github' }, ['One plan']],
      [{ system: 'a b' }, ['Two plan']],
      [{ system: 'a' }, []],
      [{ tool: 'jq' }, ['Two plan']],
      [{ tool: 'jq', owner: 'act_a' }, []],
      [{ status: 'deleted' }, ['Three plan']],
      [{ status: 'deleted', owner: 'act_b' }, []],
      [{ system: '") OR "xactive' }, []],
    ];
    for (const [filters, names] of cases) {
      expect(await found('plan', filters), JSON.stringify(filters)).toEqual(names);
      expect((await askPage(LIST, filters)).items.map(({ name }) => name)).toEqual(names);
    }
  });

  it('narrow by times: from "after" on, up to and without "before"', async () => {
    const [first, second] = await given(
      { name: 'First' },
      { name: 'Second', updatedAt: '2026-03-01T12:00:00.000Z' },
      { name: 'Third' },
    );
    const names = async (filters: Record<string, string>) =>
      (await askPage(LIST, filters)).items.map(({ name }) => name);
    expect(await names({ createdAfter: second?.createdAt ?? '' })).toEqual(['Third', 'Second']);
    expect(await names({ createdBefore: second?.createdAt ?? '' })).toEqual(['First']);
    expect(await names({ createdAfter: first?.createdAt ?? '', createdBefore: second?.createdAt ?? '' })).toEqual([
      'First',
    ]);
    expect(await names({ updatedAfter: '2026-03-01T13:00:00+01:00' })).toEqual(['Second']);
    expect(await names({ updatedAfter: '2026-03-01T12:00:00.001Z' })).toEqual([]);
    expect(await names({ updatedBefore: '2026-03-01T12:00:00Z' })).toEqual(['Third', 'First']);
    expect(await names({ createdAfter: '9999-12-31T23:59:59Z' })).toEqual([]);
    expect(await names({ createdBefore: '0001-01-01T00:00:00Z' })).toEqual([]);
  });
});

describe('pages', () => {
  it('neither repeat nor lose a context while others are added, changed and deleted', async () => {
    const states = await given(...Array.from({ length: 23 }, (_, n) => ({ name: `Plan ${n}` })));
    for (const [path, q] of [
      [LIST, {}],
      [SEARCH, { q: 'plan' }],
    ] as const) {
      let extra = states.length;
      const version = path === LIST ? 2 : 3;
      const seen = await allPages(path, { ...q, limit: '5' }, async () => {
        const changed = states.map((state) => ({ ...state, version, metadata: { path } }));
        await projectContexts(env.DB, [contextState(extra++, { name: `Plan ${extra}` }), ...changed]);
        await projectContexts(env.DB, [contextState(extra++, { name: 'Other plan' })]);
      });
      const ids = seen.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids).toEqual(expect.arrayContaining(states.map(({ id }) => id)));
    }
  });

  it('go on where the last context of a page has meanwhile been deleted', async () => {
    const states = await given({ name: 'Plan 1' }, { name: 'Plan 2' }, { name: 'Plan 3' });
    for (const path of [LIST, SEARCH]) {
      const q = path === SEARCH ? { q: 'plan' } : {};
      const { nextCursor } = await askPage(path, { ...q, limit: '1' });
      const [, , newest] = states;
      if (newest && path === LIST) await projectContexts(env.DB, [{ ...newest, version: 2, status: 'deleted' }]);
      const { items } = await askPage(path, { ...q, limit: '1', cursor: nextCursor ?? '' });
      expect(items.map(({ name }) => name)).toEqual(path === LIST ? ['Plan 2'] : ['Plan 1']);
    }
  });

  it('end with a null cursor, also when the last one is full', async () => {
    await given({ name: 'Plan 1' }, { name: 'Plan 2' });
    for (const [path, q] of [
      [LIST, {}],
      [SEARCH, { q: 'plan' }],
    ] as const) {
      expect((await askPage(path, { ...q, limit: '2' })).nextCursor).toBeNull();
      expect((await askPage(path, { ...q, limit: '1' })).nextCursor).toMatch(/^[\w-]+$/);
    }
  });

  it('refuse a cursor of another route, another query, or nobody', async () => {
    await given({ name: 'Plan 1' }, { name: 'Plan 2' });
    const ofList = (await askPage(LIST, { limit: '1' })).nextCursor ?? '';
    const ofSearch = (await askPage(SEARCH, { q: 'plan', limit: '1' })).nextCursor ?? '';
    const message = 'must be the nextCursor that the same query gave; start without one';
    for (const [path, parameters] of [
      [LIST, { cursor: ofSearch }],
      [SEARCH, { q: 'plan', cursor: ofList }],
      [SEARCH, { q: 'plans', cursor: ofSearch }],
      [SEARCH, { q: 'plan', owner: 'act_a', cursor: ofSearch }],
      [LIST, { status: 'deleted', cursor: ofList }],
      [LIST, { cursor: '' }],
      [LIST, { cursor: 'abc' }],
      [LIST, { cursor: '€' }],
      [LIST, { cursor: btoa('["x",0,1,false]').replaceAll('=', '') }],
      [LIST, { cursor: 'A'.repeat(5000) }],
    ] as const) {
      await expectInvalid(await ask(path, parameters), 'cursor', message);
    }
    expect((await ask(LIST, { limit: '50', cursor: ofList })).status).toBe(200);
  });
});

describe('highlights', () => {
  it('tell which parts of name and description fitted, by id', async () => {
    const [state] = await given({ name: 'Die <b>Größe</b>', description: 'Von groß bis größer' });
    const page = await askPage(SEARCH, { q: 'gross', highlight: 'true' });
    const spans = page.highlights?.[state?.id ?? ''];
    const cut = (text: string, parts: readonly [number, number][] = []) =>
      parts.map(([start, end]) => text.slice(start, end));
    expect(cut(state?.name ?? '', spans?.name)).toEqual(['Größ']);
    expect(cut(state?.description ?? '', spans?.description)).toEqual(['groß', 'größ']);
    expect(page.items).toEqual([state]);
    expect((await askPage(SEARCH, { q: 'gross' })).highlights).toBeUndefined();
  });

  it('mark the corrected word where a letter was forgiven', async () => {
    const [state] = await given({ name: 'The budget' });
    const { highlights } = await askPage(SEARCH, { q: 'bugdet', highlight: 'true' });
    expect(highlights).toEqual({ [state?.id ?? '']: { name: [[4, 10]], description: [] } });
  });
});

describe('the OpenAPI document', () => {
  it('names every parameter that the routes take', () => {
    const schema = z.looseObject({
      paths: z.record(
        z.string(),
        z.looseObject({ get: z.looseObject({ parameters: z.array(z.looseObject({ name: z.string() })) }) }),
      ),
    });
    const { paths } = schema.parse(JSON.parse(openApiText([listContexts, searchContexts])));
    const common = [
      'owner',
      'system',
      'tool',
      'status',
      'createdAfter',
      'createdBefore',
      'updatedAfter',
      'updatedBefore',
      'limit',
      'cursor',
    ];
    const names = (path: string) => new Set(paths[path]?.get.parameters.map(({ name }) => name));
    expect(names(LIST)).toEqual(new Set(common));
    expect(names(SEARCH)).toEqual(new Set([...common, 'q', 'highlight']));
  });
});

describe('bad input', () => {
  it.each([
    [SEARCH, {}, 'q', 'is required'],
    [SEARCH, { q: '' }, 'q', 'must not be blank'],
    [SEARCH, { q: ' \t\u200b\u00a0 ' }, 'q', 'must not be blank'],
    [SEARCH, { q: 'x'.repeat(201) }, 'q', 'must have at most 200 characters'],
    [SEARCH, { q: 'a', highlight: 'yes' }, 'highlight', 'must be true or false'],
    [LIST, { limit: '0' }, 'limit', 'must be a whole number from 1 to 100'],
    [LIST, { limit: '101' }, 'limit', 'must be a whole number from 1 to 100'],
    [SEARCH, { q: 'a', limit: '1e1' }, 'limit', 'must be a whole number from 1 to 100'],
    [LIST, { status: 'all' }, 'status', 'must be active or deleted'],
    [LIST, { owner: ' ' }, 'owner', 'must not be blank; leave it out to have all'],
    [LIST, { tool: 'x'.repeat(201) }, 'tool', 'must have at most 200 characters'],
    [LIST, { createdAfter: 'yesterday' }, 'createdAfter', 'must be a time with its zone such as 2026-01-31T12:00:00Z'],
    [
      LIST,
      { updatedBefore: '2026-02-30T00:00:00Z' },
      'updatedBefore',
      'must be a time with its zone such as 2026-01-31T12:00:00Z',
    ],
  ])('%s with %j is a 400 that says what is wrong', async (path, parameters, pointer, message) => {
    await expectInvalid(await ask(path, parameters), pointer, message);
  });

  it('refuses parameters that it does not know instead of giving more than was asked for', async () => {
    await expectProblem(await ask(LIST, { onwer: 'act_a' }), 400, 'invalid');
    await expectProblem(await ask(LIST, { q: 'plan' }), 400, 'invalid');
  });
});
