import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { call, done, mint, send } from './chittyos.ts';

interface Service {
  readonly id: string;
  readonly chittyid: string;
  readonly name: string;
  readonly health: unknown;
}

interface Page {
  readonly services: Service[];
  readonly nextAfter: number | null;
}

const discover = async (query = '') => (await call<Page>('registry', `/api/services${query}`)).body;

describe('the services of this Worker', () => {
  it('are registered from the first moment, with ChittyIDs from the authority', async () => {
    const [first, second] = await Promise.all([discover(), discover()]);
    expect(first).toEqual(second);
    expect(first.services.map(({ name }) => name)).toEqual([
      'ChittyID',
      'ChittyAuth',
      'ChittyRegistry',
      'ChittyDNA',
      'ChittyVerify',
      'ChittyCertify',
      'ChittyChronicle',
    ]);
    expect(first.services[3]).toMatchObject({
      id: 'chittydna',
      type: 'core',
      baseUrl: 'https://dna.chitty.cc',
      capabilities: expect.arrayContaining(['evolve']),
      health: 'healthy',
    });
    for (const { chittyid } of first.services) {
      expect((await call('id', '/v1/validate', { json: { chittyid } })).body).toMatchObject({ valid: true });
    }
  });

  it('keep their ChittyIDs across an eviction', async () => {
    const before = await discover();
    await evictDurableObject(env.CHITTY_REGISTRY.getByName('single'));
    expect(await discover()).toEqual(before);
  });

  it('show the faults that are switched on', async () => {
    await done('embedded', '/faults/dna', { method: 'PUT', json: { outage: true } });
    await done('embedded', '/faults/verify', { method: 'PUT', json: { errorRate: 0.1 } });
    const health = new Map((await discover()).services.map((service) => [service.id, service.health]));
    await send('https://embedded.chitty.cc/faults/all', { method: 'DELETE' });
    expect([health.get('chittydna'), health.get('chittyverify'), health.get('chittyid')]).toEqual([
      'down',
      'degraded',
      'healthy',
    ]);
  });
});

describe('registering', () => {
  const service = async (more: object = {}) => ({
    chittyid: await mint('T'),
    name: 'ChittyConnect',
    type: 'connector',
    capabilities: ['contexts', 'search'],
    health: { status: 'up' },
    ...more,
  });

  it('makes a service found, once, however often it registers', async () => {
    const json = await service();
    const first = await call('registry', '/api/services/register', { json });
    expect(first).toMatchObject({ status: 201, body: { ...json, id: json.chittyid } });
    const again = await call('registry', '/api/services/register', { json: { ...json, name: 'Renamed' } });
    expect(again.status).toBe(201);
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    await evictDurableObject(env.CHITTY_REGISTRY.getByName('single'));
    const found = (await discover()).services.filter(({ chittyid }) => chittyid === json.chittyid);
    expect(found).toEqual([expect.objectContaining({ name: 'Renamed', health: { status: 'up' } })]);
    expect(await done('registry', `/api/services/${json.chittyid}`)).toEqual(found[0]);
  });

  it('is filtered by type and by capability, and read in pages', async () => {
    for (const capability of ['a', 'b', 'a']) {
      await done('registry', '/api/services/register', {
        json: await service({ type: 'filtered', capabilities: [capability] }),
      });
    }
    expect((await discover('?type=filtered')).services).toHaveLength(3);
    expect((await discover('?type=filtered&capability=a')).services).toHaveLength(2);
    expect((await discover('?type=filtered&capability=%27%20OR%201')).services).toEqual([]);
    const page = await discover('?type=filtered&limit=2');
    const rest = await discover(`?type=filtered&limit=2&after=${page.nextAfter}`);
    expect([page.services.length, rest.services.length, rest.nextAfter]).toEqual([2, 1, null]);
  });

  it('of many contexts does not slow down who looks for services', async () => {
    const object = env.CHITTY_REGISTRY.getByName('single');
    await discover();
    const contexts = 3_000;
    await runInDurableObject(object, (_object, { storage }) => {
      // As a registry has it that was made before there were many, and then got them.
      storage.sql.exec('DROP INDEX services_alone');
      storage.sql.exec(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${contexts})
         INSERT INTO services (id, chittyid, type, service, health)
         SELECT 'many ' || i, 'many ' || i, 'context', json_object('id', 'many ' || i), '"up"' FROM n`,
      );
    });
    await evictDurableObject(object);
    const last = await service({ name: 'After all of them' });
    await done('registry', '/api/services/register', { json: last });
    const read = await runInDurableObject(object, async (instance, { storage }) => {
      const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
      const exec = storage.sql.exec.bind(storage.sql);
      Object.defineProperty(storage.sql, 'exec', {
        configurable: true,
        value: (...statement: Parameters<typeof exec>) => {
          const cursor = exec(...statement);
          cursors.push(cursor);
          return cursor;
        },
      });
      await instance.discover({ type: null, capability: null, withoutContexts: true, after: 0, limit: 200 });
      Object.defineProperty(storage.sql, 'exec', { configurable: true, value: exec });
      return cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0);
    });
    expect(read).toBeLessThan(100);
    const { services, nextAfter } = await discover('?exclude=context');
    expect(services.map(({ name }) => name)).toContain(last.name);
    expect(services.map(({ id }) => id).filter((id) => id.startsWith('many'))).toEqual([]);
    expect(nextAfter).toBeNull();
    expect((await discover('?type=context&limit=500')).services).toHaveLength(500);
    expect((await call('registry', '/api/services?exclude=core')).status).toBe(400);
  });

  it('refuses a ChittyID whose check number is wrong', async () => {
    const json = await service({ chittyid: '03-1-USA-5537-P-2602-0-39' });
    expect(await call('registry', '/api/services/register', { json })).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/chittyid' }] },
    });
  });

  it('finds one service by its id, and none where there is none', async () => {
    expect(await done('registry', '/api/services/chittyid')).toMatchObject({ name: 'ChittyID' });
    expect((await call('registry', '/api/services/nothing')).status).toBe(404);
    expect((await call('registry', '/api/services?limit=0')).status).toBe(400);
  });
});
