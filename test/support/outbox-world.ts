import fc from 'fast-check';
import { expect, vi } from 'vitest';
import { AlarmClock } from '../../actors/alarm-clock.ts';
import type { EventLog } from '../../actors/log.ts';
import { type Delivery, type DeliveryReport, Outbox, type Progress, type Sink } from '../../actors/outbox.ts';
import { hotLog } from './hot-log.ts';

/** Events in one message at most. */
export const EVENTS_MAX = 3;
/** How long one round of the world takes: longer than an interval between drains. */
const ROUND_MS = 5_000;
/** How far the clock goes at once when all is to come right: longer than any pause. */
const LONG_MS = 48 * 3_600_000;
/** Rounds after which the world must have come right. */
const ROUNDS_MAX = 60;

/** A message on its way to the destinations it is for. */
interface Message {
  readonly destinations: readonly string[];
  readonly versions: readonly number[];
  /** What its reports say that they are about. */
  readonly generation?: number;
}

/** How far a consumer goes on after a message. */
interface Backlog {
  readonly parts: number;
  readonly isLost: boolean;
}

/** A report on its way to the outbox. */
type Reports = Readonly<Record<string, DeliveryReport>>;

/**
 * An outbox and all that is around it: a log, a sink that confirms at once (`direct`), one that confirms later for two
 * destinations (`fast` and `slow`), what is between them, and an alarm. It is there to be treated badly.
 */
export class OutboxWorld {
  readonly messages: Message[] = [];
  readonly reports: Reports[] = [];
  /** Destinations that do not work; `queue` is what carries messages. */
  readonly broken = new Set<string>();
  /** The versions that each destination got, each the first time it came. */
  readonly received = new Map<string, number[]>([
    ['direct', []],
    ['fast', []],
    ['slow', []],
  ]);
  /** When each of them came, in milliseconds since 1970. */
  readonly receivedAt = new Map<string, number[]>();
  /** Whether the next delivery never ends. */
  isHanging = false;
  isListedAsBehind = false;
  /** Whether what the monitor answers never comes. */
  isMonitorSilent = false;
  version = 0;
  outbox: Outbox<null>;
  onSend = () => {};
  /** Called when `direct` has taken something, before it says so. */
  onTaken = () => {};
  /** Rows written so far; to set the alarm is one. */
  rows = 0;
  /** How often each sink was given something. */
  readonly deliveries = { direct: 0, queue: 0 };

  readonly #sql: SqlStorage;
  readonly #eventsMax: number;
  #log: EventLog;
  #clock: AlarmClock;
  #alarmAt: number | null = null;
  #isAlarmRunning = false;
  /** Destinations that may have lost what they had confirmed. */
  readonly #restored = new Set<string>();

  /** @param eventsMax events that a sink takes at once */
  constructor(sql: SqlStorage, eventsMax = EVENTS_MAX) {
    this.#eventsMax = eventsMax;
    for (const table of ['events', 'snapshots', 'answers', 'cursors', 'tickets']) {
      sql.exec(`DROP TABLE IF EXISTS ${table}`);
    }
    vi.clearAllTimers();
    this.#sql = this.#counted(sql);
    this.#log = hotLog(this.#sql).log;
    this.#log.create();
    this.rows = 0;
    this.#clock = this.#wound();
    this.outbox = this.#wakeUp();
  }

  /** Appends events, as an object does in one turn. */
  async append(count: number): Promise<void> {
    for (let added = 0; added < count; added++) this.#log.append(++this.version, '{}');
    this.outbox.appended(Date.now());
    await vi.advanceTimersByTimeAsync(0);
  }

