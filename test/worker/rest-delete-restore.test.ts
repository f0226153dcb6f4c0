import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { api, type ContextJson, createContext } from '../support/api.ts';
import {
  derivedId,
  expectProblem,
  history,
  historyText,
  objectOf,
  patch,
  read,
  remove,
  restore,
  withNothingCreated,
  withNothingWritten,
} from '../support/rest.ts';

async function deletedContext(): Promise<string> {
  const { id } = await createContext({ name: 'Once', tools: ['a'] });
  expect((await remove(id)).status).toBe(204);
  return id;
}

describe('deleting a context', () => {
  it('answers 204 with the version and no body', async () => {
    const { id } = await createContext();
    const response = await remove(id);
    expect(response.status).toBe(204);
    expect(response.headers.get('ETag')).toBe('"2"');
    expect(await response.text()).toBe('');
  });

  it('leaves a tombstone: 410 that tells when, and where its history is', async () => {
    const id = await deletedContext();
    const response = await read(id);
    expect(response.headers.get('ETag')).toBe('"2"');
    const body = await expectProblem(response, 410, 'gone');
    const deletedAt = (await history(id)).at(-1)?.time;
    expect(body.tombstone).toEqual({ id, version: 2, deletedAt, history: `/v1/contexts/${id}/events` });
    expect(body.detail).toContain(`POST /v1/contexts/${id}/restore`);
    expect(body).not.toHaveProperty('name');
  });

  it('holds after an eviction', async () => {
    const id = await deletedContext();
    await evictDurableObject(objectOf(id));
    await expectProblem(await read(id), 410, 'gone');
    await expectProblem(await patch(id, { name: 'x' }), 409, 'deleted');
  });

  it('leaves the history readable, the deletion included', async () => {
    const id = await deletedContext();
    expect((await history(id)).map((event) => event.type)).toEqual(['context_created', 'context_deleted']);
  });

  it('makes a change 409, which says what to do and writes nothing', async () => {
    const id = await deletedContext();
    const response = await withNothingWritten(id, () => patch(id, { name: 'x' }));
    expect(response.headers.get('ETag')).toBe('"2"');
    expect((await expectProblem(response, 409, 'deleted')).detail).toContain('restore');
    await expectProblem(await withNothingWritten(id, () => patch(id, {})), 409, 'deleted');
  });

  it('a second time is 409 and writes nothing', async () => {
    const id = await deletedContext();
    await expectProblem(await withNothingWritten(id, () => remove(id)), 409, 'already-deleted');
  });

  it('keeps what the context was before for ?at=, and 410 for the time since', async () => {
    const id = await deletedContext();
    const was = await read(id, '?at=1');
    expect(was.status).toBe(200);
    expect(await was.json()).toMatchObject({ name: 'Once', status: 'active', version: 1 });
    await expectProblem(await read(id, '?at=2'), 410, 'gone');
    await expectProblem(await read(id, '?at=999'), 410, 'gone');
  });

  it('of a context that is not there is 404 and makes none', async () => {
    await expectProblem(await remove(derivedId('ctx', 'never')), 404, 'not-found');
    await expectProblem(await withNothingCreated(() => remove('ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC')), 404, 'not-found');
  });
});

describe('restoring a context', () => {
  it('brings it back as it was, at a new version', async () => {
    const created = await createContext({ name: 'Once', tools: ['a'], metadata: { x: 1 } });
    await remove(created.id);
    const response = await restore(created.id);
    const restored: ContextJson = await response.json();
    expect(response.status).toBe(200);
    expect(response.headers.get('ETag')).toBe('"3"');
    expect(restored).toEqual({ ...created, version: 3, updatedAt: restored.updatedAt });
    expect(await (await read(created.id)).json()).toEqual(restored);
    expect((await patch(created.id, { name: 'Again' })).status).toBe(200);
  });

  it('leaves the time in between deleted', async () => {
    const id = await deletedContext();
    await restore(id);
    await expectProblem(await read(id, '?at=2'), 410, 'gone');
    expect((await read(id, '?at=3')).status).toBe(200);
  });

  it('of an active context is 409 and writes nothing', async () => {
    const { id } = await createContext();
    await expectProblem(await withNothingWritten(id, () => restore(id)), 409, 'not-deleted');
  });

  it('of a context that is not there is 404 and makes none', async () => {
    await expectProblem(await restore(derivedId('ctx', 'never')), 404, 'not-found');
    await expectProblem(await withNothingCreated(() => restore('ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC')), 404, 'not-found');
  });

  it('can be done as often as it is deleted', async () => {
    const { id } = await createContext();
    for (let round = 0; round < 3; round++) {
      expect((await remove(id)).status).toBe(204);
      expect((await restore(id)).status).toBe(200);
    }
    expect((await historyText(id)).trimEnd().split('\n')).toHaveLength(7);
    expect((await api(`/v1/contexts/${id}`)).headers.get('ETag')).toBe('"7"');
  });
});
