import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { api, createContext } from '../support/api.ts';

describe('POST /v1/contexts', () => {
  it('answers 201 with the context, its place and its version', async () => {
    const response = await api('/v1/contexts', { method: 'POST', json: { name: '  Planning  ', tools: ['linear'] } });
    const context: { id: string } = await response.json();
    expect(response.status).toBe(201);
    expect(response.headers.get('Location')).toBe(`/v1/contexts/${context.id}`);
    expect(response.headers.get('ETag')).toBe('"1"');
    expect(context).toMatchObject({
      name: 'Planning',
      tools: ['linear'],
      status: 'active',
      version: 1,
      chittyId: null,
    });
  });
});

describe('after an eviction', () => {
  it('a context is what it was', async () => {
    const { id } = await createContext();
    const before = await (await api(`/v1/contexts/${id}`)).text();
    const stub = env.CONTEXTS.get(env.CONTEXTS.idFromName(id));
    await evictDurableObject(stub);
    expect(await (await api(`/v1/contexts/${id}`)).text()).toBe(before);
    await runInDurableObject(stub, (_object, state) => {
      expect(state.storage.sql.exec('SELECT count(*) AS n FROM events').one().n).toBe(1);
    });
  });
});
