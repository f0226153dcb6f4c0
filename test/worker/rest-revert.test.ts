import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { api, type ContextJson, createContext } from '../support/api.ts';
import { principalOf } from '../support/principals.ts';
import {
  derivedId,
  expectInvalid,
  expectProblem,
  history,
  objectOf,
  patch,
  read,
  remove,
  withNothingWritten,
} from '../support/rest.ts';

const MOMENT = 'must be a version such as 3, or a time with its zone such as 2026-01-31T12:00:00Z';

function revert(id: string, json: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${id}/revert`, { method: 'POST', json, headers });
}

/** A change by somebody else. */
async function changeAs(actor: string, id: string, data: { name?: string; metadata?: Record<string, number> }) {
  const principal = principalOf(actor, { capabilities: ['administrator'] });
  const cause = { correlationId: 'test', causationId: null, commandId: 'test' };
  await objectOf(id).execute({ id, command: { type: 'update', data }, principal, cause });
}

describe('reverting a context', () => {
  it('makes it what it was, by a new event, and leaves the history as it is', async () => {
    const first = await createContext({ name: 'One', tools: ['a'], metadata: { a: null, b: { c: 1 } } });
    const { id } = first;
    await patch(id, { name: 'Two', description: 'x', systems: ['s'], tools: ['b'], metadata: { a: 1, b: null, d: 2 } });
    const before = await history(id);
    const response = await revert(id, { to: 1 });
    expect(response.status).toBe(200);
    expect(response.headers.get('ETag')).toBe('"3"');
    const after: ContextJson = await response.json();
    expect(after).toEqual({ ...first, version: 3, updatedAt: after.updatedAt });
    expect(await (await read(id)).json()).toEqual(after);
    const events = await history(id);
    expect(events.slice(0, 2)).toEqual(before);
    expect(events[2]).toMatchObject({
      type: 'context_reverted',
      data: {
        to: 1,
        name: 'One',
        description: '',
        systems: [],
        tools: ['a'],
        metadata: { set: { a: null, b: { c: 1 } }, removed: ['d'] },
      },
    });
  });

  it('gives the same after an eviction, which replays the events', async () => {
    const { id } = await createContext({ metadata: { a: null } });
    await patch(id, { metadata: { a: 1, b: 2 } });
    const text = await (await revert(id, { to: 1 })).text();
    await evictDurableObject(objectOf(id));
    expect(await (await read(id)).text()).toBe(text);
  });

  it('can itself be reverted', async () => {
    const { id } = await createContext({ name: 'One' });
    await patch(id, { name: 'Two' });
    await revert(id, { to: 1 });
    expect(await (await revert(id, { to: 2 })).json()).toMatchObject({ name: 'Two', version: 4 });
  });

  it('takes a time for a version', async () => {
    const { id } = await createContext({ name: 'One' });
    const { time } = (await history(id)).at(-1) ?? { time: '' };
    await expect.poll(() => new Date().toISOString() > time, { interval: 1 }).toBe(true);
    await patch(id, { name: 'Two' });
    expect(await (await revert(id, { to: time })).json()).toMatchObject({ name: 'One', version: 3 });
    const withZone = `${new Date(Date.parse(time) + 3_600_000).toISOString().slice(0, -1)}+01:00`;
    expect(await (await revert(id, { to: withZone })).json()).toMatchObject({ name: 'One', version: 3 });
  });

  it('brings back only the fields that are named', async () => {
    const { id } = await createContext({ name: 'One', tools: ['a'] });
    await patch(id, { name: 'Two', tools: ['b'] });
    const response = await revert(id, { to: 1, fields: ['tools'] });
    expect(await response.json()).toMatchObject({ name: 'Two', tools: ['a'] });
  });

  it('to what it is already writes nothing and keeps the ETag', async () => {
    const { id } = await createContext({ name: 'One' });
    await patch(id, { name: 'Two' });
    for (const to of [2, '2999-01-01T00:00:00Z']) {
      const response = await withNothingWritten(id, () => revert(id, { to }));
      expect(response.status).toBe(200);
      expect(response.headers.get('ETag')).toBe('"2"');
    }
  });

  it('is refused when somebody else has changed since what it would change, and says what, who and when', async () => {
    const { id } = await createContext({ name: 'One', metadata: { a: 1, b: 1 } });
    await patch(id, { metadata: { a: 2 } });
    await changeAs('act_ben', id, { name: 'Two', metadata: { b: 2 } });
    const response = await withNothingWritten(id, () => revert(id, { to: 1 }));
    expect(response.headers.get('ETag')).toBe('"3"');
    const problem = await expectProblem(response, 409, 'conflict');
    const { time } = (await history(id)).at(-1) ?? {};
    expect(problem.conflicts).toEqual([
      { pointer: '/name', version: 3, actor: 'act_ben', time },
      { pointer: '/metadata/b', version: 3, actor: 'act_ben', time },
    ]);
    expect(problem.detail).toContain('act_ben in version 3');
    expect(problem.detail).toContain('"onConflict": "overwrite"');
  });

  it('overwrites what others have changed when it is told to', async () => {
    const { id } = await createContext({ name: 'One' });
    await changeAs('act_ben', id, { name: 'Two' });
    const response = await revert(id, { to: 1, onConflict: 'overwrite' });
    expect(await response.json()).toMatchObject({ name: 'One', version: 3 });
  });

  it('finds who changed a field also when much has happened since', async () => {
    const { id } = await createContext({ name: 'One' });
    await changeAs('act_ben', id, { name: 'Two' });
    await Promise.all(Array.from({ length: 250 }, (_, index) => patch(id, { metadata: { index } })));
    const { conflicts } = await expectProblem(await revert(id, { to: 1 }), 409, 'conflict');
    expect(conflicts).toEqual([expect.objectContaining({ pointer: '/name', version: 2, actor: 'act_ben' })]);
  });

  it('of a deleted context is 409 and writes nothing', async () => {
    const { id } = await createContext({ name: 'One' });
    await patch(id, { name: 'Two' });
    await remove(id);
    await expectProblem(await withNothingWritten(id, () => revert(id, { to: 1 })), 409, 'deleted');
  });

  it('to before the creation is 404, to a version that has not been is 400, and neither writes', async () => {
    const { id } = await createContext();
    const early = await withNothingWritten(id, () => revert(id, { to: '2001-01-01T00:00:00Z' }));
    await expectProblem(early, 404, 'before-creation');
    const late = await withNothingWritten(id, () => revert(id, { to: 2 }));
    expect(late.headers.get('ETag')).toBe('"1"');
    await expectProblem(late, 400, 'ahead-of-stream');
  });

  it('by somebody who has nothing to do with it is answered as if it were not there', async () => {
    const { id } = await createContext();
    await patch(id, { name: 'Two' });
    const request = {
      id,
      command: { type: 'revert', to: { version: 1 }, onConflict: 'overwrite' } as const,
      principal: principalOf('act_stranger'),
      cause: { correlationId: 'test', causationId: null, commandId: 'test' },
    };
    const reply = await withNothingWritten(id, () => Promise.resolve(objectOf(id).execute(request)));
    expect(reply).toMatchObject({ refused: 'not-found' });
  });

  it('of a context that is not there is 404', async () => {
    await expectProblem(await revert(derivedId('ctx', 'revert: nobody'), { to: 1 }), 404, 'not-found');
  });

  it('honours If-Match', async () => {
    const { id } = await createContext({ name: 'One' });
    await patch(id, { name: 'Two' });
    const response = await withNothingWritten(id, () => revert(id, { to: 1 }, { 'If-Match': '"1"' }));
    await expectProblem(response, 412, 'version-mismatch');
    expect((await revert(id, { to: 1 }, { 'If-Match': '"2"' })).status).toBe(200);
  });

  it('is made once with an Idempotency-Key', async () => {
    const { id } = await createContext({ name: 'One' });
    await patch(id, { name: 'Two' });
    const key = { 'Idempotency-Key': 'revert' };
    const text = await (await revert(id, { to: 1 }, key)).text();
    await patch(id, { name: 'Three' });
    const again = await withNothingWritten(id, () => revert(id, { to: 1 }, key));
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(await again.text()).toBe(text);
    await expectProblem(await revert(id, { to: 2 }, key), 422, 'idempotency-key-reused');
  });

  it('can be waited for until search shows it', async () => {
    const { id } = await createContext({ name: 'Ottoline' });
    await patch(id, { name: 'Two' });
    const response = await revert(id, { to: 1 }, { Prefer: 'wait=10' });
    expect(response.headers.get('Preference-Applied')).toBe('wait=10');
    const found: { items: ContextJson[] } = await (await api('/v1/contexts/search?q=ottoline')).json();
    expect(found.items.map((item) => item.id)).toContain(id);
  });

  it.each<[string, unknown, string, string]>([
    ['no version', {}, '/to', MOMENT],
    ['null', { to: null }, '/to', MOMENT],
    ['version 0', { to: 0 }, '/to', MOMENT],
    ['a negative version', { to: -1 }, '/to', MOMENT],
    ['half a version', { to: 1.5 }, '/to', MOMENT],
    ['a version that no double holds', { to: 1e300 }, '/to', MOMENT],
    ['a list', { to: [1] }, '/to', MOMENT],
    ['a text that is no time', { to: 'yesterday' }, '/to', MOMENT],
    ['a day that does not exist', { to: '2026-02-30T00:00:00Z' }, '/to', MOMENT],
    ['no fields', { to: 1, fields: [] }, '/fields', 'must name a field; leave it out for all'],
    ['an unknown member', { to: 1, force: true }, '/force', 'is not a known field; leave it out'],
  ])('to %s is 400 and writes nothing', async (_what, body, pointer, message) => {
    const { id } = await createContext();
    await expectInvalid(await withNothingWritten(id, () => revert(id, body)), pointer, message);
  });

  it.each([
    ['a field that cannot be brought back', { to: 1, fields: ['owner'] }],
    ['fields that are no list', { to: 1, fields: 'name' }],
    ['another way to deal with conflicts', { to: 1, onConflict: 'merge' }],
    ['a list', [1]],
  ])('with %s is 400 and writes nothing', async (_what, body) => {
    const { id } = await createContext();
    await expectProblem(await withNothingWritten(id, () => revert(id, body)), 400, 'invalid');
  });
});
