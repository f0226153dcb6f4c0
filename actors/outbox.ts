import type { ColdHistory } from './cold-history.ts';
import {
  BACKOFF_MS,
  type Cursor,
  type CursorReport,
  Cursors,
  dueAt,
  fail,
  goOn,
  rewind,
  sent,
  succeed,
} from './cursors.ts';
import { LagWatch } from './lag-watch.ts';
import type { EventLog, StoredEvent } from './log.ts';
import { Pace } from './pace.ts';

/** Events read for a sink at once. */
const BATCH_EVENTS = 500;
/** Characters of event text read for a sink at once: well below the 128 KB of a queue message. */
const BATCH_CHARS = 64 * 1024;
/** When the alarm behind a change fires. The drain starts at once; the alarm is for when the object is lost first. */
const SAFETY_MS = 5_000;
/** An alarm that fires before this is as good: a busy stream has it set anew twice a minute, not every few seconds. */
const SAFETY_LATEST_MS = 30_000;
/** How soon the monitor hears of a change for the worse or the better. */
const TELL_MS = 1_000;
/** Events confirmed on a busy stream before the cursors are stored: so many are sent again when the object is lost. */
const STORE_EVERY = 100;

/** What a sink is asked to deliver: everything of one stream after a version, as events or as the state they lead to. */
export interface Delivery<State> {
  /** `<stream type>/<id>`. */
  readonly stream: string;
  readonly state: State;
  /** The version of `state`. */
  readonly version: number;
  /** The destinations whose turn it is; the others have these events, or are left alone for now. */
  readonly destinations: readonly string[];
  /** For a sink that confirms later: what its reports say they are about. */
  readonly generation: number;
  /**
   * The events that come next, oldest first, as many as make a good batch. A sink that wants them asks before it does
   * anything else: when they are cold, its delivery begins once more as soon as they are fetched.
   */
  events(): readonly StoredEvent[];
  /** The events before those, oldest first: the last `count` of them. */
  eventsBefore(count: number): readonly StoredEvent[];
}

/**
 * How far a delivery came: what the sink has for good, or what is on its way and will be confirmed later; or that it did as
 * much as one request can, and goes on when it is given the same again.
 */
export type Progress = { readonly confirmed: number } | { readonly sent: number } | { readonly isUnfinished: true };

/** Where a log's events go. Delivery is at least once: whoever gets an event must take it twice. */
export interface Sink<State> {
  /** Its destinations; each has a cursor of its own. */
  readonly destinations: readonly string[];
  /** The longest time between two drains of a stream that is busy all the time, in milliseconds. */
  readonly intervalMs: number;
  /** Whether it is what others go by for who may read: an event that takes that from somebody does not wait in it. */
  readonly tellsWhoReads?: boolean;
  /** Whether a destination can take anything yet. */
  isReady(destination: string, state: State): boolean;
  /** Delivers what comes next. Rejects when it could not. */
  deliver(delivery: Delivery<State>): Promise<Progress>;
}

/** What became of the events `first` to `last`, whose delivery is confirmed later: they arrived, or why they did not. */
export type DeliveryReport = {
  readonly first: number;
  readonly last: number;
  /** Left out when they arrived. */
  readonly failed?: string;
  /** They will not be taken as they are, however often they are sent. */
  readonly isRefused?: boolean;
  /** They could not be taken because the destination has no event from this version on, though it may have had it. */
  readonly missingFrom?: number;
  /** Whoever reports this is delivering what comes next already, and reports that too. */
  readonly goesOn?: boolean;
  /** The `generation` of the delivery that this came of; 0 when left out. */
  readonly generation?: number;
};

/** Who keeps an eye on the streams that are behind. */
export interface Monitor {
  /** This stream is behind, and why. */
  behind(stream: string, cursors: Readonly<Record<string, CursorReport>>): Promise<void>;
  /** It no longer is. */
  caughtUp(stream: string): Promise<void>;
}

