import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Webhook } from '../../actors/webhook.ts';
import { WebhookDelivery } from '../../actors/webhook-delivery.ts';
import type { AttemptResult } from '../../actors/webhook-outcome.ts';
import type { DeliveryPorts } from '../../actors/webhook-ports.ts';
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
  readonly histories: { type: string; time: string }[][];
  readonly feed: { position: number; context: string; first: number; last: number }[] = [];
  /** The version of each context that came last. */
  readonly received = Array.from({ length: CONTEXTS }, () => 0);
  /** The version of each context behind which the webhook began, now or when it was told to leave out what was before. */
  readonly begun = Array.from({ length: CONTEXTS }, () => 0);
  /** Contexts whose events cannot be read. */
  readonly damage = new Map<string, 'lasting' | 'passing'>();
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

  constructor(contexts = CONTEXTS) {
    this.histories = Array.from({ length: contexts }, () => []);
  }

  happen(index: number, events: number): void {
    const history = this.histories[index] ?? [];
    const first = history.length + 1;
    const time = new Date().toISOString();
    for (let each = 0; each < events; each++) {
      history.push({ type: (first + each) % 3 === 0 ? 'unwanted' : 'wanted', time });
    }
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

  /** What was before is left out from now on, which is behind the last event. */
  begin(): void {
    for (const [index, history] of this.histories.entries()) {
      this.begun[index] = history.length;
      this.received[index] = history.findLastIndex(({ type }) => this.types.includes(type)) + 1;
    }
  }

  mayRead(name: string): boolean {
    return this.isShared || name !== `context ${CONTEXTS - 1}`;
  }

  readonly ports: DeliveryPorts = {
    ownerStatus: async () => (this.isSuspended && this.isNoticed ? 'suspended' : 'active'),
    news: async (_webhook, after, limit) => {
      const all = this.feed
        .filter(({ position, context: name }) => position > after && name !== '')
        .map((row) => ({ ...row, first: Math.max(row.first, row.last - (row.position - after) + 1) }));
      const news = all.slice(0, limit);
      const isUpToDate = news.length === all.length;
      const end = Math.max(after, this.feed.at(-1)?.position ?? 0);
      const position = isUpToDate ? end : (news.at(-1)?.position ?? after);
      return { news: news.filter(({ context: name }) => this.mayRead(name)), position, isUpToDate };
    },
    events: async (_webhook, name, after, limit) => {
      if (this.isSuspended) return null;
      if (!this.mayRead(name)) return [];
      const damage = this.damage.get(name);
      if (damage !== undefined) return { reason: `${name} is damaged`, isPassing: damage === 'passing' };
      const history = this.histories[Number(name.split(' ')[1])] ?? [];
      return history.slice(after, after + limit).map(({ type, time }, index) => {
        const version = after + index + 1;
        return JSON.stringify({ id: `${name} ${version}`, type, stream: name, version, time, actor: 'act_ann' });
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
    expect(version).toBeGreaterThan(this.begun[index] ?? 0);
    expect(this.damage.has(stream)).toBe(false);
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

/** Runs something with the storage of an object of its own. */
function withSql<Result>(name: string, run: (sql: SqlStorage) => Promise<Result>): Promise<Result> {
  const object = env.COUNTERS.get(env.COUNTERS.idFromName(name));
  return runInDurableObject(object, (_object, { storage }) => run(storage.sql));
}

/** Makes steps until nothing is due at this moment. */
async function settle(delivery: WebhookDelivery): Promise<void> {
  while ((delivery.nextAt(Date.now()) ?? Number.POSITIVE_INFINITY) <= Date.now() + 1) {
    expect(await delivery.step()).toBeNull();
  }
}

const EVERYTHING: Webhook = { ...WEBHOOK, types: null };

/** A world in which so many events were delivered, and what is sent from then on, as `<context> <version>`. */
async function settled(sql: SqlStorage, events: number, contexts = CONTEXTS) {
  const world = new World(contexts);
  world.types = ['wanted', 'unwanted'];
  world.happen(0, events);
  const sent: string[] = [];
  const answers: { post: DeliveryPorts['post'] } = { post: async () => SENT };
  const ports: DeliveryPorts = {
    ...world.ports,
    post: (message) => {
      const { stream, version } = JSON.parse(message.body);
      sent.push(`${stream} ${version}`);
      return answers.post(message);
    },
  };
  const delivery = new WebhookDelivery(sql, ports, () => EVERYTHING);
  await settle(delivery);
  expect(sent.splice(0)).toHaveLength(events);
  return { world, sent, answers, delivery };
}

/** Places of a context, from one version to another. */
function versions(name: string, first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => `${name} ${first + index}`);
}

/** Resolves when it is told to. */
function gate() {
  return Promise.withResolvers<AttemptResult>();
}

describe('a replay', () => {
  it('stands behind each event that has arrived: what fails now and then is sent again, and nothing else', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const sent = await withSql('webhook replay fickle', async (sql) => {
      const { sent: all, answers, delivery } = await settled(sql, 100);
      let posts = 0;
      answers.post = async () => (++posts % 8 === 0 ? FAILED : SENT);
      delivery.replays.add({ position: 0, upTo: 90, from: null, to: null });
      for (let round = 0; round < 30 && delivery.replays.open.length > 0; round++) {
        await settle(delivery);
        vi.setSystemTime(Date.now() + LONG_MS);
      }
      return all;
    });
    expect([...new Set(sent)]).toEqual(versions('context 0', 1, 90));
    // Every eighth failed, once.
    expect(sent).toHaveLength(90 + Math.floor(sent.length / 8));
  });

  it('ends where the owner loses the right to read, though it is in the midst of a run', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const sent = await withSql('webhook replay unshared', async (sql) => {
      const { world, sent: all, answers, delivery } = await settled(sql, 40);
      answers.post = async () => {
        vi.setSystemTime(Date.now() + 700);
        if (all.length === 3) vi.spyOn(world, 'mayRead').mockReturnValue(false);
        return SENT;
      };
      delivery.replays.add({ position: 0, upTo: 40, from: null, to: null });
      await settle(delivery);
      expect(delivery.replays.open).toEqual([]);
      return all;
    });
    // At most what was read within the last second goes out all the same.
    expect(sent.length).toBeLessThanOrEqual(5);
  });

  it('stops within a run when its step is over or the webhook is, and holds up nothing that happens meanwhile', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    await withSql('webhook replay live', async (sql) => {
      const { world, sent, answers, delivery } = await settled(sql, 40);
      const gates = [gate(), gate()];
      const posts: Promise<AttemptResult>[] = gates.map(({ promise }) => promise);
      answers.post = async ({ body }) => (JSON.parse(body).stream === 'context 0' ? (posts.shift() ?? SENT) : SENT);
      delivery.replays.add({ position: 0, upTo: 40, from: null, to: null });
      const step = delivery.step();
      await vi.waitFor(() => expect(sent).toEqual(['context 0 1']));
      world.happen(1, 2);
      delivery.wake();
      await vi.waitFor(() => expect(sent).toEqual(['context 0 1', 'context 1 1', 'context 1 2']));
      gates[0]?.resolve(SENT);
      await vi.waitFor(() => expect(sent).toContain('context 0 2'));
      vi.setSystemTime(Date.now() + 60_000);
      gates[1]?.resolve(SENT);
      await step;
      expect(sent).not.toContain('context 0 3');
      await settle(delivery);
      expect(sent.filter((place) => place.startsWith('context 0'))).toEqual(versions('context 0', 1, 40));
    });
  });
});

it('begins a lane while another is slow, and goes on in it before the slow one has been answered', async () => {
  await withSql('webhook slow lane', async (sql) => {
    const { world, sent, answers, delivery } = await settled(sql, 1);
    const slow = gate();
    answers.post = async ({ body }) => (JSON.parse(body).stream === 'context 0' ? slow.promise : SENT);
    world.happen(0, 1);
    delivery.wake();
    const step = delivery.step();
    await vi.waitFor(() => expect(sent).toEqual(['context 0 2']));
    for (const version of [1, 2]) {
      world.happen(1, 1);
      delivery.wake();
      await vi.waitFor(() => expect(sent).toContain(`context 1 ${version}`));
    }
    slow.resolve(SENT);
    await step;
  });
});

it('stands before what cannot be read, says so, and goes on with everything else', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  await withSql('webhook unreadable', async (sql) => {
    const { world, sent, delivery } = await settled(sql, 3);
    world.damage.set('context 0', 'lasting');
    world.happen(0, 2);
    world.happen(1, 2);
    delivery.replays.add({ position: 1, upTo: 3, from: null, to: null });
    delivery.replays.add({ position: 5, upTo: 7, from: null, to: null });
    delivery.wake();
    await settle(delivery);
    expect(sent).toEqual(expect.arrayContaining(versions('context 1', 1, 2)));
    expect(sent.filter((place) => place.startsWith('context 0'))).toEqual([]);
    // The replay of the other context is over, and the lane is known again when the object is.
    const reason = 'context 0 is damaged';
    const places = [
      { context: 'context 0', version: 4, reason },
      { context: 'context 0', version: 2, reason },
    ];
    expect(delivery.status()).toMatchObject({ failing: 0, replays: 1, unreadable: places });
    const again = new WebhookDelivery(sql, world.ports, () => EVERYTHING);
    expect(again.status()).toMatchObject({ replays: 1, unreadable: places });
    world.damage.clear();
    vi.setSystemTime(Date.now() + LONG_MS);
    await settle(delivery);
    expect(sent.filter((place) => place.startsWith('context 0')).sort()).toEqual(versions('context 0', 2, 5));
    expect(delivery.status()).toMatchObject({ replays: 0, unreadable: [] });
  });
});

