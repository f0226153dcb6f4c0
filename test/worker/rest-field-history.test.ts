import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { api, createContext } from '../support/api.ts';
import { principalOf } from '../support/principals.ts';
import {
  derivedId,
  expectInvalid,
  expectProblem,
  history,
  objectOf,
  offset,
  patch,
  remove,
  withNothingWritten,
} from '../support/rest.ts';

interface Change {
  version: number;
  time: string;
  type: string;
  actor: string;
  from?: unknown;
  to?: unknown;
}

interface Page {
  items: Change[];
  nextCursor: string | null;
}

function ask(id: string, query: Record<string, string>): Promise<Response> {
  return api(`/v1/contexts/${id}/history?${new URLSearchParams(query)}`);
}

async function page(id: string, query: Record<string, string>): Promise<Page> {
  const response = await ask(id, query);
  expect(response.status).toBe(200);
  return response.json();
}

/** All changes of a field, page by page. */
async function all(id: string, query: Record<string, string>): Promise<{ items: Change[]; pages: number }> {
  const items: Change[] = [];
  let cursor: string | null = null;
  for (let pages = 1; ; pages++) {
    const next: Page = await page(id, { ...query, ...(cursor !== null && { cursor }) });
    items.push(...next.items);
    cursor = next.nextCursor;
    if (cursor === null) return { items, pages };
    if (pages === 1000) throw new Error('the pages never end');
  }
}

const values = (items: readonly Change[]) => items.map(({ version, from, to }) => [version, from, to]);