/** Somebody who waits until a cursor has reached a version. */
interface Waiter {
  readonly cursor: Cursor;
  readonly version: number;
  confirmed(): void;
}

/** What the outbox needs to know of its object. */
export interface OutboxSource<State> {
  readonly log: EventLog;
  readonly cold: ColdHistory;
  /** `<stream type>/<id>`. */
  stream(): string;
  state(): State;
  /** The version of the last event. */
  version(): number;
  /** Makes sure that the object's alarm fires at `latest` or before; if it has to be set for that, to `time`. */
  armBy(time: number, latest?: number): void;
}

/**
 * The outbox is the log: per destination a cursor, moved forward by a drain that starts after each append, with an
 * alarm behind it so that a crash loses nothing. Nothing here throws; what fails is tried again, later and later. A sink
 * that confirms later is sent no more until it has confirmed or its time is up: so its messages cannot overtake each
 * other, and the busier a stream is, the more events share a message. Whoever takes a message may fetch what comes after
 * it from the log, part by part, as long as each part is confirmed in time.
 */
export class Outbox<State> {
  readonly #source: OutboxSource<State>;
  readonly #sinks: readonly Sink<State>[];
  readonly #cursors: Cursors;
  readonly #draining = new Set<Sink<State>>();
  /** Who waits for a cursor to move. */
  readonly #waiters = new Set<Waiter>();
  readonly #paces: ReadonlyMap<Sink<State>, Pace>;
  readonly #lags = new LagWatch();
  /** The next drain of each sink, while it waits for its time. */
  readonly #timers = new Map<Sink<State>, ReturnType<typeof setTimeout>>();
  readonly #monitor: Monitor | undefined;
  /** Whether the monitor is being told, by an alarm or by a sweep. */
  #isTelling = false;
  /** When the monitor may be told again after it could not be, in milliseconds since 1970. */
  #tellAt = 0;
  /** When the last event was appended, in milliseconds since 1970. */
  #appendedAt = 0;

  constructor(sql: SqlStorage, source: OutboxSource<State>, sinks: readonly Sink<State>[], monitor?: Monitor) {
    this.#source = source;
    this.#sinks = sinks;
    this.#monitor = monitor;
    const destinations = sinks.flatMap((sink) => sink.destinations);
    this.#cursors = new Cursors(sql, destinations, source.log.exists);
    this.#paces = new Map(sinks.map((sink) => [sink, new Pace(sink.intervalMs)]));
  }

  /** The cursors by destination, for whoever watches. */
  get cursors(): ReadonlyMap<string, Readonly<Cursor>> {
    return this.#cursors.all;
  }