it('says of what can be read again and fails that it fails, not that it cannot be read, and lets nothing overtake it', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  await withSql('webhook readable again', async (sql) => {
    const { world, sent, answers, delivery } = await settled(sql, 3);
    world.damage.set('context 0', 'lasting');
    world.happen(0, 1);
    delivery.replays.add({ position: 1, upTo: 2, from: null, to: null });
    delivery.replays.add({ position: 2, upTo: 3, from: null, to: null });
    delivery.wake();
    await settle(delivery);
    expect(delivery.status().unreadable).toHaveLength(3);
    world.damage.clear();
    answers.post = async () => FAILED;
    vi.setSystemTime(Date.now() + LONG_MS);
    await settle(delivery);
    expect(sent.sort()).toEqual(['context 0 2', 'context 0 4']);
    // Nor of the other replay, whose turn has not come.
    const failing = { failing: 1, replays: 2, unreadable: [] };
    expect(delivery.status()).toMatchObject(failing);
    expect(new WebhookDelivery(sql, world.ports, () => EVERYTHING).status()).toMatchObject(failing);
    answers.post = async () => SENT;
    vi.setSystemTime(Date.now() + LONG_MS);
    await settle(delivery);
    expect(sent.filter((place) => place.endsWith('3'))).toEqual(['context 0 3']);
    expect(delivery.status()).toMatchObject({ failing: 0, replays: 0, unreadable: [] });
  });
});

