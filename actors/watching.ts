/** Made when the first is noted: most actors never watch anything. */
const CREATE_TABLE = 'CREATE TABLE IF NOT EXISTS watching (context TEXT PRIMARY KEY) WITHOUT ROWID';

/**
 * The contexts in which an actor, or somebody whom the actor lent rights to, has had a live stream open: where to send
 * word that a credential has ended. Not events, because nothing follows from them; one row for each context, once.
 */
export class Watching {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Notes a context. */
  note(context: string): void {
    this.#sql.exec(CREATE_TABLE);
    this.#sql.exec('INSERT OR IGNORE INTO watching (context) VALUES (?)', context);
  }

  /** The contexts after one, in the order of their ids. */
  list(after: string, limit: number): string[] {
    this.#sql.exec(CREATE_TABLE);
    return this.#sql
      .exec<{ context: string }>(
        'SELECT context FROM watching WHERE context > ? ORDER BY context LIMIT ?',
        after,
        limit,
      )
      .toArray()
      .map((row) => row.context);
  }
}
