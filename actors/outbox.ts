import { backoffMs } from './backoff.ts';
import type { EventLog, StoredEvent } from './log.ts';

/** Events read for a sink at once. */
const BATCH_EVENTS = 500;
/** Characters of event text read for a sink at once: well below the 128 KB of a queue message. */
const BATCH_CHARS = 64 * 1024;
/** When the alarm behind a change fires. The drain starts at once; the alarm is for when the object is lost first. */
const SAFETY_MS = 5_000;
/** The shortest time from one drain to the next. */
const INTERVAL_MS = 1_000;
/** The first pause after a failed delivery, and the longest. */
const BACKOFF_MS = { base: 1_000, cap: 5 * 60_000 };
/** How long a sink that confirms later may take before the same events are sent again, and the longest such pause. */
const RESEND_MS = { base: 30_000, cap: 15 * 60_000 };
/** The pause after a delivery that was refused: nothing will change until somebody looks at the dead letter. */
const REFUSED_MS = { base: 60 * 60_000, cap: 24 * 60 * 60_000 };
/** Characters of an error message that are kept. */
const ERROR_CHARS = 300;

/** What a sink is asked to deliver: everything of one stream after a version, as events or as the state they lead to. */
export interface Delivery<State> {
  /** `<stream type>/<id>`. */
  readonly stream: string;
  readonly state: State;
  /** The version of `state`. */
  readonly version: number;
  /** The destinations whose turn it is; the others have these events, or are left alone for now. */
  readonly destinations: readonly string[];
  /** The events that come next, oldest first, as many as make a good batch. */
  events(): readonly StoredEvent[];
}

/** How far a delivery came: what the sink has for good, or what is on its way and will be confirmed later. */
export type Progress = { readonly confirmed: number } | { readonly sent: number };

/** Where a log's events go. Delivery is at least once: whoever gets an event must take it twice. */
export interface Sink<State> {
  /** Its destinations; each has a cursor of its own. */
  readonly destinations: readonly string[];
  /** The longest time between two drains of a stream that is busy all the time, in milliseconds. */
  readonly intervalMs: number;
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
};

/** Who keeps an eye on the streams that are behind. */
export interface Monitor {
  /** This stream is behind, and why. */
  behind(stream: string, cursors: Readonly<Record<string, Cursor>>): Promise<void>;
  /** It no longer is. */
  caughtUp(stream: string): Promise<void>;
}

/** How far one destination has come. */
export interface Cursor {
  /** The last version it has confirmed. */
  confirmed: number;
  /** Failed or unanswered attempts since the last confirmation. */
  attempts: number;
  /** When the next attempt may be made, in milliseconds since 1970. */
  retryAt: number;
  lastError: string | null;
}

/** Somebody who waits until a cursor has reached a version. */
interface Waiter {
  readonly cursor: Cursor;
  readonly version: number;
  resolve(isConfirmed: boolean): void;
}

/** The row that keeps the cursors. */
interface StoredOutbox {
  readonly cursors: Readonly<Record<string, Cursor>>;
  readonly isReported: boolean;
}

/** What the outbox needs to know of its object. */
export interface OutboxSource<State> {
  readonly log: EventLog;
  /** `<stream type>/<id>`. */
  stream(): string;
  state(): State;
  /** The version of the last event. */
  version(): number;
  /** Makes sure that the object's alarm fires at this time or before. */
  armBy(time: number): void;
}

/**
 * The outbox is the log: per destination a cursor, moved forward by a drain that starts after each append, with an
 * alarm behind it so that a crash loses nothing. Nothing here throws; what fails is tried again, later and later. A sink
 * that confirms later is sent no more until it has confirmed or its time is up: so its messages cannot overtake each
 * other, and the busier a stream is, the more events share a message.
 */
export class Outbox<State> {
  readonly #sql: SqlStorage;
  readonly #source: OutboxSource<State>;
  readonly #sinks: readonly Sink<State>[];
  readonly #cursors: Map<string, Cursor>;
  readonly #draining = new Set<Sink<State>>();
  /** Who waits for a cursor to move. */
  readonly #waiters = new Set<Waiter>();
  /** When the last drain of each sink began, in milliseconds since 1970, and how long after it the next one begins. */
  readonly #paces = new Map<Sink<State>, { readonly startedAt: number; readonly intervalMs: number }>();
  /** The next drain of each sink, while it waits for the interval to pass. */
  readonly #timers = new Map<Sink<State>, ReturnType<typeof setTimeout>>();
  readonly #monitor: Monitor | undefined;
  /** Whether the monitor was told that this stream is behind. */
  #isReported: boolean;
  /** The row as it is stored. */
  #stored: string;

