/** How far a stream is with an erasure: it holds words; it has none any more; a legal hold keeps it from erasing them. */
export type HolderStatus = 'holds' | 'erased' | 'held';

/** Made when the first is noted. */
const CREATE_TABLE =
  'CREATE TABLE IF NOT EXISTS word_holders (stream TEXT PRIMARY KEY, status TEXT NOT NULL) WITHOUT ROWID';

/** Streams that are given out at once. */
const PAGE = 500;

/**
 * The streams that hold words of an actor, besides their own: each has made itself known before it took the first. So
 * an erasure finds them all.
 */
export class WordHolders {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Notes a stream, once. */
  note(stream: string): void {
    this.#sql.exec(CREATE_TABLE);
    this.#sql.exec("INSERT OR IGNORE INTO word_holders (stream, status) VALUES (?, 'holds')", stream);
  }

  /** Notes how far a stream is. */
  set(stream: string, status: HolderStatus): void {
    this.#sql.exec('UPDATE word_holders SET status = ? WHERE stream = ?', status, stream);
  }

  /** The streams that have not erased the words, in the order of their names, a page at a time. */
  *pending(): Generator<readonly string[]> {
    this.#sql.exec(CREATE_TABLE);
    for (let after = ''; ; ) {
      const rows = this.#sql
        .exec<{ stream: string }>(
          `SELECT stream FROM word_holders WHERE status <> 'erased' AND stream > ? ORDER BY stream LIMIT ${PAGE}`,
          after,
        )
        .toArray();
      if (rows.length === 0) return;
      yield rows.map(({ stream }) => stream);
      after = rows.at(-1)?.stream ?? after;
    }
  }

  /** How many streams there are, and how many of them are how far. */
  counts(): Readonly<Record<HolderStatus, number>> {
    this.#sql.exec(CREATE_TABLE);
    const rows = this.#sql
      .exec<{ status: HolderStatus; count: number }>(
        'SELECT status, count(*) AS count FROM word_holders GROUP BY status',
      )
      .toArray();
    const count = (status: HolderStatus) => rows.find((row) => row.status === status)?.count ?? 0;
    return { holds: count('holds'), erased: count('erased'), held: count('held') };
  }
}
