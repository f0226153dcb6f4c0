import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import type { Webhook } from '../../actors/webhook.ts';
import { type DeliveryPorts, WebhookDelivery } from '../../actors/webhook-delivery.ts';
import type { AttemptResult } from '../../actors/webhook-outcome.ts';
import { printedSeed } from '../support/seed.ts';

const RUNS = 60;
const CONTEXTS = 3;
/** More than the longest wait between two attempts. */
const LONG_MS = 15 * 3_600_000;

afterEach(() => {
  vi.useRealTimers();
});

const context = fc.nat(CONTEXTS - 1);
const moods = ['well', 'failing', 'hanging', 'busy', 'fickle'] as const;

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
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unshare' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('share' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('suspend' as const), isSuspended: fc.boolean(), isNoticed: fc.boolean() }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const SENT: AttemptResult = {
  outcome: 'delivered',
  status: 200,
  durationMs: 1,
  error: null,
  response: null,
  retryAfterMs: null,
};
const FAILED: AttemptResult = { ...SENT, outcome: 'failed', status: 500, error: 'HTTP 500' };

/** Contexts with their events, the feed, and a receiver that checks what it gets. */
class World {
  readonly histories: { type: string }[][] = Array.from({ length: CONTEXTS }, () => []);
  readonly feed: { position: number; context: string; first: number; last: number }[] = [];
  /** The version of each context that came last. */
  readonly received = Array.from({ length: CONTEXTS }, () => 0);
  /** The last one is not always the owner's to read. */
  isShared = true;
  wasUnshared = false;
  isSuspended = false;
  /** Whether that is known when a delivery begins, or only when it reads. */
  isNoticed = true;
  mood: (typeof moods)[number] = 'well';
  /** How many requests arrive before the sender is killed; null for all. */
  lives: number | null = null;
  types: readonly string[] = ['wanted'];
  #chance = 1;

  happen(index: number, events: number): void {
    const history = this.histories[index] ?? [];
    const first = history.length + 1;
    for (let each = 0; each < events; each++) history.push({ type: (first + each) % 3 === 0 ? 'unwanted' : 'wanted' });
    this.place(index, first, history.length);
  }

  place(index: number, first: number, last: number): void {
    const position = (this.feed.at(-1)?.position ?? 0) + last - first + 1;
    this.feed.push({ position, context: `context ${index}`, first, last });
  }

  rebuild(): void {
    const end = this.feed.at(-1)?.position ?? 0;
    this.feed.length = 0;
    this.feed.push({ position: end, context: '', first: 1, last: 0 });
    for (const [index, history] of this.histories.entries())
      if (history.length > 0) this.place(index, 1, history.length);
  }

  mayRead(name: string): boolean {
    return this.isShared || name !== `context ${CONTEXTS - 1}`;
  }

  readonly ports: DeliveryPorts = {
    ownerStatus: async () => (this.isSuspended && this.isNoticed ? 'suspended' : 'active'),
    news: async (_webhook, after, limit) => {
      const all = this.feed.filter(({ position, context: name }) => position > after && name !== '');
      const news = all.slice(0, limit);
      const isUpToDate = news.length === all.length;
      const end = Math.max(after, this.feed.at(-1)?.position ?? 0);
      const position = isUpToDate ? end : (news.at(-1)?.position ?? after);
      return { news: news.filter(({ context: name }) => this.mayRead(name)), position, isUpToDate };
    },
    events: async (_webhook, name, after, limit) => {
      if (this.isSuspended) return null;
      if (!this.mayRead(name)) return [];
      const history = this.histories[Number(name.split(' ')[1])] ?? [];
      return history.slice(after, after + limit).map(({ type }, index) => {
        const version = after + index + 1;
        return JSON.stringify({ id: `${name} ${version}`, type, stream: name, version, time: '', actor: 'act_ann' });
      });
    },
    messageOf: (_webhook, text) => ({ id: JSON.parse(text).id, body: text }),
    post: async ({ body }) => {
      await Promise.resolve();
      const result = this.#answer();
      if (result.outcome === 'delivered') this.#receive(JSON.parse(body));
      if (this.lives !== null && this.lives-- <= 0) throw new Error('killed');
      return result;
    },
  };

  #answer(): AttemptResult {
    this.#chance = (this.#chance * 48_271) % 2_147_483_647;
    switch (this.mood) {
      case 'well':
        return SENT;
      case 'failing':
        return FAILED;
      case 'hanging':
        return { ...FAILED, outcome: 'timed_out', status: null };
      case 'busy':
        return { ...FAILED, outcome: 'refused', status: 429, retryAfterMs: 60_000 };
      default:
        return this.#chance % 3 === 0 ? FAILED : SENT;
    }
  }

  /** Nothing is left out, nothing overtakes, and only the last one may come twice, when the sender was killed. */
  #receive({ stream, version, type }: { stream: string; version: number; type: string }): void {
    expect(this.types).toContain(type);
    expect(this.mayRead(stream)).toBe(true);
    expect(this.isSuspended).toBe(false);
    const index = Number(stream.split(' ')[1]);
    const last = this.received[index] ?? 0;
    const history = this.histories[index] ?? [];
    const next = history.findIndex((event, at) => at >= last && this.types.includes(event.type)) + 1;
    const skips = index === CONTEXTS - 1 && this.wasUnshared;
    if (skips) expect(version).toBeGreaterThanOrEqual(last);
    else expect([last, next]).toContain(version);
    this.received[index] = version;
  }
}

const WEBHOOK: Webhook = {
  id: 'whk',
  owner: 'act_ann',
  url: 'https://hooks.example.com/',
  description: '',
  types: ['wanted'],
  contexts: null,
  actors: null,
  status: 'active',
  disabled: null,
  secrets: [],
  expiresAt: null,
  version: 1,
  createdAt: '',
  updatedAt: '',
};

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
  expect(delivery.status()).toMatchObject({ failing: 0, nextAttemptAt: null });
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