  /** The version up to which every destination that takes anything has the events. */
  delivered(): number {
    const { state, version } = this.#source;
    const ready = this.#sinks.flatMap((sink) => sink.destinations.filter((name) => sink.isReady(name, state())));
    return Math.min(version(), ...ready.map((name) => this.#cursors.get(name)?.confirmed ?? 0));
  }

  /**
   * Called in the turn of an append: arms the alarm in the same transaction, then starts to drain.
   *
   * @param changesRelations whether somebody may have lost what they had by it
   */
  appended(now: number, changesRelations = false): void {
    this.#appendedAt = now;
    const behind = this.#allBehind();
    this.#arm(now, SAFETY_MS, behind);
    for (const [name] of behind) this.#lags.appended(name, this.#source.version(), now);
    for (const sink of this.#sinks) {
      if (changesRelations && sink.tellsWhoReads) this.#hurry(sink);
      else this.#drainSoon(sink, now);
    }
  }

  /** Drains as for somebody who waits for it: held up neither by the pace nor by what failed before. */
  #hurry({ destinations }: Sink<State>): void {
    for (const name of destinations) void this.whenConfirmed(name, this.#source.version(), SAFETY_MS);
  }

  /** Arms the alarm once for everything that needs it: what is behind, what has to be tried again, who has to be told. */
  #arm(now: number, safetyMs = SAFETY_LATEST_MS, behind = this.#allBehind()): void {
    let [time, latest] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    const need = (from: number, to: number) => {
      time = Math.min(time, from);
      latest = Math.min(latest, to);
    };
    for (const [, cursor] of behind) {
      // An answer that does not come may be waited for a little longer.
      const isAwaited = cursor.lastError === null && cursor.attempts > 0;
      const retryAt = dueAt(cursor, now);
      if (retryAt > now) need(retryAt, isAwaited ? retryAt + SAFETY_LATEST_MS : retryAt);
      else need(now + safetyMs, now + SAFETY_LATEST_MS);
    }
    // An object that is lost before the last of it was stored would send it again, and keep what comes next waiting for it.
    if (behind.length === 0 && this.#cursors.movedSinceStored > 0) need(now + SAFETY_MS, now + SAFETY_MS);
    if (this.#monitor && (this.#cursors.isTroubled !== this.#cursors.isReported || this.#tellAt > 0)) {
      const tellAt = Math.max(now + TELL_MS, this.#tellAt);
      need(tellAt, tellAt);
    }
    if (time < Number.POSITIVE_INFINITY) this.#source.armBy(time, latest);
  }

  /** Starts a drain of what is due, at once or when its time has come. */
  #drainSoon(sink: Sink<State>, now: number): void {
    if (this.#timers.has(sink) || this.#draining.has(sink)) return;
    const due = this.#due(sink, now);
    if (due.length === 0) return;
    const silentMs = now - this.#appendedAt;
    const wait = this.#paces.get(sink)?.wait(now, this.#eventsFor(due), silentMs) ?? 0;
    if (wait === 0) {
      void this.#drain(sink, false);
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(sink);
      this.#drainSoon(sink, Date.now());
    }, wait);
    this.#timers.set(sink, timer);
  }

  /**
   * The alarm's part: delivers what is due, stores the cursors, and arms the alarm again while a destination is behind.
   */
  async alarm(): Promise<void> {
    // What waits for company is not lost as long as its timer is there.
    const idle = this.#sinks.filter((sink) => !this.#timers.has(sink));
    await Promise.all(idle.map((sink) => this.#drain(sink, false)));
    await this.#tellMonitor();
    const now = Date.now();
    // While all goes well and more comes, another alarm follows, and what is stored now would soon be stored again.
    const isBusy = now < this.#appendedAt + SAFETY_MS && !this.#cursors.isTroubled && this.#isBehind();
    if (!isBusy || this.#cursors.movedSinceStored >= STORE_EVERY) this.#cursors.store();
    this.#arm(now);
  }

  #allBehind(): [string, Cursor][] {
    return this.#sinks.flatMap((sink) => this.#behind(sink));
  }

  #isBehind(): boolean {
    return this.#sinks.some((sink) => this.#behind(sink).length > 0);
  }

  /** A sweep's part: that of an alarm, in case there is none any more. @returns whether every destination is up to date */
  async wake(): Promise<boolean> {
    await this.alarm();
    return !this.#isBehind();
  }

  /** Delivers everything now, also what was backing off. @returns whether every destination is up to date */
  async flush(): Promise<boolean> {
    await Promise.all(this.#sinks.map((sink) => this.#drain(sink, true)));
    this.#cursors.store();
    // For who has to be told, also where there was nothing to deliver.
    this.#arm(Date.now());
    return !this.#isBehind();
  }

  /**
   * Has everything from a version on sent to a destination again, because somebody knows that it has lost it.
   *
   * @returns false when there is no such destination
   */
  resend(destination: string, from: number): boolean {
    const cursor = this.#cursors.get(destination);
    if (!cursor) return false;
    // What is under way reports its arrival from before the loss.
    if (from <= this.#source.version()) cursor.generation = this.#cursors.generation + 1;
    succeed(cursor, Math.min(cursor.confirmed, from - 1));
    this.#cursors.store();
    this.#arm(Date.now());
    return true;
  }

  /**
   * Waits until a destination has confirmed `version`.
   *
   * @returns whether it has; false when `timeoutMs` passed first
   */
  whenConfirmed(destination: string, version: number, timeoutMs: number): Promise<boolean> {
    const cursor = this.#cursors.get(destination);
    if (!cursor) return Promise.resolve(false);
    if (cursor.confirmed >= version) return Promise.resolve(true);
    for (const sink of this.#sinks) if (sink.destinations.includes(destination)) void this.#drain(sink, true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        resolve(false);
      }, timeoutMs);
      const waiter: Waiter = {
        cursor,
        version,
        confirmed: () => {
          // A timer that is left keeps the object awake to its end.
          clearTimeout(timer);
          resolve(true);
        },
      };
      this.#waiters.add(waiter);
    });
  }

  /** Tells those who wait for a cursor that has come far enough. */
  #tellWaiters(): void {
    this.#lags.confirmed(this.#cursors.all, Date.now());
    for (const waiter of this.#waiters) {
      if (waiter.cursor.confirmed < waiter.version) continue;
      this.#waiters.delete(waiter);
      waiter.confirmed();
    }
  }

  /** Takes the reports of a delivery by destination, and sends what comes next. */
  report(reports: Readonly<Record<string, DeliveryReport>>): void {
    const now = Date.now();
    for (const [destination, report] of Object.entries(reports)) {
      const cursor = this.#cursors.get(destination);
      if (cursor) this.#take(cursor, report, now);
    }
    this.#tellWaiters();
    this.#arm(now);
    for (const sink of this.#sinks) this.#drainSoon(sink, now);
  }

  #take(cursor: Cursor, report: DeliveryReport, now: number): void {
    const { first, last, failed, isRefused = false, missingFrom, goesOn = false, generation = 0 } = report;
    if (last > this.#source.version()) return;
    // However old the report is: what is lost has to be sent again, and what it has by now it takes twice.
    if (missingFrom !== undefined && missingFrom <= Math.min(cursor.confirmed, first)) {
      rewind(cursor, missingFrom - 1, `${failed ?? ''} It has lost events and gets them again.`.trim(), now);
      return;
    }
    if (generation < cursor.generation) return;
    // A report that comes late or twice moves nothing back, and none moves past events that have not arrived.
    if (last <= cursor.confirmed || first > cursor.confirmed + 1) return;
    if (failed !== undefined) {
      fail(cursor, failed, isRefused, now);
      return;
    }
    succeed(cursor, last);
    // It has as long for the next part as a message has.
    if (goesOn && last < this.#source.version()) sent(cursor, now);
  }

  /** The cursors of the destinations that are ready and not up to date, by name. */
  #behind(sink: Sink<State>): [string, Cursor][] {
    const state = this.#source.state();
    return sink.destinations
      .filter((name) => sink.isReady(name, state))
      .flatMap((name): [string, Cursor][] => {
        const cursor = this.#cursors.get(name);
        return cursor && cursor.confirmed < this.#source.version() ? [[name, cursor]] : [];
      });
  }

  /** Those that may be delivered to now. */
  #due(sink: Sink<State>, now: number): [string, Cursor][] {
    return this.#behind(sink).filter(([, cursor]) => dueAt(cursor, now) <= now);
  }

  /** How many events wait for the one of these that is furthest behind. */
  #eventsFor(due: readonly [string, Cursor][]): number {
    return this.#source.version() - Math.min(...due.map(([, cursor]) => cursor.confirmed));
  }