describe('the history of one field', () => {
  it('names each change of it with who, when and what, and nothing else', async () => {
    const { id } = await createContext({ metadata: { priority: 1 } });
    await patch(id, { name: 'Another name', metadata: { other: 1 } });
    await patch(id, { metadata: { priority: null } });
    await patch(id, { metadata: { priority: { level: 2 } } });
    await api(`/v1/contexts/${id}/revert`, { method: 'POST', json: { to: 1 } });
    const events = await history(id);
    const of = (version: number) => {
      const { time, type, actor } = events[version - 1] ?? {};
      return { version, time, type, actor };
    };
    expect(await page(id, { pointer: '/metadata/priority' })).toEqual({
      items: [
        { ...of(1), to: 1 },
        { ...of(3), from: 1 },
        { ...of(4), to: { level: 2 } },
        { ...of(5), from: { level: 2 }, to: 1 },
      ],
      nextCursor: null,
    });
    expect(of(5).type).toBe('context_reverted');
  });

  it('tells null from nothing', async () => {
    const { id } = await createContext({ metadata: { a: null } });
    await patch(id, { metadata: { a: 1 } });
    const [first, second] = (await page(id, { pointer: '/metadata/a' })).items;
    expect(first).toHaveProperty('to', null);
    expect(second).toHaveProperty('from', null);
    expect(first).not.toHaveProperty('from');
  });

  it.each([
    [
      '/name',
      [
        [1, undefined, 'One'],
        [2, 'One', 'Two'],
      ],
    ],
    [
      '/tools',
      [
        [1, undefined, ['a']],
        [2, ['a'], ['b', 'a']],
      ],
    ],
    ['/tools/1', [[2, undefined, 'a']]],
    [
      '/metadata/a~1b/~0',
      [
        [1, undefined, 1],
        [2, 1, 2],
      ],
    ],
    ['/metadata/', [[1, undefined, 'empty key']]],
    [
      '/status',
      [
        [1, undefined, 'active'],
        [3, 'active', 'deleted'],
      ],
    ],
    ['/metadata/nothing', []],
    ['/name/0', []],
    ['/metadata/__proto__', []],
    ['/metadata/a~1b/toString', []],
  ])('follows %s as RFC 6901 says, also when the context is deleted', async (pointer, expected) => {
    const { id } = await createContext({ name: 'One', tools: ['a'], metadata: { 'a/b': { '~': 1 }, '': 'empty key' } });
    await patch(id, { name: 'Two', tools: ['b', 'a'], metadata: { 'a/b': { '~': 2 } } });
    await remove(id);
    const found = await withNothingWritten(id, () => page(id, { pointer }));
    expect(values(found.items)).toEqual(expected);
  });

  it('comes in pages that leave nothing out and repeat nothing', async () => {
    const { id } = await createContext({ metadata: { n: 0 } });
    for (let n = 1; n <= 25; n++) await patch(id, { metadata: n % 2 === 0 ? { n } : { other: n } });
    const whole = await all(id, { pointer: '/metadata/n', limit: '100' });
    expect(whole).toMatchObject({ pages: 1 });
    expect(whole.items.map(({ to }) => to)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]);
    expect((await all(id, { pointer: '/metadata/n', limit: '1' })).items).toEqual(whole.items);
    expect((await all(id, { pointer: '/metadata/n', limit: '5' })).items).toEqual(whole.items);
  });

  it('ends where `at` says', async () => {
    const { id } = await createContext({ name: 'One' });
    for (const name of ['Two', 'Three']) await patch(id, { name });
    const until = await page(id, { pointer: '/name', at: '2' });
    expect(values(until.items)).toEqual([
      [1, undefined, 'One'],
      [2, 'One', 'Two'],
    ]);
    expect(until.nextCursor).toBeNull();
    await expectProblem(await ask(id, { pointer: '/name', at: '2001-01-01T00:00:00Z' }), 404, 'before-creation');
  });

  it('looks at a bounded part of a long history at once: pages may be empty, and the last change is found', async () => {
    const { id } = await createContext({ name: 'One', metadata: { ballast: 'x'.repeat(60_000) } });
    for (let n = 0; n < 4; n++) {
      await Promise.all(Array.from({ length: 50 }, (_, index) => patch(id, { metadata: { n: n * 50 + index } })));
    }
    await patch(id, { name: 'Two' });
    const first = await page(id, { pointer: '/name' });
    expect(values(first.items)).toEqual([[1, undefined, 'One']]);
    expect(first.nextCursor).not.toBeNull();
    const { items, pages } = await all(id, { pointer: '/name' });
    expect(values(items)).toEqual([
      [1, undefined, 'One'],
      [202, 'One', 'Two'],
    ]);
    expect(pages).toBeGreaterThan(1);
    expect(pages).toBeLessThan(10);
  });

  it('stops a page before it grows too large', async () => {
    const { id } = await createContext();
    for (let n = 0; n < 10; n++) await patch(id, { metadata: { n, text: String(n).repeat(60_000) } });
    const response = await ask(id, { pointer: '/metadata', limit: '100' });
    expect((await response.text()).length).toBeLessThan(512 * 1024);
    const { items } = await all(id, { pointer: '/metadata', limit: '100' });
    expect(items.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  it('is the same from snapshots and without them', async () => {
    const { id } = await createContext();
    for (let n = 0; n < 3; n++) {
      await Promise.all(Array.from({ length: 50 }, (_, index) => patch(id, { metadata: { n: n * 50 + index } })));
    }
    const before = await all(id, { pointer: '/metadata/n', limit: '40' });
    expect(before.items).toHaveLength(150);
    await runInDurableObject(objectOf(id), (_object, { storage }) =>
      storage.sql.exec('DELETE FROM snapshots').toArray(),
    );
    expect(await all(id, { pointer: '/metadata/n', limit: '40' })).toEqual(before);
  });

  const POINTER = 'must be a JSON Pointer such as /metadata/priority (RFC 6901)';
  const FIELD =
    'must begin with a field of a context: /id, /chittyId, /name, /description, /owner, /members, /systems, /tools, /metadata, ' +
    '/status, /version, /createdAt, /updatedAt, /provisioning';
  const CURSOR = 'must be a nextCursor that was given out here';

  it.each<[Record<string, string>, string, string]>([
    [{}, 'pointer', 'is required'],
    [{ pointer: 'name' }, 'pointer', POINTER],
    [{ pointer: '/metadata/~' }, 'pointer', POINTER],
    [{ pointer: '#/name' }, 'pointer', POINTER],
    [{ pointer: '' }, 'pointer', FIELD],
    [{ pointer: '/nmae' }, 'pointer', FIELD],
    [{ pointer: '/toString' }, 'pointer', FIELD],
    [{ pointer: '/name', limit: '0' }, 'limit', 'must be a whole number from 1 to 100'],
    [{ pointer: '/name', limit: '101' }, 'limit', 'must be a whole number from 1 to 100'],
    [{ pointer: '/name', cursor: 'x' }, 'cursor', CURSOR],
    [{ pointer: '/name', cursor: 'now' }, 'cursor', CURSOR],
    [{ pointer: '/name', cursor: '' }, 'cursor', CURSOR],
    [{ pointer: '/name', cursor: offset('ctx_other', 1) }, 'cursor', CURSOR],
    [{ pointer: '/name', from: '1' }, 'from', 'is not a query parameter here; known are: pointer, at, limit, cursor'],
  ])('%j is 400 and says what is wrong', async (query, pointer, message) => {
    const { id } = await createContext();
    await expectInvalid(await ask(id, query), pointer, message);
  });

  it('from a cursor beyond the end is 400', async () => {
    const { id } = await createContext();
    const response = await ask(id, { pointer: '/name', cursor: offset(id, 9) });
    await expectProblem(response, 400, 'ahead-of-stream');
  });

  it('is told to nobody who has nothing to do with the context', async () => {
    const { id } = await createContext();
    const reply = await objectOf(id).fieldHistory(principalOf('act_stranger'), ['name'], 0, 10);
    expect(reply).toMatchObject({ refused: 'not-found' });
  });

  it('of a context that is not there is 404', async () => {
    const nobody = derivedId('ctx', 'field: nobody');
    await expectProblem(await ask(nobody, { pointer: '/name' }), 404, 'not-found');
    await expectProblem(await ask(nobody, { pointer: '/name', cursor: offset('ctx_other', 1) }), 404, 'not-found');
  });
});
