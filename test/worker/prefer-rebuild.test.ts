import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { api, createContext } from '../support/api.ts';
import { deliver, payload, repository } from '../support/github.ts';

interface Page {
  items: { id: string; name: string }[];
}

async function find(query: string): Promise<string[]> {
  const response = await api(`/v1/contexts/search?q=${encodeURIComponent(query)}`);
  const page: Page = await response.json();
  return page.items.map((item) => item.id);
}

describe('Prefer: wait', () => {
  it('answers a creation when it is found by search, and says so', async () => {
    const response = await api('/v1/contexts', {
      method: 'POST',
      json: { name: 'Zebrafink' },
      headers: { Prefer: 'wait=10' },
    });
    expect(response.headers.get('Preference-Applied')).toBe('wait=10');
    const { id }: { id: string } = await response.json();
    expect(await find('ebrafi')).toEqual([id]);
  });

  it('answers a change when search shows the new name and no longer the old one', async () => {
    const { id } = await createContext({ name: 'Nachtigall' });
    const headers = { Prefer: 'respond-async, wait=10' };
    const response = await api(`/v1/contexts/${id}`, { method: 'PATCH', json: { name: 'Rotkehlchen' }, headers });
    expect(response.headers.get('Preference-Applied')).toBe('wait=10');
    expect(await find('rotkehl')).toEqual([id]);
    expect(await find('nachtigall')).toEqual([]);
  });

  it.each(['wait', 'wait=', 'wait=0', 'wait=31', 'wait=soon', 'wait=-1'])(
    'refuses %j, and changes nothing',
    async (prefer) => {
      const { id } = await createContext();
      const response = await api(`/v1/contexts/${id}`, { method: 'DELETE', headers: { Prefer: prefer } });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ errors: [{ pointer: 'Prefer' }] });
      expect((await api(`/v1/contexts/${id}`)).status).toBe(200);
    },
  );

  it('ignores preferences that it does not know', async () => {
    const response = await api('/v1/contexts', { method: 'POST', json: { name: 'A' }, headers: { Prefer: 'depth=1' } });
    expect(response.status).toBe(201);
    expect(response.headers.get('Preference-Applied')).toBeNull();
  });
});

describe('a rebuild', () => {
  /** Everything that lists and search read, in an order that does not depend on when it was written. */
  async function readModels() {
    const contexts = await env.DB.prepare(
      'SELECT id, version, status, created_at, updated_at, updated_hour, terms, search, body FROM contexts ORDER BY id',
    ).all();
    const index = await env.DB.prepare('SELECT count(*) AS n FROM contexts_fts').all();
    const ids = await env.DB.prepare('SELECT * FROM chitty_ids ORDER BY id').all();
    const letters = await env.DB.prepare('SELECT * FROM dead_letters ORDER BY id').all();
    const installations = await env.DB.prepare('SELECT * FROM installations ORDER BY id').all();
    return [contexts.results, index.results, ids.results, letters.results, installations.results];
  }

  /** Waits until the read model has the installations as they are now. */
  async function caughtUp(count: number): Promise<void> {
    const { results } = await vi.waitFor(async () => {
      const found = await env.DB.prepare('SELECT id, version FROM installations').all<{
        id: string;
        version: number;
      }>();
      expect(found.results).toHaveLength(count);
      return found;
    });
    for (const { id } of results) {
      const stub = env.INSTALLATIONS.get(env.INSTALLATIONS.idFromName(id));
      // The log of logs confirms a little later.
      await vi.waitFor(async () => expect(await stub.flushOutbox()).toBe(true), 10_000);
    }
  }

  it('gives, row by row, what was kept live', { timeout: 30_000 }, async () => {
    for (let index = 0; index < 12; index++) {
      const { id } = await createContext({ name: `Rebuilt ${index}`, tools: [`tool-${index % 3}`] });
      const headers = { Prefer: 'wait=10' };
      if (index % 3 === 0)
        await api(`/v1/contexts/${id}`, { method: 'PATCH', json: { description: 'changed' }, headers });
      else if (index % 3 === 1) await api(`/v1/contexts/${id}`, { method: 'DELETE', headers });
      else await api(`/v1/contexts/${id}`, { method: 'PATCH', json: { name: `Renamed ${index}` }, headers });
    }
    for (const number of [1, 2, 3]) {
      const repositories = [repository(number)];
      await deliver({ body: JSON.stringify(payload(number, 'created', { repositories })) });
    }
    const suspended = { installation: { updated_at: 1_600_000_000 } };
    await deliver({ body: JSON.stringify(payload(1, 'suspend', suspended)) });
    await deliver({ body: JSON.stringify(payload(2, 'deleted')) });
    await caughtUp(3);
    const live = await readModels();
    await env.DB.prepare("UPDATE installations SET body = '{}', status = 'spoiled'").run();
    await env.DB.prepare("UPDATE contexts SET body = '{}', search = 'spoiled' WHERE rowid % 2 = 0").run();
    let cursor: string | null | undefined;
    let rebuilt = 0;
    while (cursor !== null) {
      const query: string = cursor === undefined ? '' : `?cursor=${cursor}`;
      const response = await api(`/v1/admin/rebuild${query}`, { method: 'POST' });
      expect(response.status).toBe(200);
      const part: { rebuilt: number; total: number; nextCursor: string | null } = await response.json();
      rebuilt += part.rebuilt;
      cursor = part.nextCursor;
      if (cursor === null) expect(rebuilt).toBe(part.total);
    }
    expect(await readModels()).toEqual(live);
  });

  it.each(['99.', 'x', '0', '16.', '-1.'])('refuses the cursor %j without emptying anything', async (cursor) => {
    const before = await readModels();
    const response = await api(`/v1/admin/rebuild?cursor=${cursor}`, { method: 'POST' });
    expect(response.status).toBe(400);
    expect(await readModels()).toEqual(before);
  });

  it('needs a key', async () => {
    const response = await api('/v1/admin/rebuild', { method: 'POST', headers: { Authorization: 'Bearer wrong' } });
    expect(response.status).toBe(401);
  });
});
