import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { vi } from 'vitest';
import { type ContextState, contextDecider } from '../../actors/context.ts';
import { recorded } from '../../actors/decider.ts';
import { type DeliveryReport, Outbox } from '../../actors/outbox.ts';
import { nextStep } from '../../actors/provisioning.ts';
import type { ContextEvent, ProvisioningStep } from '../../events/context.ts';
import { sealEvent } from '../../events/envelope.ts';
import { derivedId } from '../../events/id.ts';
import { nextUlid } from '../../events/ulid.ts';
import { queueSink, readModelSink } from '../../src/delivery/sinks.ts';
import type { Env } from '../../src/env.ts';
import { consume, pageOf, surrounded } from './delivery.ts';
import { hotLog } from './hot-log.ts';
import { type Fate, fates, finish, UnreliableChittyOs } from './unreliable.ts';

/** How far the clock goes at once when all is to come right: longer than any pause. */
const LONG_MS = 48 * 3_600_000;
/** Rounds after which everything must have arrived. */
const ROUNDS_MAX = 60;
/** Bytes of a message at most: it carries two or three events, so that there is a backlog to be fetched. */
const MESSAGE_BYTES = 2_000;
/** Messages that the queue hands over at once at most. */
const BATCH_MAX = 3;

const ID = derivedId('ctx', 'the context of the delivery world');
const DNA_ID = 'dna_1';
const CHITTY_ID = '03-1-USA-5537-P-2602-0-38';

/** What each step of provisioning leads to. */
const STEPS: Readonly<Record<ProvisioningStep, ContextEvent>> = {
  identify: { type: 'context_identified', data: { chittyId: CHITTY_ID, did: `did:chitty:${CHITTY_ID}` } },
  initializeDna: { type: 'dna_initialized', data: { dnaId: DNA_ID } },
  issueApiKeys: { type: 'api_keys_issued', data: { keyId: 'key_1', scopes: [] } },
  register: { type: 'context_registered', data: {} },
  verify: { type: 'context_verified', data: { verificationId: 'ver_1', status: 'verified' } },
  certify: { type: 'context_certified', data: { certificateId: 'crt_1' } },
};

const WRITE_FATES = ['done', 'lost', 'answer lost', 'late'] as const;

/** What becomes of a write: it is not made, or it is made, at once or much later, and nobody hears of it. */
type WriteFate = (typeof WRITE_FATES)[number];

/** Reports on their way to the outbox. */
type Reports = Readonly<Record<string, DeliveryReport>>;

// Taken before a test puts its own in its place: the database answers in real time.
const realSetTimeout = setTimeout;

/**
 * One context with everything between its log and its sinks as it is in the product: outbox, sinks, consumer, D1. Around
 * them are a queue, services and a runtime that can be treated badly.
 */
export class DeliveryWorld {
  readonly chittyOs = new UnreliableChittyOs();
  /** Messages in the queue. */
  readonly messages: unknown[] = [];
  readonly reports: Reports[] = [];
  /** What becomes of the next sends to the queue and of the next writes to D1; those after them are done. */
  queueFates: WriteFate[] = [];
  databaseFates: WriteFate[] = [];
  /** Pages of the log that the consumer can read before it is lost. */
  pagesLeft = Number.POSITIVE_INFINITY;
  state: ContextState = null;
  version = 0;
  readonly #sql: SqlStorage;
  readonly #bindings: Env;
  #outbox: Outbox<ContextState>;
  #lose = () => {};
  #alarmAt: number | null = null;
  /** Writes to D1 that are under way. */
  #writing = 0;
  /** Writes that come to D1 later than anybody waits for them. */
  readonly #late: (() => Promise<unknown>)[] = [];

