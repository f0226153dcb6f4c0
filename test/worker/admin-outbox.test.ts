import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { Directory } from '../../actors/directory.ts';
import type { DirectoryObject } from '../../actors/directory-object.ts';
import { DEFAULT_LIMITS, LIMITS_ID } from '../../events/limits.ts';
import { RING_ID } from '../../src/auth/key-ring.ts';
import type { LimitsObject, SigningKeysObject } from '../../src/objects.ts';
import { expectJson, registerActor } from '../support/actors.ts';
import { api, createContext } from '../support/api.ts';
import { expectProblem, objectOf } from '../support/rest.ts';

const outbox = z.looseObject({
  destinations: z.array(
    z.strictObject({
      destination: z.string(),
      streamsBehind: z.int(),
      oldestSince: z.iso.datetime().nullable(),
      mostAttempts: z.int(),
      lastError: z.string().nullable(),
    }),
  ),
  behind: z.array(
    z.looseObject({ stream: z.string(), cursors: z.record(z.string(), z.looseObject({ since: z.string() })) }),
  ),
});

const monitor = new Directory(env.DIRECTORY).monitor();
const cursor = { confirmed: 1, attempts: 2, retryAt: 0, lastError: null };

async function readOutbox(): Promise<z.infer<typeof outbox>> {
  return outbox.parse(await expectJson(await api('/v1/admin/outbox'), 200));
}

async function rowOf(name: string) {
  return (await readOutbox()).destinations.find(({ destination }) => destination === name);
}

afterEach(() => {
  vi.useRealTimers();
});

it('every destination that a stream has is there, also when nothing is behind with it', async () => {
  const context = await objectOf((await createContext()).id).outboxCursors();
  const { id } = await registerActor();
  const actor = await env.ACTORS.get(env.ACTORS.idFromName(id)).outboxCursors();
  const { destinations } = await readOutbox();
  const nothing = { streamsBehind: 0, oldestSince: null, mostAttempts: 0, lastError: null };
  for (const destination of Object.keys({ ...context, ...actor, chronicle: 0, dna: 0, registry: 0 })) {
    expect(destinations).toContainEqual({ destination, ...nothing });
  }
});

it('the time is that of the destination, not of the stream that was behind with another one before', async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.parse('2026-03-01T12:00:00Z') });
  await monitor.behind('context/two', { audit: { ...cursor, attempts: 9 } });
  vi.setSystemTime(Date.parse('2026-03-01T13:00:00Z'));
  await monitor.behind('context/two', { audit: cursor, d1: { ...cursor, lastError: 'the later one' } });
  vi.setSystemTime(Date.parse('2026-03-01T14:00:00Z'));
  await monitor.behind('context/two', { audit: cursor, d1: { ...cursor, lastError: 'the earlier one', attempts: 5 } });
  await monitor.behind('context/three', { d1: { ...cursor, lastError: 'another' } });
  expect(await rowOf('audit')).toMatchObject({ streamsBehind: 1, oldestSince: '2026-03-01T12:00:00.000Z' });
  expect(await rowOf('d1')).toMatchObject({
    streamsBehind: 2,
    oldestSince: '2026-03-01T13:00:00.000Z',
    mostAttempts: 5,
    lastError: 'the earlier one',
  });
  const [listed] = (await readOutbox()).behind;
  expect(listed).toMatchObject({
    stream: 'context/two',
    since: '2026-03-01T12:00:00.000Z',
    cursors: { audit: { since: '2026-03-01T12:00:00.000Z' }, d1: { since: '2026-03-01T13:00:00.000Z' } },
  });
  for (const stream of ['context/two', 'context/three']) await monitor.caughtUp(stream);
});

it('streams are counted however many there are', async () => {
  const streams = Array.from({ length: 1_001 }, (_, index) => `context/many-${index}`);
  const [shard] = new Directory(env.DIRECTORY).shards();
  if (!shard) throw new Error('there is no shard');
  await runInDurableObject(shard, (object: DirectoryObject) => {
    for (const stream of streams) object.noteBehind(stream, { given: cursor });
  });
  expect(await rowOf('given')).toMatchObject({ streamsBehind: 1_001 });
  await runInDurableObject(shard, (object: DirectoryObject) => {
    for (const stream of streams) object.noteCaughtUp(stream);
  });
  expect(await rowOf('given')).toMatchObject({ streamsBehind: 0, oldestSince: null });
});

it('what was reported before destinations had a time of their own has that of its stream', async () => {
  const [shard] = new Directory(env.DIRECTORY).shards();
  if (!shard) throw new Error('there is no shard');
  const since = Date.parse('2026-03-01T12:00:00Z');
  await runInDurableObject(shard, (object: DirectoryObject, { storage }) => {
    const insert = 'INSERT INTO behind (stream, since, reported_at, cursors) VALUES (?, ?, ?, ?)';
    storage.sql.exec(insert, 'context/old', since, since, JSON.stringify({ live: cursor }));
    expect(object.behindByDestination()).toMatchObject([{ destination: 'live', since: '2026-03-01T12:00:00.000Z' }]);
    object.noteBehind('context/old', { live: cursor });
    expect(object.behind(1)).toMatchObject([{ cursors: { live: { since: '2026-03-01T12:00:00.000Z' } } }]);
    object.noteCaughtUp('context/old');
  });
});

it('the limits and the signing keys are listed when the trail does not take what became of them, and delivered when asked for', async () => {
  const limits = { ...DEFAULT_LIMITS, guesses: { requests: 21, seconds: 60 } };
  expect((await api('/v1/admin/limits', { method: 'PUT', json: limits })).status).toBe(200);
  expect((await api('/v1/admin/signing-keys/rotate', { method: 'POST' })).status).toBe(200);
  for (const [stream, stub] of [
    [`limits/${LIMITS_ID}`, env.LIMITS.get(env.LIMITS.idFromName(LIMITS_ID))],
    [`keyring/${RING_ID}`, env.SIGNING_KEYS.get(env.SIGNING_KEYS.idFromName(RING_ID))],
  ] as const) {
    expect(await stub.whenDelivered('audit', 1, 10_000)).toBe(true);
    // In one turn, so that nothing is delivered in between; refused, so that it does not go on by itself for an hour.
    await runInDurableObject(stub, (object: LimitsObject | SigningKeysObject) => {
      expect(object.resend('audit', 1)).toBe(true);
      const failed = { failed: 'the trail is full', isRefused: true };
      object.reportDelivery({ audit: { first: 1, last: 1, ...failed, generation: 1 } });
    });
    await runDurableObjectAlarm(stub);
    await vi.waitFor(async () => expect((await readOutbox()).behind.map((each) => each.stream)).toContain(stream));
    expect(await rowOf('audit')).toMatchObject({ streamsBehind: 1, lastError: 'the trail is full' });
    expect((await api(`/v1/admin/outbox/${stream}/retry`, { method: 'POST' })).status).toBe(204);
    await runDurableObjectAlarm(stub);
    await vi.waitFor(async () => expect(await rowOf('audit')).toMatchObject({ streamsBehind: 0 }));
  }
  for (const stream of ['limits/others', 'keyring/others', 'webhook/whk_1']) {
    await expectProblem(await api(`/v1/admin/outbox/${stream}/retry`, { method: 'POST' }), 404, 'not-found');
  }
});
