import { describe, expect, it } from 'vitest';
import { api, type ContextJson, createContext } from '../support/api.ts';
import {
  derivedId,
  expectInvalid,
  expectProblem,
  history,
  patch,
  read,
  withNothingCreated,
  withNothingWritten,
} from '../support/rest.ts';

describe('patching a context', () => {
  it('changes what is named, leaves the rest, and answers with the whole context and its new version', async () => {
    const before = await createContext({ name: 'Old', tools: ['a'], description: 'stays' });
    const response = await patch(before.id, { name: '  New ' });
    const after: ContextJson = await response.json();
    expect(response.status).toBe(200);
    expect(response.headers.get('ETag')).toBe('"2"');
    expect(after).toEqual({ ...before, name: 'New', version: 2, updatedAt: after.updatedAt });
    expect(await (await read(before.id)).json()).toEqual(after);
  });

  it.each(['application/merge-patch+json', 'application/json', 'Application/Merge-Patch+JSON; charset=utf-8'])(
    'takes %s',
    async (mediaType) => {
      const { id } = await createContext();
      expect((await patch(id, { name: 'New' }, { 'Content-Type': mediaType })).status).toBe(200);
    },
  );

  it('records only what changed', async () => {
    const { id } = await createContext({ name: 'Same', tools: ['a'], metadata: { a: 1, b: { c: 2, d: 3 } } });
    await patch(id, { name: 'Same', tools: ['a', 'b'], metadata: { a: 1, b: { c: null, d: 3 }, gone: null } });
    expect((await history(id)).at(-1)).toMatchObject({
      type: 'context_updated',
      version: 2,
      data: { tools: ['a', 'b'], metadata: { b: { c: null } } },
    });
    expect(Object.keys((await history(id)).at(-1)?.data ?? {}).sort()).toEqual(['metadata', 'tools']);
  });

  it.each([
    ['members of objects merge', { a: { b: 1 } }, { a: { c: 2 } }, { a: { b: 1, c: 2 } }],
    ['null removes', { a: 1, b: 2 }, { a: null }, { b: 2 }],
    ['null inside an object removes', { a: { b: 1, c: 2 } }, { a: { b: null } }, { a: { c: 2 } }],
    ['arrays are replaced', { a: [1, 2, 3] }, { a: [4] }, { a: [4] }],
    ['null inside an array stays', { a: 1 }, { a: [null] }, { a: [null] }],
    ['an object takes the place of a text', { a: 'x' }, { a: { b: 1, c: null } }, { a: { b: 1 } }],
    ['a text takes the place of an object', { a: { b: 1 } }, { a: 'x' }, { a: 'x' }],
  ])('merges metadata as RFC 7396 says: %s', async (_rule, metadata, change, expected) => {
    const { id } = await createContext({ metadata });
    const patched: ContextJson = await (await patch(id, { metadata: change })).json();
    expect(patched.metadata).toEqual(expected);
  });

  it('empties description, systems, tools and metadata when they are null', async () => {
    const { id } = await createContext({ description: 'x', systems: ['a'], tools: ['b'], metadata: { c: 1 } });
    const nothing = { description: null, systems: null, tools: null, metadata: null };
    const patched: ContextJson = await (await patch(id, nothing)).json();
    expect(patched).toMatchObject({ description: '', systems: [], tools: [], metadata: {}, version: 2 });
  });

  it.each([
    ['an empty patch', {}],
    [
      'what it is already',
      { name: ' Same ', description: '', systems: [], tools: ['b', 'a'], metadata: { y: 2, x: 1 } },
    ],
    ['null for what is not there', { metadata: { z: null }, systems: null, description: null }],
    ['an empty metadata patch', { metadata: {} }],
    ['zero with another sign', { metadata: { zero: -0 } }],
  ])('writes nothing and keeps the ETag for %s', async (_what, change) => {
    const { id } = await createContext({ name: 'Same', tools: ['b', 'a'], metadata: { x: 1, y: 2, zero: 0 } });
    const before = await (await read(id)).text();
    const response = await withNothingWritten(id, () => patch(id, change));
    expect(response.status).toBe(200);
    expect(response.headers.get('ETag')).toBe('"1"');
    expect(await response.text()).toBe(before);
  });

  it('sees a change of order in a list', async () => {
    const { id } = await createContext({ tools: ['a', 'b'] });
    const patched: ContextJson = await (await patch(id, { tools: ['b', 'a'] })).json();
    expect(patched).toMatchObject({ tools: ['b', 'a'], version: 2 });
  });

  it('does not let metadata grow beyond 64 KiB by small patches', async () => {
    const { id } = await createContext({ metadata: { a: 'x'.repeat(40_000) } });
    const response = await withNothingWritten(id, () => patch(id, { metadata: { b: 'x'.repeat(40_000) } }));
    const { errors } = await expectProblem(response, 400, 'invalid');
    expect(errors).toEqual([
      { pointer: '/metadata', message: 'must have at most 65536 bytes as compact JSON after the patch' },
    ]);
    expect(response.headers.get('ETag')).toBe('"1"');
  });

  it('can replace full metadata by other metadata of the same size', async () => {
    const { id } = await createContext({ metadata: { a: 'x'.repeat(60_000) } });
    expect((await patch(id, { metadata: { a: null, b: 'x'.repeat(60_000) } })).status).toBe(200);
  });

  it('is applied in the order of arrival, each once, when many come at once', async () => {
    const { id } = await createContext();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => patch(id, { metadata: { [`k${index}`]: index } })),
    );
    const versions = answers.map((answer) => Number(answer.headers.get('ETag')?.replaceAll('"', '')));
    expect(versions.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index + 2));
    const now: ContextJson = await (await read(id)).json();
    expect(Object.keys(Object(now.metadata))).toHaveLength(50);
  });

  it('of a context that is not there is 404 and makes none', async () => {
    await expectProblem(await patch(derivedId('ctx', 'nobody'), { name: 'x' }), 404, 'not-found');
    const wrong = 'ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC';
    await expectProblem(await withNothingCreated(() => patch(wrong, { name: 'x' })), 404, 'not-found');
  });

  it('takes no query', async () => {
    const { id } = await createContext();
    const send = () => api(`/v1/contexts/${id}?force=1`, { method: 'PATCH', json: { name: 'x' } });
    await expectInvalid(
      await withNothingWritten(id, send),
      'force',
      'is not a query parameter here; this route takes none',
    );
  });
});