  /**
   * Brings one sink to where the log ends now. At most one drain per sink is under way; a failure ends it and is noted.
   * What comes meanwhile has its turn when its time has come, or at once when somebody waits for it.
   */
  async #drain(sink: Sink<State>, early: boolean): Promise<void> {
    if (this.#draining.has(sink)) return;
    const end = this.#source.version();
    // Those that have to wait now, for a confirmation or because they failed.
    const waiting = new Set<Cursor>();
    const ready = () => this.#behind(sink).filter(([, cursor]) => !waiting.has(cursor));
    const isDue = (cursor: Cursor) => early || dueAt(cursor, Date.now()) <= Date.now();
    const due = () => ready().filter(([, cursor]) => cursor.confirmed < end && isDue(cursor));
    let turn = due();
    if (turn.length === 0) return;
    this.#draining.add(sink);
    this.#paces.get(sink)?.started(Date.now(), this.#eventsFor(turn));
    try {
      for (; turn.length > 0; turn = due()) {
        for (const cursor of await this.#deliver(sink, turn)) waiting.add(cursor);
      }
    } finally {
      this.#draining.delete(sink);
    }
    const now = Date.now();
    this.#arm(now);
    const isAwaited = ready().some(([, cursor]) => [...this.#waiters].some((waiter) => waiter.cursor === cursor));
    if (isAwaited) void this.#drain(sink, true);
    // One that is backing off is the alarm's.
    else this.#drainSoon(sink, now);
  }

  /** Delivers what comes next for the one that is furthest behind, and for those who want some of it. @returns who has to wait */
  async #deliver(sink: Sink<State>, due: readonly [string, Cursor][]): Promise<readonly Cursor[]> {
    const after = Math.min(...due.map(([, cursor]) => cursor.confirmed));
    const { log, cold, stream, state, version } = this.#source;
    const { generation } = this.#cursors;
    const began = new Map(due.map(([, cursor]) => [cursor, cursor.confirmed]));
    // One that was set back meanwhile is to get this again.
    const isSetBack = (cursor: Cursor) => cursor.generation > generation || cursor.confirmed < (began.get(cursor) ?? 0);
    const cursors = due.map(([, cursor]) => cursor);
    // Made anew for a sink that begins once more, because what it asks for had to be fetched.
    const deliver = () =>
      sink.deliver({
        stream: stream(),
        state: state(),
        version: version(),
        destinations: due.map(([name]) => name),
        generation,
        events: () => log.read(after, BATCH_EVENTS, BATCH_CHARS),
        eventsBefore: (count) => log.read(Math.max(0, after - count), Math.min(count, after)),
      });
    try {
      const progress = await cold.readingFirst(deliver);
      if ('confirmed' in progress) {
        for (const cursor of cursors) {
          if (!isSetBack(cursor)) succeed(cursor, Math.max(cursor.confirmed, progress.confirmed));
        }
        this.#tellWaiters();
        return [];
      }
      if ('isUnfinished' in progress) {
        for (const cursor of cursors) goOn(cursor, Date.now());
        return cursors;
      }
      // One that was told already that they arrived waits for nothing; nor does one that is further than they reach.
      const asked = cursors.filter((cursor) => cursor.confirmed < progress.sent && !isSetBack(cursor));
      for (const cursor of asked) sent(cursor, Date.now());
      return asked;
    } catch (error) {
      for (const cursor of cursors) {
        cursor.attempts += 1;
        fail(cursor, String(error instanceof Error ? error.message : error), false, Date.now());
      }
      return cursors;
    }
  }

  /** Tells the monitor of a change for the worse or the better; when it cannot be told, a later alarm tries again. */
  async #tellMonitor(): Promise<void> {
    if (!this.#monitor || this.#isTelling) return;
    this.#isTelling = true;
    const troubled = this.#cursors.troubled();
    const isTroubled = Object.keys(troubled).length > 0;
    if (isTroubled && !this.#cursors.isReported) {
      // Before it is told: an object that ends in between would not know that this has to be taken back.
      this.#cursors.isReported = true;
      this.#cursors.store();
    }
    try {
      if (isTroubled) await this.#monitor.behind(this.#source.stream(), troubled);
      else if (this.#cursors.isReported) await this.#monitor.caughtUp(this.#source.stream());
      this.#cursors.isReported = isTroubled;
      this.#tellAt = 0;
    } catch {
      this.#tellAt = Date.now() + BACKOFF_MS.cap;
    } finally {
      this.#isTelling = false;
    }
  }
}
