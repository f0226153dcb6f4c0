import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect } from 'vitest';
import type { Webhook } from '../../actors/webhook.ts';
import { WebhookDelivery } from '../../actors/webhook-delivery.ts';
import type { AttemptResult } from '../../actors/webhook-outcome.ts';
import type { DeliveryPorts } from '../../actors/webhook-ports.ts';

/** Contexts that there are unless a test wants more. */
export const CONTEXTS = 3;
/** More than the longest wait between two attempts. */
export const LONG_MS = 15 * 3_600_000;

/** How the receiver is. */
export const moods = ['well', 'failing', 'hanging', 'busy', 'fickle'] as const;

/** What became of what arrived, and of what did not. */
export const SENT: AttemptResult = {
  outcome: 'delivered',
  status: 200,
  durationMs: 1,
  error: null,
  response: null,
  retryAfterMs: null,
};
export const FAILED: AttemptResult = { ...SENT, outcome: 'failed', status: 500, error: 'HTTP 500' };

/** Contexts with their events, the feed, and a receiver that checks what it gets. */
export class World {
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

/** The webhook of `wanted` events. */
export const WEBHOOK: Webhook = {
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

/** Runs something with the storage of an object of its own. */
export function withSql<Result>(name: string, run: (sql: SqlStorage) => Promise<Result>): Promise<Result> {
  const object = env.COUNTERS.get(env.COUNTERS.idFromName(name));
  return runInDurableObject(object, (_object, { storage }) => run(storage.sql));
}

/** Makes steps until nothing is due at this moment. */
export async function settle(delivery: WebhookDelivery): Promise<void> {
  while ((delivery.nextAt(Date.now()) ?? Number.POSITIVE_INFINITY) <= Date.now() + 1) {
    expect(await delivery.step()).toBeNull();
  }
}

/** The webhook of all events. */
export const EVERYTHING: Webhook = { ...WEBHOOK, types: null };

/** A world in which so many events were delivered, and what is sent from then on, as `<context> <version>`. */
export async function settled(sql: SqlStorage, events: number, contexts = CONTEXTS) {
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