it('goes on with others while those that failed before cannot be read: that says nothing of the receiver', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  await withSql('webhook failed and unreadable', async (sql) => {
    const failing = 8;
    const { world, sent, answers, delivery } = await settled(sql, 1, failing + 1);
    answers.post = async () => FAILED;
    for (let index = 0; index < failing; index++) world.happen(index, 1);
    delivery.wake();
    await settle(delivery);
    expect(delivery.status().failing).toBe(failing);
    for (let index = 0; index < failing; index++) world.damage.set(`context ${index}`, 'lasting');
    answers.post = async () => SENT;
    vi.setSystemTime(Date.now() + LONG_MS);
    await settle(delivery);
    expect(delivery.status().unreadable).toHaveLength(failing);
    sent.length = 0;
    world.happen(failing, 1);
    delivery.wake();
    await settle(delivery);
    expect(sent).toEqual([`context ${failing} 1`]);
  });
});

it('passes over nothing that happens while it reads what its owner may not', async () => {
  await withSql('webhook note while reading', async (sql) => {
    const world = new World();
    world.types = ['wanted', 'unwanted'];
    const last = CONTEXTS - 1;
    const events: DeliveryPorts['events'] = async (...asked) => {
      if (world.wasUnshared) return world.ports.events(...asked);
      world.isShared = false;
      world.wasUnshared = true;
      const read = await world.ports.events(...asked);
      world.isShared = true;
      world.happen(last, 1);
      delivery.wake();
      await vi.waitFor(() => expect(delivery.lanes.behind.get(`context ${last}`)?.until).toBe(2));
      return read;
    };
    const delivery = new WebhookDelivery(sql, { ...world.ports, events }, () => EVERYTHING);
    world.happen(last, 1);
    await settle(delivery);
    expect(world.received[last]).toBe(2);
  });
});
