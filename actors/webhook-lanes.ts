/**
 * How far a webhook is, beside its log. The feed says which contexts have something new; what that is stands in their
 * logs, and each context is a lane of its own: one that fails holds up no other, and within one nothing overtakes. A lane
 * knows up to which version everything was delivered, so what the feed shows again, after a rebuild, is not sent again.
 */

/** A context with events that wait for their delivery. */
export interface Lane {
  readonly context: string;
  /** The version up to which everything was delivered, or was none of the webhook's. */
  delivered: number;
  /** The version up to which there is something. */
  until: number;
  /** How often the event that is next was sent in vain. */
  attempts: number;
  /** When that began, and when it is sent again; in milliseconds since 1970, 0 for never and for now. */
  since: number;
  retryAt: number;
}

/** What is the same for all lanes. */
interface Progress {
  /** The position of the feed up to which it was read. */
  position: number;
  /** Until when the receiver asked to be left alone, in milliseconds since 1970. */
  pausedUntil: number;
  /** When something was last delivered, in milliseconds since 1970; 0 for never. */
  deliveredAt: number;
}

/** The lanes of a webhook. */
export class Lanes {
  readonly #sql: SqlStorage;
  #progress: Progress | null = null;
  readonly #behind = new Map<string, Lane>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  get progress(): Readonly<Progress> {
    return this.#load();
  }

  /** Those that have something to deliver. */
  get behind(): ReadonlyMap<string, Lane> {
    this.#load();
    return this.#behind;
  }

  /** Notes that the events `first` to `last` of a context stand in the feed. */
  note(context: string, first: number, last: number): void {
    this.#load();
    const known = this.#behind.get(context);
    if (known) {
      if (last <= known.until) return;
      known.until = last;
      this.#write(known);
      return;
    }
    const [row] = this.#sql
      .exec<{ delivered: number }>('SELECT delivered FROM webhook_lanes WHERE context = ?', context)
      .toArray();
    const delivered = Math.max(row?.delivered ?? 0, first - 1);
    if (last <= delivered) return;
    const lane = { context, delivered, until: last, attempts: 0, since: 0, retryAt: 0 };
    this.#behind.set(context, lane);
    this.#write(lane);
  }

  /** Notes how far the feed was read. */
  read(position: number): void {
    if (position !== this.#load().position) this.#store({ position });
  }

  /** Notes that everything up to a version is done. */
  advance(lane: Lane, version: number): void {
    lane.delivered = version;
    lane.attempts = 0;
    lane.since = 0;
    lane.retryAt = 0;
    if (lane.delivered >= lane.until) this.#behind.delete(lane.context);
    this.#write(lane);
  }

  /** Notes that the next event was sent in vain. */
  fail(lane: Lane, now: number, retryAt: number): void {
    lane.attempts += 1;
    lane.since ||= now;
    lane.retryAt = retryAt;
    this.#write(lane);
  }

  /** Leaves the receiver alone for a while. */
  pause(until: number): void {
    if (until > this.#load().pausedUntil) this.#store({ pausedUntil: until });
  }

  /** Notes that the receiver takes what it is sent. Kept in memory and written along with something else. */
  noteDelivered(now: number): void {
    this.#load().deliveredAt = now;
  }

  /** Has everything that failed sent again at once, as if for the first time. */
  retryAll(): void {
    this.#store({ pausedUntil: 0 });
    for (const lane of this.#behind.values()) {
      lane.attempts = 0;
      lane.since = 0;
      lane.retryAt = 0;
      this.#write(lane);
    }
  }

  /** Leaves out everything up to a position of the feed. */
  skipTo(position: number): void {
    this.#store({ position, pausedUntil: 0 });
    for (const lane of [...this.#behind.values()]) this.advance(lane, lane.until);
  }

  #store(change: Partial<Progress>): void {
    const progress = Object.assign(this.#load(), change);
    this.#sql.exec('INSERT OR REPLACE INTO webhook_progress (id, progress) VALUES (1, ?)', JSON.stringify(progress));
  }

  #write({ context, delivered, until, attempts, since, retryAt }: Lane): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO webhook_lanes (context, delivered, until, attempts, since, retry_at)
       VALUES (?, ?, ?, ?, ?, ?)`,
      context,
      delivered,
      until,
      attempts,
      since,
      retryAt,
    );
  }

  #load(): Progress {
    if (this.#progress) return this.#progress;
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS webhook_progress (id INTEGER PRIMARY KEY CHECK (id = 1), progress TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS webhook_lanes (
        context TEXT PRIMARY KEY, delivered INTEGER NOT NULL, until INTEGER NOT NULL,
        attempts INTEGER NOT NULL, since INTEGER NOT NULL, retry_at INTEGER NOT NULL
      ) WITHOUT ROWID;
    `);
    const [row] = this.#sql.exec<{ progress: string }>('SELECT progress FROM webhook_progress').toArray();
    this.#progress = { position: 0, pausedUntil: 0, deliveredAt: 0, ...(row && JSON.parse(row.progress)) };
    const lanes = this.#sql
      .exec<{ context: string; delivered: number; until: number; attempts: number; since: number; retry_at: number }>(
        'SELECT * FROM webhook_lanes WHERE delivered < until',
      )
      .toArray();
    for (const { retry_at: retryAt, ...lane } of lanes) this.#behind.set(lane.context, { ...lane, retryAt });
    return this.#progress ?? { position: 0, pausedUntil: 0, deliveredAt: 0 };
  }
}