  constructor(sql: SqlStorage, source: OutboxSource<State>, sinks: readonly Sink<State>[], monitor?: Monitor) {
    this.#sql = sql;
    this.#source = source;
    this.#sinks = sinks;
    this.#monitor = monitor;
    const [row] = source.log.exists
      ? sql.exec<{ cursors: string }>('SELECT cursors FROM cursors WHERE id = 1').toArray()
      : [];
    this.#stored = row?.cursors ?? '';
    const stored: StoredOutbox = row ? JSON.parse(row.cursors) : { cursors: {}, isReported: false };
    this.#isReported = stored.isReported;
    const start: Cursor = { confirmed: 0, attempts: 0, retryAt: 0, lastError: null };
    this.#cursors = new Map(
      sinks.flatMap(({ destinations }) => destinations.map((name) => [name, { ...(stored.cursors[name] ?? start) }])),
    );
  }

  /** The cursors by destination, for whoever watches. */
  get cursors(): ReadonlyMap<string, Readonly<Cursor>> {
    return this.#cursors;
  }

  /** Called in the turn of an append: arms the alarm in the same transaction, then starts to drain. */
  appended(now: number): void {
    if (this.#sinks.length === 0) return;
    this.#source.armBy(now + SAFETY_MS);
    for (const sink of this.#sinks) this.#drainSoon(sink, now);
  }

  /** Starts a drain, at once or when the interval since the last one is over. */
  #drainSoon(sink: Sink<State>, now: number): void {
    if (this.#timers.has(sink) || this.#draining.has(sink)) return;
    const pace = this.#paces.get(sink);
    const wait = pace ? pace.startedAt + pace.intervalMs - now : 0;
    if (wait <= 0) {
      void this.#drain(sink, false);
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(sink);
      void this.#drain(sink, false);
    }, wait);
    this.#timers.set(sink, timer);
  }

  /**
   * Notes that a drain begins. The next one begins an interval later, which doubles while the stream stays busy: what
   * comes meanwhile shares a message, a request and a row, and a lone change never waits.
   */
  #keepPace(sink: Sink<State>): void {
    const startedAt = Date.now();
    const last = this.#paces.get(sink);
    const isBusy = last !== undefined && startedAt < last.startedAt + 2 * last.intervalMs;
    const intervalMs = isBusy ? Math.min(sink.intervalMs, 2 * last.intervalMs) : INTERVAL_MS;
    this.#paces.set(sink, { startedAt, intervalMs });
  }

  /**
   * The alarm's part: delivers what is due, stores the cursors when they moved, and arms the alarm again while a
   * destination is behind.
   */
  async alarm(): Promise<void> {
    await Promise.all(this.#sinks.map((sink) => this.#drain(sink, false)));
    await this.#tellMonitor();
    this.#store();
    const due = this.#sinks.flatMap((sink) => this.#behind(sink)).map(([, cursor]) => cursor.retryAt);
    if (due.length > 0) this.#source.armBy(Math.max(Math.min(...due), Date.now() + BACKOFF_MS.base));
  }

  /** Delivers everything now, also what was backing off. @returns whether every destination is up to date */
  async flush(): Promise<boolean> {
    await Promise.all(this.#sinks.map((sink) => this.#drain(sink, true)));
    this.#store();
    return this.#sinks.every((sink) => this.#behind(sink).length === 0);
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
      const waiter = { cursor, version, resolve };
      this.#waiters.add(waiter);
      setTimeout(() => {
        this.#waiters.delete(waiter);
        resolve(false);
      }, timeoutMs);
    });
  }

  /** Tells those who wait for a cursor that has come far enough. */
  #tellWaiters(): void {
    for (const waiter of this.#waiters) {
      if (waiter.cursor.confirmed < waiter.version) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(true);
    }
  }

  /** Takes the reports of a delivery by destination, and sends what comes next. */
  report(reports: Readonly<Record<string, DeliveryReport>>): void {
    for (const [destination, report] of Object.entries(reports)) {
      const { first, last, failed, isRefused = false } = report;
      const cursor = this.#cursors.get(destination);
      // A report that comes late or twice moves nothing back, and none moves past events that have not arrived.
      if (!cursor || last <= cursor.confirmed || first > cursor.confirmed + 1 || last > this.#source.version())
        continue;
      if (failed === undefined) succeed(cursor, last);
      else this.#fail(cursor, failed, isRefused);
    }
    this.#tellWaiters();
    // The monitor is the alarm's part; it should hear soon of trouble, and that it is over.
    const now = Date.now();
    const isFailing = [...this.#cursors.values()].some((cursor) => cursor.lastError !== null);
    if (isFailing !== this.#isReported) this.#source.armBy(now + BACKOFF_MS.base);
    for (const sink of this.#sinks) this.#drainSoon(sink, now);
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

  /**
   * Brings one sink to where the log ends now. At most one drain per sink is under way; a failure ends it and is noted.
   * What comes meanwhile has its turn when the interval is over, or at once when somebody waits for it.
   */
  async #drain(sink: Sink<State>, early: boolean): Promise<void> {
    if (this.#draining.has(sink)) return;
    this.#draining.add(sink);
    this.#keepPace(sink);
    const end = this.#source.version();
    // Those that have to wait now, for a confirmation or because they failed.
    const waiting = new Set<Cursor>();
    const ready = () => this.#behind(sink).filter(([, cursor]) => !waiting.has(cursor));
    const due = () => ready().filter(([, cursor]) => cursor.confirmed < end && (early || cursor.retryAt <= Date.now()));
    try {
      for (let turn = due(); turn.length > 0; turn = due()) {
        for (const cursor of await this.#deliver(sink, turn)) waiting.add(cursor);
      }
    } finally {
      this.#draining.delete(sink);
    }
    const isAwaited = ready().some(([, cursor]) => [...this.#waiters].some((waiter) => waiter.cursor === cursor));
    if (isAwaited) void this.#drain(sink, true);
    // One that is backing off is the alarm's.
    else if (ready().some(([, cursor]) => cursor.retryAt <= Date.now())) this.#drainSoon(sink, Date.now());
  }

  /** Delivers what comes next for the one that is furthest behind, and for those who want some of it. @returns who has to wait */
  async #deliver(sink: Sink<State>, due: readonly [string, Cursor][]): Promise<readonly Cursor[]> {
    const after = Math.min(...due.map(([, cursor]) => cursor.confirmed));
    const { log, stream, state, version } = this.#source;
    const cursors = due.map(([, cursor]) => cursor);
    try {
      const progress = await sink.deliver({
        stream: stream(),
        state: state(),
        version: version(),
        destinations: due.map(([name]) => name),
        events: () => log.read(after, BATCH_EVENTS, BATCH_CHARS),
      });
      if ('confirmed' in progress) {
        for (const cursor of cursors) succeed(cursor, Math.max(cursor.confirmed, progress.confirmed));
        this.#tellWaiters();
        return [];
      }
      // One that was told already that they arrived waits for nothing; nor does one that is further than they reach.
      const asked = cursors.filter((cursor) => cursor.confirmed < progress.sent);
      for (const cursor of asked) {
        cursor.attempts += 1;
        cursor.retryAt = Date.now() + backoffMs(cursor.attempts, RESEND_MS);
        this.#source.armBy(cursor.retryAt);
      }
      return asked;
    } catch (error) {
      for (const cursor of cursors) {
        cursor.attempts += 1;
        this.#fail(cursor, String(error instanceof Error ? error.message : error), false);
      }
      return cursors;
    }
  }

  /** Notes why an attempt, which was counted when it was made, failed. */
  #fail(cursor: Cursor, error: string, isRefused: boolean): void {
    cursor.attempts = Math.max(cursor.attempts, 1);
    cursor.lastError = error.slice(0, ERROR_CHARS);
    cursor.retryAt = Date.now() + backoffMs(cursor.attempts, isRefused ? REFUSED_MS : BACKOFF_MS);
    this.#source.armBy(cursor.retryAt);
  }

  /** Tells the monitor of a change for the worse or the better; when it cannot be told, the next alarm tries again. */
  async #tellMonitor(): Promise<void> {
    if (!this.#monitor) return;
    const failing = [...this.#cursors].filter(([, cursor]) => cursor.attempts > 1 || cursor.lastError !== null);
    try {
      if (failing.length > 0) await this.#monitor.behind(this.#source.stream(), Object.fromEntries(failing));
      else if (this.#isReported) await this.#monitor.caughtUp(this.#source.stream());
      this.#isReported = failing.length > 0;
    } catch {
      this.#source.armBy(Date.now() + BACKOFF_MS.cap);
    }
  }

  /** Writes one row for all cursors, when any of them moved since. */
  #store(): void {
    const stored: StoredOutbox = { cursors: Object.fromEntries(this.#cursors), isReported: this.#isReported };
    const cursors = JSON.stringify(stored);
    if (cursors === this.#stored) return;
    this.#sql.exec('INSERT OR REPLACE INTO cursors (id, cursors) VALUES (1, ?)', cursors);
    this.#stored = cursors;
  }
}

function succeed(cursor: Cursor, version: number): void {
  cursor.confirmed = version;
  cursor.attempts = 0;
  cursor.retryAt = 0;
  cursor.lastError = null;
}
