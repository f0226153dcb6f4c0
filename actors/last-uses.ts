/** How exactly the last use of a credential is known, in milliseconds: a row is written this often at most. */
const GRAIN_MS = 60_000;

const CREATE_TABLE =
  'CREATE TABLE IF NOT EXISTS last_uses (credential TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID';

/** When the credentials of an actor were last used, to the minute or so. Not events: a use changes nothing. */
export class LastUses {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Notes that a credential was used at `now` (milliseconds since 1970), and forgets those that are not `living`. */
  note(credential: string, living: readonly string[], now: number): void {
    this.#sql.exec(CREATE_TABLE);
    this.#sql.exec(
      `INSERT INTO last_uses (credential, at) VALUES (?1, ?2)
       ON CONFLICT (credential) DO UPDATE SET at = ?2 WHERE at <= ?2 - ${GRAIN_MS}`,
      credential,
      now,
    );
    this.#sql.exec(
      'DELETE FROM last_uses WHERE credential NOT IN (SELECT value FROM json_each(?))',
      JSON.stringify(living),
    );
  }

  /** When each credential was last used (ISO 8601). */
  all(): ReadonlyMap<string, string> {
    this.#sql.exec(CREATE_TABLE);
    const rows = this.#sql.exec<{ credential: string; at: number }>('SELECT credential, at FROM last_uses').toArray();
    return new Map(rows.map(({ credential, at }) => [credential, new Date(at).toISOString()]));
  }
}
