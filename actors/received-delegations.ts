/** Made when the first is noted: most actors are never handed anything. */
const CREATE_TABLE =
  'CREATE TABLE IF NOT EXISTS received (delegation TEXT PRIMARY KEY, expires_at TEXT NOT NULL) WITHOUT ROWID';

/** Comes after every id. */
const AFTER_ALL = '~';

/**
 * The delegations that others have made to an actor, by their ids. Not events: those are in the streams of the actors who
 * made them, which tell this one (`given-sink.ts`).
 */
export class ReceivedDelegations {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Notes a delegation, once, and forgets those that have expired at `now` (ISO 8601). */
  note(delegation: string, expiresAt: string, now: string): void {
    this.#sql.exec(CREATE_TABLE);
    this.#sql.exec('DELETE FROM received WHERE expires_at <= ?', now);
    if (expiresAt <= now) return;
    this.#sql.exec('INSERT OR IGNORE INTO received (delegation, expires_at) VALUES (?, ?)', delegation, expiresAt);
  }

  /** Those that had not expired at `now` (ISO 8601), newest first. @param before where to go on; null from the newest */
  list(now: string, before: string | null, limit: number): string[] {
    this.#sql.exec(CREATE_TABLE);
    return this.#sql
      .exec<{ delegation: string }>(
        'SELECT delegation FROM received WHERE expires_at > ? AND delegation < ? ORDER BY delegation DESC LIMIT ?',
        now,
        before ?? AFTER_ALL,
        limit,
      )
      .toArray()
      .map((row) => row.delegation);
  }
}
