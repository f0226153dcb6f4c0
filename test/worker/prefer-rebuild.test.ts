import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import type { Principal } from '../../actors/principal.ts';
import { isRebuildWanted } from '../../projections/rebuild-wanted.ts';
import { rebuildAll as rebuildEverything } from '../../src/delivery/rebuild.ts';
import { expectJson } from '../support/actors.ts';
import { api, createContext } from '../support/api.ts';
import { allAreQuiet } from '../support/delivered.ts';
import { surrounded } from '../support/delivery.ts';
import { deliver, payload, repository } from '../support/github.ts';
import { objectOf } from '../support/rest.ts';
import { contextOf, idOf, invite, person } from '../support/sharing.ts';

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

  it('answers when the time is up although search does not show the change yet, and does not say that it does', async () => {
    const { id } = await createContext({ name: 'Gartenspatz' });
    expect(await objectOf(id).whenDelivered('d1', 1, 10_000)).toBe(true);
    await env.DB.prepare(
      "CREATE TRIGGER no_room BEFORE UPDATE ON contexts BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    ).run();
    try {
      const before = performance.now();
      const headers = { Prefer: 'wait=1' };
      const response = await api(`/v1/contexts/${id}`, { method: 'PATCH', json: { name: 'Haussperling' }, headers });
      const waitedMs = performance.now() - before;
      expect(await expectJson(response, 200)).toMatchObject({ name: 'Haussperling', version: 2 });
      expect(response.headers.get('Preference-Applied')).toBeNull();
      expect(waitedMs).toBeGreaterThan(900);
      // As long as ten such waits: it waits for the time that was asked for, and not for the change.
      expect(waitedMs).toBeLessThan(10_000);
      expect(await find('haussper')).toEqual([]);
    } finally {
      await env.DB.prepare('DROP TRIGGER no_room').run();
    }
    expect(await objectOf(id).whenDelivered('d1', 2, 10_000)).toBe(true);
    expect(await find('haussper')).toEqual([id]);
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

  /** Rebuilds everything. @param between what happens after each part @param from the cursor of one that was begun */
  async function rebuildAll(between: () => Promise<unknown> = async () => {}, from?: string): Promise<void> {
    let cursor: string | null | undefined = from;
    let rebuilt = 0;
    while (cursor !== null) {
      const query: string = cursor === undefined ? '' : `?cursor=${cursor}`;
      const response = await api(`/v1/admin/rebuild${query}`, { method: 'POST' });
      expect(response.status).toBe(200);
      const part: { rebuilt: number; total: number; nextCursor: string | null } = await response.json();
      rebuilt += part.rebuilt;
      cursor = part.nextCursor;
      if (cursor === null && from === undefined) expect(rebuilt).toBe(part.total);
      await between();
    }
  }

  /** The versions of a context that have a place in the feed, in the order of their places. */
  async function placesOf(id: string): Promise<number[]> {
    const { results } = await env.DB.prepare('SELECT first, last FROM feed WHERE context = ? ORDER BY position')
      .bind(id)
      .all<{ first: number; last: number }>();
    return results.flatMap(({ first, last }) => versions(last - first + 1).map((version) => first + version - 1));
  }

  /** The audit trail of contexts. */
  async function trail(): Promise<unknown[]> {
    return (await env.DB.prepare("SELECT * FROM audit WHERE stream LIKE 'context/%' ORDER BY id").all()).results;
  }

  const versions = (last: number) => Array.from({ length: last }, (_, index) => index + 1);
  const change = (id: string, json: object) => api(`/v1/contexts/${id}`, { method: 'PATCH', json });
  const isQuiet = (id: string) =>
    vi.waitFor(async () => expect(await objectOf(id).flushOutbox()).toBe(true), { timeout: 20_000, interval: 200 });

  it('gives every event its place in the feed and its entry in the trail, also of a long history', {
    timeout: 120_000,
  }, async () => {
    const long = await createContext({ name: 'Long' });
    await Promise.all(versions(1_300).map((number) => change(long.id, { description: `Change ${number}` })));
    const short = await createContext({ name: 'Short' });
    await allAreQuiet();
    const live = await trail();
    await rebuildAll();
    for (const { id } of [long, short]) {
      const { version }: { version: number } = await (await api(`/v1/contexts/${id}`)).json();
      await vi.waitFor(async () => expect(await placesOf(id)).toEqual(versions(version)), 20_000);
    }
    await vi.waitFor(async () => expect(await trail()).toEqual(live), 20_000);
  });

  it('misses nothing that happens meanwhile', { timeout: 120_000 }, async () => {
    const made = await Promise.all(versions(6).map((number) => createContext({ name: `Busy ${number}` })));
    let number = 0;
    const changeAll = () => Promise.all(made.map(({ id }) => change(id, { description: `Round ${++number}` })));
    for (let round = 0; round < 4; round++) await changeAll();
    const isOver = { value: false };
    const busy = (async () => {
      while (!isOver.value) await changeAll();
    })();
    await rebuildAll(changeAll);
    isOver.value = true;
    await busy;
    for (const { id } of made) {
      await isQuiet(id);
      const { version }: { version: number } = await (await api(`/v1/contexts/${id}`)).json();
      expect(version).toBeGreaterThan(20);
      expect(await placesOf(id)).toEqual(versions(version));
      const row = env.DB.prepare('SELECT version FROM contexts WHERE id = ?').bind(id);
      expect(await row.first('version')).toBe(version);
    }
  });

  it('gives, row by row, what was kept live', { timeout: 120_000 }, async () => {
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
    await allAreQuiet();
    const live = await readModels();
    await env.DB.prepare("UPDATE installations SET body = '{}', status = 'spoiled'").run();
    await env.DB.prepare("UPDATE contexts SET body = '{}', search = 'spoiled' WHERE rowid % 2 = 0").run();
    await rebuildAll();
    expect(await readModels()).toEqual(live);
  });

  it('keeps open invitations to a context that is changed while its turn is', { timeout: 60_000 }, async () => {
    const [ann, bob] = await Promise.all([person('Ann'), person('Bob')]);
    const shared = await contextOf(ann);
    await invite(ann, shared, bob);
    const waiting = async () => (await expectJson<Page>(await bob.call('/v1/invitations'), 200)).items;
    await vi.waitFor(async () => expect(await waiting()).toHaveLength(1), 10_000);
    let changes = 0;
    const get = (objectId: DurableObjectId) => {
      const stub = env.CONTEXTS.get(objectId);
      const invitations = async (principal: Principal) => {
        const answer = await stub.invitations(principal);
        if (objectId.equals(env.CONTEXTS.idFromName(idOf(shared)))) {
          changes += 1;
          const headers = { Prefer: 'wait=10' };
          await expectJson(await ann.call(shared, { method: 'PATCH', json: { description: 'New' }, headers }), 200);
        }
        return answer;
      };
      return new Proxy(stub, { get: (of, name) => (name === 'invitations' ? invitations : Reflect.get(of, name, of)) });
    };
    await rebuildEverything(
      surrounded({ CONTEXTS: { idFromName: (name: string) => env.CONTEXTS.idFromName(name), get } }),
    );
    expect(changes).toBe(1);
    await isQuiet(idOf(shared));
    expect(await waiting()).toHaveLength(1);
  });

  it('that is stopped half-way is still wanted', async () => {
    await rebuildAll();
    expect(await isRebuildWanted(env.DB)).toBe(false);
    const response = await api('/v1/admin/rebuild', { method: 'POST' });
    expect(await response.json()).toMatchObject({ nextCursor: expect.any(String) });
    expect(await isRebuildWanted(env.DB)).toBe(true);
    await rebuildAll();
    expect(await isRebuildWanted(env.DB)).toBe(false);
  });

  it('that another one has overtaken leaves what it emptied to that one', async () => {
    const begin = async () => {
      const response = await api('/v1/admin/rebuild', { method: 'POST' });
      return (await expectJson<{ nextCursor: string }>(response, 200)).nextCursor;
    };
    const first = await begin();
    await begin();
    await rebuildAll(async () => {}, first);
    expect(await isRebuildWanted(env.DB)).toBe(true);
    await rebuildAll();
    expect(await isRebuildWanted(env.DB)).toBe(false);
  });

  it.each(['99.', 'x', '0.context', '01J0000000000000000000000U.0.', '0', '16.', '-1.'])(
    'refuses the cursor %j without emptying anything',
    async (cursor) => {
      const before = await readModels();
      const response = await api(`/v1/admin/rebuild?cursor=${cursor}`, { method: 'POST' });
      expect(response.status).toBe(400);
      expect(await readModels()).toEqual(before);
    },
  );

  it('needs a key', async () => {
    const response = await api('/v1/admin/rebuild', { method: 'POST', headers: { Authorization: 'Bearer wrong' } });
    expect(response.status).toBe(401);
  });
});