  /** The object is lost with all that was under way in it; what it stored and its alarm are not. */
  evict(): void {
    vi.clearAllTimers();
    // The platform fires an alarm again whose handler did not end.
    if (this.#isAlarmRunning) this.#alarmAt = Date.now();
    this.#isAlarmRunning = false;
    this.#log = hotLog(this.#sql).log;
    this.#clock = this.#wound();
    this.outbox = this.#wakeUp();
  }

  /** When the alarm is set to fire, in milliseconds since 1970. */
  get alarmAt(): number | null {
    return this.#alarmAt;
  }

  /** Lets time pass; the alarm fires when it is due. */
  async tick(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
    if (this.#alarmAt === null || this.#alarmAt > Date.now()) return;
    this.#alarmAt = null;
    await this.fireAlarm();
  }

  /** An alarm may also fire twice, or too early. */
  async fireAlarm(): Promise<void> {
    const { outbox } = this;
    this.#isAlarmRunning = true;
    void this.#clock
      .ring(() => outbox.alarm())
      .then(() => {
        if (outbox === this.outbox) this.#isAlarmRunning = false;
      });
    await vi.advanceTimersByTimeAsync(0);
  }

  /**
   * A message reaches the consumer, which tells what became of it.
   *
   * @param backlog how many more parts the consumer fetches from the log, and whether it is lost with these
   */
  consume(message: Message, backlog: Backlog = { parts: 0, isLost: false }): void {
    const reports = this.#deliver(message);
    const arrived = Object.entries(reports).filter(([, { failed }]) => failed === undefined);
    const goesOn = backlog.parts > 0;
    this.reports.push(goesOn ? { ...reports, ...going(arrived) } : reports);
    const destinations = arrived.map(([name]) => name);
    let [last, first] = [message.versions.at(-1) ?? 0, message.versions[0] ?? 0];
    for (let part = 1; part <= backlog.parts && destinations.length > 0; part++) {
      const versions = Array.from({ length: Math.min(this.#eventsMax, this.version - last) }, (_, at) => last + at + 1);
      if (versions.length === 0) return;
      last += versions.length;
      const next = Object.entries(this.#deliver({ ...message, destinations, versions })).map(
        ([name, report]) => [name, { ...report, first }] as const,
      );
      this.reports.push(part < backlog.parts || backlog.isLost ? going(next) : Object.fromEntries(next));
    }
  }

  #deliver({ destinations, versions, generation }: Message): Record<string, DeliveryReport> {
    const reports: Record<string, DeliveryReport> = {};
    for (const name of destinations) {
      const about = generation === undefined ? {} : { generation };
      const range = { first: versions[0] ?? 0, last: versions.at(-1) ?? 0, ...about };
      const missingFrom = (this.received.get(name)?.length ?? 0) + 1;
      if (this.broken.has(name)) reports[name] = { ...range, failed: `${name} is down`, isRefused: false };
      else if (range.first > missingFrom) reports[name] = { ...range, failed: `${name} misses some`, missingFrom };
      else {
        this.#receive(name, versions);
        reports[name] = range;
      }
    }
    return reports;
  }

  /** A destination is restored from a backup that has only the first so many events. */
  restore(name: string, events: number): void {
    this.received.get(name)?.splice(events);
    this.#restored.add(name);
  }

  /** Everything that is on its way arrives, and an alarm that is due fires. */
  async pass(): Promise<void> {
    await this.tick(ROUND_MS);
    for (const message of this.messages.splice(0)) this.consume(message);
    for (const reports of this.reports.splice(0)) this.outbox.report(reports);
    await this.tick(ROUND_MS);
  }

  /** Mends everything and waits until nothing is left to do; only timers and the alarm drive it. */
  async settle(): Promise<void> {
    this.broken.clear();
    this.isHanging = false;
    this.isMonitorSilent = false;
    // What hangs does not end by itself: sooner or later the object is lost.
    this.evict();
    for (let round = 0; round < ROUNDS_MAX; round++) {
      await this.pass();
      const cursors = [...this.outbox.cursors.values()];
      const isQuiet = this.messages.length + this.reports.length === 0;
      if (isQuiet && !this.isListedAsBehind && cursors.every(({ confirmed }) => confirmed === this.version)) return;
      await this.tick(LONG_MS);
    }
  }

  /** No cursor may stand past an event that its destination has not got, or has lost. */
  expectNothingPassedOver(): void {
    for (const [name, { confirmed }] of this.outbox.cursors) {
      if (this.#restored.has(name)) continue;
      const received = this.received.get(name) ?? [];
      expect([name, received.slice(0, confirmed)]).toEqual([
        name,
        Array.from({ length: confirmed }, (_, index) => index + 1),
      ]);
    }
  }

  #receive(name: string, versions: readonly number[]): void {
    const received = this.received.get(name) ?? [];
    const fresh = versions.filter((version) => !received.includes(version));
    received.push(...fresh);
    this.received.set(name, received);
    this.receivedAt.set(name, [...(this.receivedAt.get(name) ?? []), ...fresh.map(() => Date.now())]);
  }

  /** An alarm clock as a woken object has it: it knows the alarm that is set. */
  #wound(): AlarmClock {
    const setAt = this.#alarmAt;
    const storage = {
      getAlarm: async () => setAt,
      sync: async () => {},
      setAlarm: async (time: number) => {
        this.rows += 1;
        this.#alarmAt = time;
      },
    };
    return new AlarmClock({ storage, blockConcurrencyWhile: (work) => work() }, setAt !== null);
  }

  /** The storage with its written rows counted. */
  #counted(sql: SqlStorage): SqlStorage {
    return new Proxy(sql, {
      get: (target, name) => {
        if (name !== 'exec') return Reflect.get(target, name, target);
        return (...statement: Parameters<SqlStorage['exec']>) => {
          const cursor = target.exec(...statement);
          this.rows += cursor.rowsWritten;
          return cursor;
        };
      },
    });
  }

  #wakeUp(): Outbox<null> {
    const source = {
      log: this.#log,
      cold: hotLog(this.#sql).cold,
      stream: () => 'counter/world',
      state: () => null,
      version: () => this.version,
      armBy: (time: number, latest?: number) => this.#clock.armBy(time, latest),
    };
    const deliver = async (
      name: 'direct' | 'queue',
      { events, destinations, generation }: Delivery<null>,
    ): Promise<readonly number[]> => {
      if (this.isHanging) {
        this.isHanging = false;
        await new Promise(() => {});
      }
      this.deliveries[name] += 1;
      if (this.broken.has(name)) throw new Error(`${name} is down`);
      const versions = events()
        .slice(0, this.#eventsMax)
        .map((event) => event.version);
      if (name === 'queue') this.messages.push({ destinations, versions, ...(generation > 0 && { generation }) });
      else this.#receive(name, versions);
      return versions;
    };
    const direct: Sink<null> = {
      destinations: ['direct'],
      intervalMs: 8_000,
      isReady: () => true,
      deliver: async (delivery): Promise<Progress> => {
        const confirmed = (await deliver('direct', delivery)).at(-1) ?? 0;
        this.onTaken();
        return { confirmed };
      },
    };
    const later: Sink<null> = {
      destinations: ['fast', 'slow'],
      intervalMs: 8_000,
      isReady: () => true,
      deliver: async (delivery): Promise<Progress> => {
        const sent = (await deliver('queue', delivery)).at(-1) ?? 0;
        this.onSend();
        return { sent };
      },
    };
    return new Outbox(this.#sql, source, [direct, later], {
      behind: async () => {
        this.isListedAsBehind = true;
        if (this.isMonitorSilent) await new Promise(() => {});
      },
      caughtUp: async () => {
        this.isListedAsBehind = false;
        if (this.isMonitorSilent) await new Promise(() => {});
      },
    });
  }
}

/** The same reports of those who go on. */
function going(reports: readonly (readonly [string, DeliveryReport])[]): Reports {
  return Object.fromEntries(reports.map(([name, report]) => [name, { ...report, goesOn: true }]));
}

const which = fc.nat({ max: 5 });

const consumption = fc.record({
  kind: fc.constant('consume' as const),
  which,
  again: fc.boolean(),
  backlog: fc.record({ parts: fc.nat({ max: 3 }), isLost: fc.boolean() }),
});

/** Something that happens. `which` is taken modulo what there is. */
export const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 6, arbitrary: consumption },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('report' as const), which, again: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('lose' as const, 'loseReport' as const), which }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('break' as const, 'mend' as const),
      name: fc.constantFrom('direct', 'queue', 'fast', 'slow'),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('tick' as const), ms: fc.constantFrom(1, 900, 3_000, 40_000, 3_600_000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const), events: fc.nat({ max: 20 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('putBack' as const), ms: fc.constantFrom(900, 40_000, 3_600_000) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'evict' as const,
        'alarm' as const,
        'flush' as const,
        'sweep' as const,
        'hang' as const,
        'silence' as const,
      ),
    }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Lets something happen. */