  constructor(sql: SqlStorage) {
    for (const table of ['events', 'snapshots', 'answers', 'cursors']) sql.exec(`DROP TABLE IF EXISTS ${table}`);
    vi.clearAllTimers();
    this.#sql = sql;
    hotLog(sql).log.create();
    this.#bindings = surrounded({
      CHITTYOS: this.chittyOs,
      CHITTYOS_TOKEN: 'token',
      CONTEXT_OPS_QUEUE: { send: (body: unknown) => this.#send(body) },
      CONTEXTS: {
        idFromName: (name: string) => name,
        get: () => ({
          reportDelivery: async (reports: Reports) => {
            this.reports.push(reports);
          },
          history: async (_principal: unknown, after: number, limit: number) => {
            if (--this.pagesLeft < 0) throw new Error('the consumer was lost');
            const log = hotLog(sql)
              .log.read(0, this.version)
              .map(({ text }) => text);
            return { ...pageOf(log, after, limit), isClosed: this.state?.status === 'deleted' };
          },
        }),
      },
      DB: this.#database(),
    });
    this.#outbox = this.#wakeUp();
    this.append({
      type: 'context_created',
      data: { name: 'New', description: '', owner: 'act_1', systems: [], tools: [], metadata: {} },
    });
  }

  get cursors() {
    return this.#outbox.cursors;
  }

  /** Appends an event as an object does, in one turn. */
  append({ type, data }: ContextEvent): void {
    const time = new Date().toISOString();
    this.version += 1;
    const { text } = sealEvent({
      id: nextUlid(Date.now() + this.version),
      stream: `context/${ID}`,
      version: this.version,
      type,
      schemaVersion: 1,
      time,
      actor: 'act_1',
      correlationId: 'r',
      causationId: null,
      commandId: `c${this.version}`,
      data,
    });
    hotLog(this.#sql).log.append(this.version, text);
    this.state = contextDecider.evolve(this.state, recorded<ContextEvent>(JSON.parse(text)));
    this.#outbox.appended(Date.now());
  }

  /** A change of the context, as its state allows it; what cannot be is left out. */
  change(kind: Change): void {
    if (this.state === null) throw new Error('there is no context');
    const { status, provisioning } = this.state;
    if (kind === 'rename') {
      if (status === 'active') this.append({ type: 'context_updated', data: { name: `Version ${this.version}` } });
    } else if (kind === 'note') {
      if (status === 'active') this.append({ type: 'context_updated', data: { metadata: { n: this.version } } });
    } else if (kind === 'turn') {
      this.append({ type: status === 'active' ? 'context_deleted' : 'context_restored', data: {} });
    } else {
      // Also of a deleted one: a step may have been under way.
      const step = nextStep(provisioning);
      if (step !== undefined) this.append(STEPS[step]);
    }
  }

  /** The queue hands over some of its messages, of which it may keep copies that come again. */
  async consume(first: number, count: number, isCopied: boolean): Promise<void> {
    if (this.messages.length === 0) return;
    const from = first % this.messages.length;
    const batch = isCopied ? this.messages.slice(from, from + count) : this.messages.splice(from, count);
    const named = Object.fromEntries(batch.map((body, index) => [`m${index}`, body]));
    const { retried } = await finish(consume(this.#bindings, named));
    if (!isCopied) this.messages.push(...retried.map((id) => named[id]));
  }

  /** Hands over one of the reports. */
  report(which: number, isCopied: boolean): void {
    if (this.reports.length === 0) return;
    const at = which % this.reports.length;
    const [reports] = isCopied ? this.reports.slice(at, at + 1) : this.reports.splice(at, 1);
    if (reports) this.#outbox.report(reports);
  }

  /** The object is lost with what it had in memory; its log, its cursors and its alarm are not, nor are its requests. */
  evict(): void {
    vi.clearAllTimers();
    this.#lose();
    this.#outbox = this.#wakeUp();
  }

  /** Lets time pass; the alarm fires when it is due. */
  async tick(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
    if (this.#alarmAt === null || this.#alarmAt > Date.now()) return;
    this.#alarmAt = null;
    // One that is lost with its object fires again.
    const { promise: lost, reject } = Promise.withResolvers<void>();
    const previous = this.#lose;
    this.#lose = () => {
      previous();
      this.#alarmAt = Date.now();
      reject();
    };
    void Promise.race([this.#outbox.alarm(), lost])
      .then(() => {
        this.#lose = previous;
      })
      .catch(() => undefined);
  }

  /** Waits until D1 has answered everything; what is late comes now. */
  async quiet(): Promise<void> {
    for (const write of this.#late.splice(0)) await write();
    do await new Promise((resolve) => realSetTimeout(resolve, 0));
    while (this.#writing > 0);
    await vi.advanceTimersByTimeAsync(0);
  }

  /** Everything works from now on; waits until every cursor has come to the end of the log. */
  async settle(): Promise<void> {
    this.chittyOs.fates = [];
    this.queueFates = [];
    this.databaseFates = [];
    this.pagesLeft = Number.POSITIVE_INFINITY;
    while (this.state?.provisioning.steps.initializeDna === undefined) this.change('provision');
    for (let round = 0; round < ROUNDS_MAX; round++) {
      await this.tick(5_000);
      await this.quiet();
      while (this.messages.length > 0) await this.consume(0, BATCH_MAX, false);
      while (this.reports.length > 0) this.report(0, false);
      await this.quiet();
      if ([...this.cursors.values()].every(({ confirmed }) => confirmed === this.version)) return;
      await this.tick(LONG_MS);
      await this.quiet();
    }
  }

  async #send(body: unknown): Promise<void> {
    const fate = this.queueFates.shift() ?? 'done';
    if (fate === 'done' || fate === 'answer lost') this.messages.push(body);
    if (fate === 'late') this.#late.push(async () => this.messages.push(body));
    if (fate !== 'done') throw new Error('the queue did not answer');
  }

  /** D1 as it is, with writes that fail. */
  #database(): D1Database {
    const unreliable = async <Value>(write: () => Promise<Value>): Promise<Value> => {
      const fate = this.databaseFates.shift() ?? 'done';
      this.#writing += 1;
      try {
        if (fate === 'late') this.#late.push(write);
        if (fate === 'lost' || fate === 'late') throw new Error('D1 did not answer');
        const value = await write();
        if (fate === 'answer lost') throw new Error('D1 did not answer');
        return value;
      } finally {
        this.#writing -= 1;
      }
    };
    return new Proxy(env.DB, {
      get(target, key) {
        if (key === 'batch') return (statements: D1PreparedStatement[]) => unreliable(() => target.batch(statements));
        if (key !== 'prepare') return Reflect.get(target, key);
        return (query: string) =>
          new Proxy(target.prepare(query), {
            get(statement, method) {
              if (method !== 'bind') return Reflect.get(statement, method);
              return (...values: unknown[]) =>
                new Proxy(statement.bind(...values), {
                  get: (bound, name) =>
                    name === 'run' ? () => unreliable(() => bound.run()) : Reflect.get(bound, name),
                });
            },
          });
      },
    });
  }

  #wakeUp(): Outbox<ContextState> {
    let isLost = false;
    this.#lose = () => {
      isLost = true;
    };
    const { log, cold } = hotLog(this.#sql);
    // What an object that was lost still had under way can write nothing and arm nothing.
    const sql = new Proxy(this.#sql, {
      get(target, key) {
        if (isLost) throw new Error('the object was lost');
        const member: unknown = Reflect.get(target, key);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    const source = {
      log,
      cold,
      stream: () => `context/${ID}`,
      state: () => this.state,
      version: () => this.version,
      armBy: (time: number) => {
        if (!isLost) this.#alarmAt = Math.min(time, this.#alarmAt ?? Number.POSITIVE_INFINITY);
      },
    };
    const { DB, CONTEXT_OPS_QUEUE } = this.#bindings;
    return new Outbox(sql, source, [readModelSink(DB), queueSink(CONTEXT_OPS_QUEUE, MESSAGE_BYTES)]);
  }
}

const CHANGES = ['rename', 'note', 'turn', 'provision'] as const;

/** A change of the context. */
export type Change = (typeof CHANGES)[number];

const which = fc.nat({ max: 5 });
const writeFates = fc.array(fc.constantFrom(...WRITE_FATES), { maxLength: 4, size: 'max' });

/** Something that happens. `which` is taken modulo what there is. */
export const happening = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      changes: fc.array(fc.constantFrom(...CHANGES), { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('consume' as const),
      which,
      count: fc.integer({ min: 1, max: BATCH_MAX }),
      isCopied: fc.boolean(),
      fates,
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('report' as const), which, isCopied: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('lose' as const, 'loseReport' as const), which }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('breakQueue' as const, 'breakDatabase' as const),
      fates: writeFates,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('breakBacklog' as const), pages: fc.nat({ max: 3 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('tick' as const), ms: fc.constantFrom(1, 1_500, 20_000, 3_600_000) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('evict' as const, 'quiet' as const) }) },
);

type Happening = typeof happening extends fc.Arbitrary<infer Value> ? Value : never;

/** Lets something happen. */
export async function happen(world: DeliveryWorld, next: Happening): Promise<void> {
  switch (next.kind) {
    case 'change':
      for (const change of next.changes) world.change(change);
      return;
    case 'consume':
      world.chittyOs.fates = [...next.fates] satisfies Fate[];
      return world.consume(next.which, next.count, next.isCopied);
    case 'report':
      return world.report(next.which, next.isCopied);
    case 'lose':
      world.messages.splice(next.which % Math.max(1, world.messages.length), 1);
      return;
    case 'loseReport':
      world.reports.splice(next.which % Math.max(1, world.reports.length), 1);
      return;
    case 'breakQueue':
      world.queueFates = [...next.fates];
      return;
    case 'breakDatabase':
      world.databaseFates = [...next.fates];
      return;
    case 'breakBacklog':
      world.pagesLeft = next.pages;
      return;
    case 'tick':
      return world.tick(next.ms);
    case 'evict':
      return world.evict();
    case 'quiet':
      return world.quiet();
    default:
      return next satisfies never;
  }
}
