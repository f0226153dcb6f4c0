import type { SegmentRow } from './segment.ts';

/** How much of a stream has been moved. */
export interface ColdTotals {
  readonly segments: number;
  readonly events: number;
  /** Bytes of its files. */
  readonly bytes: number;
}

/** Events in a segment that cannot be read, and why. */
interface DamagedSegment {
  readonly first: number;
  readonly last: number;
  readonly fault: string;
}

/** What an object keeps of the segments that its events were moved to: where each is, and what was found wrong with it. */
export class SegmentTable {
  readonly #sql: SqlStorage;
  #isInUse: boolean;
  #last: number | null;

  /** @param exists whether anything was ever moved; the table is made with the first segment */
  constructor(sql: SqlStorage, exists: boolean) {
    this.#sql = sql;
    this.#isInUse = exists;
    this.#last = exists ? null : 0;
  }

  /** Whether anything was ever moved. */
  get isInUse(): boolean {
    return this.#isInUse;
  }

  /** The version of the last event that was moved, 0 when none was. */
  get last(): number {
    this.#last ??= this.#sql.exec<{ last: number }>('SELECT coalesce(max(last), 0) AS last FROM segments').one().last;
    return this.#last;
  }

  /** How much was moved. */
  totals(): ColdTotals {
    if (!this.#isInUse) return { segments: 0, events: 0, bytes: 0 };
    const query =
      'SELECT count(*) AS segments, coalesce(sum(last - first + 1), 0) AS events, coalesce(sum(file_bytes), 0) AS bytes FROM segments';
    return this.#sql.exec<{ segments: number; events: number; bytes: number }>(query).one();
  }

  /** The segment that holds an event, null when none is known to. @param version at most `last` */
  holding(version: number): SegmentRow | null {
    const [row] = this.#sql
      .exec<{ [Column in keyof SegmentRow]: SegmentRow[Column] }>(
        `SELECT first, last, sha256, root, bytes, file_bytes AS fileBytes, ends_at AS endsAt
         FROM segments WHERE first <= ? ORDER BY first DESC LIMIT 1`,
        version,
      )
      .toArray();
    return row && row.last >= version ? row : null;
  }

  /** The first version of the first segment that ends later than `time` (ISO 8601), null when there is none. */
  firstEndingAfter(time: string): number | null {
    return this.#firstWhere('ends_at > ?', time);
  }

  /** The first version of the first damaged segment with events behind `after` and up to `last`, null when there is none. */
  firstDamaged(after: number, last: number): number | null {
    return this.#firstWhere('fault IS NOT NULL AND last > ? AND first <= ?', after, last);
  }

  #firstWhere(condition: string, ...values: readonly (string | number)[]): number | null {
    if (!this.#isInUse) return null;
    const query = `SELECT first FROM segments WHERE ${condition} ORDER BY first LIMIT 1`;
    const [row] = this.#sql.exec<{ first: number }>(query, ...values).toArray();
    return row?.first ?? null;
  }

  /** Notes a segment that was moved; in the transaction that takes its events out of the object. */
  add({ first, last, sha256, root, bytes, fileBytes, endsAt }: SegmentRow): void {
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS segments (
        first INTEGER PRIMARY KEY, last INTEGER NOT NULL, sha256 TEXT NOT NULL, root TEXT NOT NULL,
        bytes INTEGER NOT NULL, file_bytes INTEGER NOT NULL, ends_at TEXT NOT NULL, fault TEXT
      )
    `);
    this.#sql.exec(
      'INSERT INTO segments (first, last, sha256, root, bytes, file_bytes, ends_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
      first,
      last,
      sha256,
      root,
      bytes,
      fileBytes,
      endsAt,
    );
    this.#isInUse = true;
    this.#last = null;
  }

  /** Remembers what is wrong with a segment, or that nothing is any more. @returns whether that is news */
  noteFault(first: number, fault: string | null): boolean {
    const query = 'UPDATE segments SET fault = ? WHERE first = ? AND fault IS NOT ?';
    return this.#sql.exec(query, fault, first, fault).rowsWritten > 0;
  }

  /** The first segment that something was found wrong with, null when there is none. Something was moved. */
  damaged(): DamagedSegment | null {
    const query = 'SELECT first, last, fault FROM segments WHERE fault IS NOT NULL ORDER BY first LIMIT 1';
    const [row] = this.#sql.exec<{ first: number; last: number; fault: string }>(query).toArray();
    return row ?? null;
  }
}