export async function act(world: OutboxWorld, next: Step): Promise<void> {
  switch (next.kind) {
    case 'append':
      return world.append(next.count);
    case 'consume':
      for (const message of take(world.messages, next.which, next.again)) world.consume(message, next.backlog);
      return;
    case 'report':
      for (const reports of take(world.reports, next.which, next.again)) world.outbox.report(reports);
      return vi.advanceTimersByTimeAsync(0).then(() => undefined);
    case 'lose':
      take(world.messages, next.which, false);
      return;
    case 'loseReport':
      take(world.reports, next.which, false);
      return;
    case 'break':
      world.broken.add(next.name);
      return;
    case 'mend':
      world.broken.delete(next.name);
      return;
    case 'restore':
      world.restore('slow', next.events);
      return;
    case 'tick':
      return world.tick(next.ms);
    case 'putBack':
      vi.setSystemTime(Date.now() - next.ms);
      return;
    case 'evict':
      return world.evict();
    case 'alarm':
      return world.fireAlarm();
    case 'flush':
      void world.outbox.flush();
      return vi.advanceTimersByTimeAsync(0).then(() => undefined);
    case 'sweep':
      void world.outbox.wake();
      return vi.advanceTimersByTimeAsync(0).then(() => undefined);
    case 'hang':
      world.isHanging = true;
      return;
    case 'silence':
      world.isMonitorSilent = true;
      return;
    default:
      return next satisfies never;
  }
}

function take<Item>(items: Item[], which: number, stays: boolean): Item[] {
  if (items.length === 0) return [];
  const index = which % items.length;
  return stays ? items.slice(index, index + 1) : items.splice(index, 1);
}
