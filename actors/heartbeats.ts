/** When a connection last gave a sign of life. Not events: a heartbeat by itself changes nothing; one row, kept anew. */
export class Heartbeats {
  readonly #sql: SqlStorage;
  /** Milliseconds since 1970; undefined until it was read. */
  #last: number | null | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Milliseconds since 1970, null when there was none yet. */
  get last(): number | null {
    if (this.#last === undefined) {
      this.#createTable();
      this.#last = this.#sql.exec<{ at: number }>('SELECT at FROM heartbeat').toArray()[0]?.at ?? null;
    }
    return this.#last;
  }

  /** The same in ISO 8601. */
  get lastAt(): string | null {
    return this.last === null ? null : new Date(this.last).toISOString();
  }

  /** Takes one. @param now milliseconds since 1970 */
  note(now: number): void {
    this.#createTable();
    this.#sql.exec('INSERT OR REPLACE INTO heartbeat (id, at) VALUES (1, ?)', now);
    this.#last = now;
  }

  #createTable(): void {
    this.#sql.exec('CREATE TABLE IF NOT EXISTS heartbeat (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL)');
  }
}
