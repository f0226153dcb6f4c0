/** Made when the first is noted: most actors never watch anything. */
const CREATE_TABLE = 'CREATE TABLE IF NOT EXISTS watching (context TEXT PRIMARY KEY) WITHOUT ROWID';

/** Made when there is the first word that does not reach all of them at once. */
const CREATE_ANNOUNCEMENT =
  'CREATE TABLE IF NOT EXISTS announcement (id INTEGER PRIMARY KEY CHECK (id = 1), announcement TEXT NOT NULL)';

/** Word that credentials have ended, on its way through the contexts. */
export interface Announcement {
  /** The versions of the events that it is about. */
  readonly first: number;
  readonly last: number;
  /** The context that was told last, in the order of their ids; empty before the first. */
  readonly context: string;
  /** Those up to there that could not be told. */
  readonly untold: readonly string[];
}

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

  /** What has not reached all of them yet; null when nothing is on its way. */
  get announcement(): Announcement | null {
    this.#sql.exec(CREATE_ANNOUNCEMENT);
    const [row] = this.#sql.exec<{ announcement: string }>('SELECT announcement FROM announcement').toArray();
    return row ? JSON.parse(row.announcement) : null;
  }

  /** Keeps how far it came, over the end of the object too; null when it has reached all. */
  set announcement(announcement: Announcement | null) {
    this.#sql.exec(CREATE_ANNOUNCEMENT);
    if (announcement === null) this.#sql.exec('DELETE FROM announcement');
    else {
      const text = JSON.stringify(announcement);
      this.#sql.exec('INSERT OR REPLACE INTO announcement (id, announcement) VALUES (1, ?)', text);
    }
  }
}
