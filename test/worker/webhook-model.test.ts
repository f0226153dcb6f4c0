import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { WebhookDelivery } from '../../actors/webhook-delivery.ts';
import { printedSeed } from '../support/seed.ts';
import { CONTEXTS, LONG_MS, moods, WEBHOOK, World } from '../support/webhook-world.ts';

const RUNS = 60;

afterEach(() => {
  vi.useRealTimers();
});

const context = fc.nat(CONTEXTS - 1);

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('happen' as const), context, events: fc.integer({ min: 1, max: 30 }) }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('deliver' as const), steps: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('mood' as const), mood: fc.constantFrom(...moods) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1_000, 400_000, LONG_MS) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('die' as const), after: fc.integer({ min: 0, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rebuild' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('begin' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('damage' as const),
      context,
      how: fc.constantFrom('lasting', 'passing', null),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unshare' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('share' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('suspend' as const), isSuspended: fc.boolean(), isNoticed: fc.boolean() }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

async function play(steps: readonly Step[], sql: SqlStorage): Promise<void> {
  const world = new World();
  const begin = () => new WebhookDelivery(sql, world.ports, () => WEBHOOK);
  let delivery = begin();
  let now = Date.now();
  const at = (time: number) => {
    now = time;
    vi.setSystemTime(time);
  };
  const deliver = async () => {
    const end = await delivery.step();
    expect([null, 'failing']).toContain(end?.reason ?? null);
    // As when its owner enables it again.
    if (end) delivery.lanes.retryAll();
  };
  for (const each of steps) {
    switch (each.do) {
      case 'happen':
        world.happen(each.context, each.events);
        delivery.wake();
        break;
      case 'deliver':
        for (let made = 0; made < each.steps && (delivery.nextAt(now) ?? Number.POSITIVE_INFINITY) <= now + 1; made++) {
          await deliver();
        }
        break;
      case 'mood':
        world.mood = each.mood;
        break;
      case 'wait':
        at(now + each.ms);
        break;
      case 'die':
        world.lives = each.after;
        await deliver();
        world.lives = null;
        delivery = begin();
        break;
      case 'rebuild':
        world.rebuild();
        delivery.wake();
        break;
      case 'begin':
        at(now + 1);
        delivery.lanes.skipTo(world.feed.at(-1)?.position ?? 0, new Date(now).toISOString());
        world.begin();
        break;
      case 'damage':
        if (each.how === null) world.damage.delete(`context ${each.context}`);
        else world.damage.set(`context ${each.context}`, each.how);
        break;
      case 'unshare':
        world.isShared = false;
        world.wasUnshared = true;
        break;
      case 'share':
        world.isShared = true;
        break;
      case 'suspend':
        world.isSuspended = each.isSuspended;
        world.isNoticed = each.isNoticed;
        break;
    }
  }
  world.mood = 'well';
  world.isSuspended = false;
  world.damage.clear();
  for (let made = 0; made < 500; made++) {
    const next = delivery.nextAt(now);
    if (next === null) break;
    at(Math.max(now, next));
    await deliver();
  }
  expect(delivery.nextAt(now)).toBeNull();
  for (const [index, history] of world.histories.entries()) {
    if (index === CONTEXTS - 1 && world.wasUnshared) continue;
    expect(world.received[index]).toBe(history.findLastIndex(({ type }) => type === 'wanted') + 1);
  }
  expect(delivery.status()).toMatchObject({ failing: 0, unreadable: [], nextAttemptAt: null });
}

it('delivers each context’s events in their order and at least once, whatever fails and whoever is killed when', {
  timeout: 120_000,
}, async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      run += 1;
      const object = env.COUNTERS.get(env.COUNTERS.idFromName(`webhook model ${run}`));
      await runInDurableObject(object, (_object, { storage }) => play(steps, storage.sql));
    }),
    { numRuns: RUNS, seed: printedSeed('webhook-model') },
  );
  vi.restoreAllMocks();
});

it('writes a few rows for each event, and fewer for those that come together', async () => {
  const object = env.COUNTERS.get(env.COUNTERS.idFromName('webhook rows'));
  const rows = await runInDurableObject(object, async (_object, { storage }) => {
    let written = 0;
    const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
    const exec: SqlStorage['exec'] = (query, ...bindings) => {
      const cursor = storage.sql.exec<never>(query, ...bindings);
      cursors.push(cursor);
      return cursor;
    };
    const counted = new Proxy(storage.sql, {
      get: (sql, name) => (name === 'exec' ? exec : Reflect.get(sql, name, sql)),
    });
    const world = new World();
    world.types = ['wanted', 'unwanted'];
    const delivery = new WebhookDelivery(counted, world.ports, () => ({ ...WEBHOOK, types: null }));
    const deliver = async (events: number) => {
      world.happen(0, events);
      delivery.wake();
      while ((delivery.nextAt(Date.now()) ?? Number.POSITIVE_INFINITY) <= Date.now() + 1) await delivery.step();
      written = cursors.splice(0).reduce((sum, { rowsWritten }) => sum + rowsWritten, 0);
      return written / events;
    };
    await deliver(3);
    return { alone: await deliver(1), together: await deliver(20) };
  });
  expect(rows.alone).toBeLessThanOrEqual(4);
  expect(rows.together).toBeLessThanOrEqual(2.5);
});
