import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { api } from '../support/api.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { objectOf } from '../support/rest.ts';
import { contextOf, idOf, person } from '../support/sharing.ts';

const DAY_MS = 86_400_000;
const CAUSE = { correlationId: 'r', causationId: null, commandId: 'c' };

beforeEach(() => {
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/**
 * A context with words to erase after a day, whose first events are cold and whose segments are lost.
 *
 * @param prepare done to its object before it is time to erase them
 */
async function lostContext(prepare: (sql: SqlStorage) => void = () => undefined): Promise<string> {
  const ann = await person('Ann');
  const context = await contextOf(ann, {
    metadata: { customer: 'Hedwig' },
    privacy: [{ pointer: '/metadata/customer', subject: 'customer-42' }],
  });
  await ann.call(`${context}/retention`, { method: 'PUT', json: { days: 1, after: 'change' } });
  const id = idOf(context);
  const object = objectOf(id);
  for (let index = 0; index < 400; index++) {
    const command = { type: 'update' as const, data: { name: `Name ${index}` } };
    await object.execute({ id, command, principal: ADMINISTRATOR, cause: CAUSE });
  }
  await expect.poll(() => object.flushOutbox(), { timeout: 30_000, interval: 500 }).toBe(true);
  const archived = await api(`/v1/admin/streams/context/${id}/archive`, { method: 'POST' });
  expect(await archived.json()).toMatchObject({ segments: 1 });
  const files = (await env.COLD_HISTORY?.list({ prefix: `context/${id}/` }))?.objects ?? [];
  for (const { key } of files) await env.COLD_HISTORY?.delete(key);
  await runInDurableObject(object, (_object, { storage }) => prepare(storage.sql));
  await evictDurableObject(object);
  vi.useFakeTimers({ now: Date.now() + 3 * DAY_MS, toFake: ['Date'] });
  return context;
}

const read = async (context: string) => (await api(context)).json();

it.each([
  ['the alarm', (context: string) => runDurableObjectAlarm(objectOf(idOf(context)))],
  ['the sweep', (context: string) => objectOf(idOf(context)).flushOutbox()],
])(
  'words are erased when it is time by %s, though the first events cannot be read',
  async (_name, run) => {
    const context = await lostContext();
    await run(context);
    expect(await read(context)).toMatchObject({ metadata: { customer: '[erased]' } });
  },
  90_000,
);

it('an alarm that could not do it does all the rest, and rings again', async () => {
  const context = await lostContext((sql) => {
    sql.exec(`CREATE TRIGGER broken BEFORE INSERT ON events BEGIN SELECT raise(ABORT, 'no'); END`);
    const insert = "INSERT INTO answers (key, fingerprint, version, body, expires_at) VALUES ('old', '', 1, '', ?)";
    sql.exec(insert, Date.now() + DAY_MS);
  });
  const object = objectOf(idOf(context));
  await runDurableObjectAlarm(object);
  const left = await runInDurableObject(object, async (_object, { storage }) => {
    storage.sql.exec('DROP TRIGGER broken');
    const old = storage.sql.exec("SELECT 1 FROM answers WHERE key = 'old'").toArray();
    return { old, alarm: await storage.getAlarm() };
  });
  expect(left.old).toEqual([]);
  expect(left.alarm).toBeLessThanOrEqual(Date.now() + 3_600_000);
  await runDurableObjectAlarm(object);
  expect(await read(context)).toMatchObject({ metadata: { customer: '[erased]' } });
}, 90_000);
