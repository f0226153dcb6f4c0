/**
 * How far a webhook is, beside its log. The feed says which contexts have something new; what that is stands in their
 * logs, and each context is a lane of its own: one that fails holds up no other, and within one nothing overtakes. A lane
 * knows up to which version everything was delivered, so what the feed shows again, after a rebuild, is not sent again; nor
 * is what happened before the webhook began, which no lane knows of.
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
  /** Why the event that is next cannot be read; null when it was not found that it cannot. */
  unreadable: string | null;
}

/** What is the same for all lanes. */
interface Progress {
  /** The position of the feed up to which it was read. */
  position: number;
  /** Nothing is sent that happened before this time (ISO 8601). */
  begin: string;
  /** Until when the receiver asked to be left alone, in milliseconds since 1970. */
  pausedUntil: number;
  /** When something was last delivered, in milliseconds since 1970; 0 for never. */
  deliveredAt: number;
}

const NO_PROGRESS: Progress = { position: 0, begin: '', pausedUntil: 0, deliveredAt: 0 };

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
    const lane = { context, delivered, until: last, attempts: 0, since: 0, retryAt: 0, unreadable: null };
    this.#behind.set(context, lane);
    this.#write(lane);
  }

  /** Notes how far the feed was read. */
  read(position: number): void {
    if (position !== this.#load().position) this.#store({ position });
  }

  /** Notes that everything up to a version is done. */
  advance(lane: Lane, version: number): void {
    this.#setUnreadable(lane, null);
    lane.delivered = version;
    lane.attempts = 0;
    lane.since = 0;
    lane.retryAt = 0;
    if (lane.delivered >= lane.until) this.#behind.delete(lane.context);
    this.#write(lane);
  }

  /** Notes that the next event could be read, and was sent in vain. */
  fail(lane: Lane, now: number, retryAt: number): void {
    this.#setUnreadable(lane, null);
    lane.attempts += 1;
    lane.since ||= now;
    lane.retryAt = retryAt;
    this.#write(lane);
  }

  /** Notes that the next event cannot be read, and when that is tried again. */
  stand(lane: Lane, reason: string, retryAt: number): void {
    this.#setUnreadable(lane, reason);
    lane.retryAt = retryAt;
    this.#write(lane);
  }

  #setUnreadable(lane: Lane, reason: string | null): void {
    if (lane.unreadable === reason) return;
    lane.unreadable = reason;
    if (reason === null) this.#sql.exec('DELETE FROM webhook_unreadable WHERE context = ?', lane.context);
    else {
      const sql = 'INSERT OR REPLACE INTO webhook_unreadable (context, reason) VALUES (?, ?)';
      this.#sql.exec(sql, lane.context, reason);
    }
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

  /** Leaves out everything up to a position of the feed, and what happened before a time (ISO 8601), wherever it comes. */
  skipTo(position: number, begin: string): void {
    this.#store({ position, begin, pausedUntil: 0 });
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
      CREATE TABLE IF NOT EXISTS webhook_unreadable (context TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
    `);
    const [row] = this.#sql.exec<{ progress: string }>('SELECT progress FROM webhook_progress').toArray();
    const progress: Progress = { ...NO_PROGRESS, ...(row && JSON.parse(row.progress)) };
    this.#progress = progress;
    const lanes = this.#sql
      .exec<Omit<Lane, 'retryAt'> & { [column: string]: string | number | null; retry_at: number }>(
        `SELECT lane.*, reason AS unreadable
         FROM webhook_lanes lane LEFT JOIN webhook_unreadable USING (context) WHERE delivered < until`,
      )
      .toArray();
    for (const { retry_at: retryAt, ...lane } of lanes) this.#behind.set(lane.context, { ...lane, retryAt });
    return progress;
  }
}
