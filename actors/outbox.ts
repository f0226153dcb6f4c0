import type { EventLog, StoredEvent } from './log.ts';

/** Events handed to a sink at once. */
const BATCH_EVENTS = 500;
/** Characters of event text handed to a sink at once: well below a queue message or a D1 statement's limits. */
const BATCH_CHARS = 96 * 1024;
/** When the alarm behind a change fires. The drain starts at once; the alarm is for when the object is lost first. */
const SAFETY_MS = 5_000;
/** The first pause after a failed delivery; it doubles with each attempt. */
const BACKOFF_BASE_MS = 1_000;
/** The longest pause between two attempts. */
const BACKOFF_CAP_MS = 5 * 60 * 1000;
/** Characters of an error message that are kept. */
const ERROR_CHARS = 300;

/** Events of one stream on their way to a sink, in order and without a gap. */
export interface Batch {
  readonly stream: string;
  readonly events: readonly StoredEvent[];
}

/** Where a log's events go. Delivery is at least once: a sink must take the same event twice. */
export interface Sink {
  readonly name: string;
  /** Delivers a batch and resolves when the sink has it for good. Rejects when it could not. */
  deliver(batch: Batch): Promise<void>;
}

/** How far one sink has come. */
export interface Cursor {
  /** The last version the sink has confirmed. */
  confirmed: number;
  /** Failed attempts since the last success. */
  attempts: number;
  /** When the next attempt may be made, in milliseconds since 1970. */
  retryAt: number;
  lastError: string | null;
}

/** What the outbox needs to know of its object. */
export interface OutboxSource {
  readonly log: EventLog;
  /** `<stream type>/<id>`. */
  stream(): string;
  /** The version of the last event. */
  version(): number;
}

/**
 * The outbox is the log: per sink a cursor, moved forward by a drain that starts after each append, with an alarm
 * behind it so that a crash loses nothing. Nothing here throws; what fails is tried again, later and later.
 */
export class Outbox {
  readonly #storage: DurableObjectStorage;
  readonly #source: OutboxSource;
  readonly #sinks: readonly Sink[];
  readonly #cursors: Map<string, Cursor>;
  readonly #draining = new Set<string>();
  /** When the alarm is set to fire, as far as this instance knows. */
  #alarmAt: number | null = null;
  /** The cursors as they are stored. */
  #stored: string;

  constructor(storage: DurableObjectStorage, source: OutboxSource, sinks: readonly Sink[]) {
    this.#storage = storage;
    this.#source = source;
    this.#sinks = sinks;
    const [row] = source.log.exists
      ? storage.sql.exec<{ cursors: string }>('SELECT cursors FROM cursors WHERE id = 1').toArray()
      : [];
    this.#stored = row?.cursors ?? '{}';
    const stored: Record<string, Cursor> = JSON.parse(this.#stored);
    this.#cursors = new Map(
      sinks.map(({ name }) => [name, stored[name] ?? { confirmed: 0, attempts: 0, retryAt: 0, lastError: null }]),
    );
  }

  /** The cursors by sink, for whoever watches. */
  get cursors(): ReadonlyMap<string, Readonly<Cursor>> {
    return this.#cursors;
  }

  /** Called in the turn of an append: arms the alarm in the same transaction, then starts to drain. */
  appended(now: number): void {
    if (this.#sinks.length === 0) return;
    this.armBy(now + SAFETY_MS);
    for (const sink of this.#sinks) void this.#drain(sink, false);
  }

  /** Makes sure that the alarm fires at `time` (milliseconds since 1970) or before. Writes a row when it has to be set. */
  armBy(time: number): void {
    if (this.#alarmAt !== null && this.#alarmAt <= time) return;
    this.#alarmAt = time;
    // Not awaited: the write belongs to this turn's transaction, and the output gate waits for it.
    void this.#storage.setAlarm(time);
  }

  /**
   * The alarm's work: delivers what is due, stores the cursors when they moved, and arms the alarm again while a sink
   * is behind.
   */
  async alarm(): Promise<void> {
    this.#alarmAt = null;
    if (!this.#source.log.exists) return;
    await Promise.all(this.#sinks.map((sink) => this.#drain(sink, false)));
    this.#store();
    const due = [...this.#cursors.values()]
      .filter((cursor) => cursor.confirmed < this.#source.version())
      .map((cursor) => Math.max(cursor.retryAt, Date.now() + BACKOFF_BASE_MS));
    if (due.length > 0) this.armBy(Math.min(...due));
  }

  /** Delivers everything now, also what was backing off. @returns whether every sink is up to date */
  async flush(): Promise<boolean> {
    await Promise.all(this.#sinks.map((sink) => this.#drain(sink, true)));
    this.#store();
    return [...this.#cursors.values()].every((cursor) => cursor.confirmed >= this.#source.version());
  }

  /** Brings one sink up to date. At most one drain per sink is under way; a failure ends it and is noted. */
  async #drain(sink: Sink, early: boolean): Promise<void> {
    const cursor = this.#cursors.get(sink.name);
    if (!cursor || this.#draining.has(sink.name)) return;
    this.#draining.add(sink.name);
    try {
      while (cursor.confirmed < this.#source.version() && (early || cursor.retryAt <= Date.now())) {
        const events = this.#source.log.read(cursor.confirmed, BATCH_EVENTS, BATCH_CHARS);
        await sink.deliver({ stream: this.#source.stream(), events });
        cursor.confirmed = events.at(-1)?.version ?? cursor.confirmed;
        cursor.attempts = 0;
        cursor.retryAt = 0;
        cursor.lastError = null;
      }
    } catch (error) {
      cursor.attempts += 1;
      cursor.lastError = String(error instanceof Error ? error.message : error).slice(0, ERROR_CHARS);
      cursor.retryAt = Date.now() + backoff(cursor.attempts);
      this.armBy(cursor.retryAt);
    } finally {
      this.#draining.delete(sink.name);
    }
  }

  /** Writes one row for all cursors, when any of them moved since. */
  #store(): void {
    const cursors = JSON.stringify(Object.fromEntries(this.#cursors));
    if (cursors === this.#stored) return;
    this.#storage.sql.exec('INSERT OR REPLACE INTO cursors (id, cursors) VALUES (1, ?)', cursors);
    this.#stored = cursors;
  }
}

/** Milliseconds to wait after `attempts` failures: doubling, capped, with full jitter over its upper half. */
function backoff(attempts: number): number {
  const ceiling = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(attempts - 1, 30));
  return ceiling * (0.5 + Math.random() / 2);
}
