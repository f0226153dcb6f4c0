/** An event as the log gives it back: its place and its canonical text, hash included. */
export interface StoredEvent {
  readonly version: number;
  readonly text: string;
}

/**
 * The append-only log of one object, in its own SQLite. A row is a version and the event's canonical text: the bytes
 * that were hashed are the bytes that are kept and served, so there is no second copy to disagree with. `type` and
 * `time` are virtual columns, for whoever reads the file with SQL; they take no space and no write.
 */
export class EventLog {
  readonly #sql: SqlStorage;
  #exists: boolean;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    // A stream that was never written has no table, so that a wrong id writes nothing.
    this.#exists =
      sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'events'").toArray().length > 0;
  }

  /** Whether anything was ever written. While false, no other table exists either. */
  get exists(): boolean {
    return this.#exists;
  }

  /** Creates the tables of an object; called once, in the turn of its first append. */
  create(): void {
    this.#sql.exec(`
      CREATE TABLE events (
        version INTEGER PRIMARY KEY,
        event TEXT NOT NULL,
        type TEXT GENERATED ALWAYS AS (event ->> '$.type') VIRTUAL,
        time TEXT GENERATED ALWAYS AS (event ->> '$.time') VIRTUAL
      );
      CREATE TABLE snapshots (version INTEGER PRIMARY KEY, state_schema INTEGER NOT NULL, state TEXT NOT NULL);
      CREATE TABLE answers (
        key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
        expires_at INTEGER NOT NULL
      ) WITHOUT ROWID;
      CREATE TABLE cursors (id INTEGER PRIMARY KEY CHECK (id = 1), cursors TEXT NOT NULL);
    `);
    this.#exists = true;
  }

  /** Writes one row. The primary key refuses a version that is taken. */
  append(version: number, text: string): void {
    this.#sql.exec('INSERT INTO events (version, event) VALUES (?, ?)', version, text);
  }

  /**
   * Events after `after`, oldest first.
   *
   * @param limit how many at most
   * @param maxChars stops after the event that reaches so many characters: a page of events is bounded in memory too
   */
  read(after: number, limit: number, maxChars = Number.POSITIVE_INFINITY): StoredEvent[] {
    const query = 'SELECT version, event FROM events WHERE version > ? ORDER BY version LIMIT ?';
    return this.#page(query, [after, limit], maxChars);
  }

  /** Events before `before` down to the one after `after`, newest first; `limit` and `maxChars` as for `read`. */
  readBack(before: number, after: number, limit: number, maxChars: number): StoredEvent[] {
    const query = 'SELECT version, event FROM events WHERE version < ? AND version > ? ORDER BY version DESC LIMIT ?';
    return this.#page(query, [before, after, limit], maxChars);
  }

  #page(query: string, bindings: readonly number[], maxChars: number): StoredEvent[] {
    if (!this.#exists) return [];
    const page: StoredEvent[] = [];
    let chars = 0;
    for (const { version, event } of this.#sql.exec<{ version: number; event: string }>(query, ...bindings)) {
      page.push({ version, text: event });
      chars += event.length;
      if (chars >= maxChars) break;
    }
    return page;
  }

  /** The hashes of the events after `from` up to `to`, in hexadecimal digits, as they stand in the events. */
  leafHashes(from: number, to: number): string[] {
    const query =
      "SELECT event ->> '$.leafHash' AS hash FROM events WHERE version > ? AND version <= ? ORDER BY version";
    return this.#sql
      .exec<{ hash: string }>(query, from, to)
      .toArray()
      .map((row) => row.hash);
  }

  /** Characters of all events after `after`, with `overhead` characters added to each. */
  charsAfter(after: number, overhead: number): number {
    const row = this.#sql
      .exec<{ chars: number }>(
        'SELECT coalesce(sum(length(event) + ?), 0) AS chars FROM events WHERE version > ?',
        overhead,
        after,
      )
      .one();
    return row.chars;
  }

  /** The last version whose event is not later than `time` (ISO 8601), 0 when there is none. Reads O(log n) rows. */
  versionAt(time: string, lastVersion: number): number {
    let [low, high] = [0, lastVersion];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const row = this.#sql.exec<{ time: string }>('SELECT time FROM events WHERE version = ?', middle).one();
      if (row.time <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
