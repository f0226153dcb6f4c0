import fc from 'fast-check';
import { applyPatch, type Operation } from 'rfc6902';
import { describe, expect, it } from 'vitest';
import { api, createContext } from '../support/api.ts';
import {
  derivedId,
  expectInvalid,
  expectProblem,
  history,
  patch,
  read,
  remove,
  withNothingWritten,
} from '../support/rest.ts';
import { printedSeed } from '../support/seed.ts';

const MOMENT = 'must be a version such as 3, or a time with its zone such as 2026-01-31T12:00:00Z';

function diff(id: string, query: string): Promise<Response> {
  return api(`/v1/contexts/${id}/diff${query}`);
}

async function patchBetween(id: string, from: string | number, to: string | number): Promise<Operation[]> {
  const response = await diff(id, `?from=${from}&to=${to}`);
  expect(response.status).toBe(200);
  return response.json();
}

describe('the diff of a context', () => {
  it('is a JSON Patch, which says for which versions it is', async () => {
    const { id } = await createContext({ name: 'One', tools: ['b'] });
    await patch(id, { name: 'Two', tools: ['a', 'b'], metadata: { 'a/b': { '~': 1 } } });
    const response = await withNothingWritten(id, () => diff(id, '?from=1&to=2'));
    expect(response.status).toBe(200);
    expect(response.headers.get('Content-Type')).toBe('application/json-patch+json');
    expect(response.headers.get('Content-Location')).toBe(`/v1/contexts/${id}/diff?from=1&to=2`);
    const { time } = (await history(id)).at(-1) ?? {};
    const operations: Operation[] = await response.json();
    expect(operations.filter(({ path }) => path !== '/updatedAt' && path !== '/version')).toEqual([
      { op: 'replace', path: '/name', value: 'Two' },
      { op: 'add', path: '/tools/0', value: 'a' },
      { op: 'add', path: '/metadata/a~1b', value: { '~': 1 } },
    ]);
    const now: { updatedAt: string } = await (await read(id)).json();
    expect(now.updatedAt).toBe(time);
  });

  it('applied to one state gives the other exactly, forwards and backwards', { timeout: 60_000 }, async () => {
    const seed = printedSeed('REST diff');
    const labels = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 5 });
    const metadata = fc.dictionary(
      fc.constantFrom('x', 'a/b', '~', ''),
      fc.oneof(fc.constantFrom(null, 0, 'text', [1, 2, 3], [1, 3]), fc.dictionary(fc.constantFrom('y', '/'), labels)),
    );
    const change = fc.record({ name: fc.constantFrom('A', 'B'), tools: labels, metadata }, { requiredKeys: [] });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        const { id } = await createContext();
        for (const each of changes) await patch(id, each);
        const { length } = await history(id);
        for (const [from, to] of [
          [1, length],
          [length, 1],
          [Math.ceil(length / 2), length],
        ] as const) {
          const state: object = await (await read(id, `?at=${from}`)).json();
          const operations = await patchBetween(id, from, to);
          expect(applyPatch(state, operations)).toEqual(operations.map(() => null));
          expect(state).toEqual(await (await read(id, `?at=${to}`)).json());
        }
      }),
      { seed, numRuns: 40 },
    );
  });

  it('between a version and itself is empty', async () => {
    const { id } = await createContext();
    expect(await patchBetween(id, 1, 1)).toEqual([]);
  });

  it('without to is up to the present, and after the end means the latest, as everywhere', async () => {
    const { id } = await createContext({ name: 'One' });
    await patch(id, { name: 'Two' });
    const operations = await patchBetween(id, 1, 2);
    for (const query of ['?from=1', '?from=1&to=999999', '?from=1&to=2999-01-01T00:00:00Z']) {
      const response = await diff(id, query);
      expect(response.headers.get('Content-Location')).toBe(`/v1/contexts/${id}/diff?from=1&to=2`);
      expect(await response.json()).toEqual(operations);
    }
  });

  it('takes times for versions', async () => {
    const { id } = await createContext({ name: 'One' });
    await patch(id, { name: 'Two' });
    const [first, second] = (await history(id)).map(({ time }) => time);
    const response = await diff(id, `?from=${first}&to=${second}`);
    expect(response.headers.get('Content-Location')).toMatch(/to=2$/);
    await expectProblem(await diff(id, '?from=2001-01-01T00:00:00Z'), 404, 'before-creation');
    await expectProblem(await diff(id, '?from=1&to=2001-01-01T00:00:00Z'), 404, 'before-creation');
  });

  it('of a deleted context can be read, and tells of the deletion', async () => {
    const { id } = await createContext();
    await remove(id);
    expect(await patchBetween(id, 1, 2)).toContainEqual({ op: 'replace', path: '/status', value: 'deleted' });
    expect(await patchBetween(id, 2, 1)).toContainEqual({ op: 'replace', path: '/status', value: 'active' });
  });

  it('of the largest metadata there can be is answered', async () => {
    const full = (shift: number) => Array.from({ length: 30_000 }, (_, index) => (index * 7 + shift) % 10);
    const { id } = await createContext({ metadata: { list: full(0) } });
    await patch(id, { metadata: { list: full(3) } });
    const operations = await patchBetween(id, 1, 2);
    expect(operations).toContainEqual({ op: 'replace', path: '/metadata/list', value: full(3) });
  });

  it.each([
    ['', 'from', 'is required'],
    ['?to=1', 'from', 'is required'],
    ['?from=', 'from', MOMENT],
    ['?from=x', 'from', MOMENT],
    ['?from=-1', 'from', MOMENT],
    ['?from=0', 'from', 'must be a whole number from 1 to 9007199254740991'],
    ['?from=1&to=9007199254740992', 'to', 'must be a whole number from 1 to 9007199254740991'],
    ['?from=1&to=2026-02-30T00:00:00Z', 'to', MOMENT],
    ['?from=1&from=2', 'from', 'must be given once'],
    ['?from=1&at=2', 'at', 'is not a query parameter here; known are: from, to'],
  ])('%s is 400 and says what is wrong', async (query, pointer, message) => {
    const { id } = await createContext();
    await expectInvalid(await diff(id, query), pointer, message);
  });

  it('of a context that is not there is 404', async () => {
    await expectProblem(await diff(derivedId('ctx', 'diff: nobody'), '?from=1'), 404, 'not-found');
  });
});
