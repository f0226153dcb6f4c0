import type { AttemptResult, Outcome } from './webhook-outcome.ts';

/** Attempts that are kept: a new one takes the row of the oldest. */
const KEPT = 200;

/** Why something was sent. */
export type AttemptCause = 'event' | 'replay' | 'test';

/** An attempt at sending something. The JSON that clients see. */
export type Attempt = {
  /** What the receiver knows it by (`webhook-id`). */
  readonly message: string;
  readonly cause: AttemptCause;
  /** What was sent: the type of the event, its stream and its version there; null for a ping. */
  readonly type: string;
  readonly stream: string | null;
  readonly version: number | null;
  /** 1 for the first time. */
  readonly attempt: number;
  /** When it began. */
  readonly time: string;
  readonly outcome: Outcome;
  readonly status: number | null;
  readonly durationMs: number;
  readonly error: string | null;
  readonly response: string | null;
};

/** What is sent, for the record. */
export type AttemptSubject = Pick<Attempt, 'message' | 'cause' | 'type' | 'stream' | 'version' | 'attempt' | 'time'>;

/** The last attempts of a webhook, beside its log. */
export class Attempts {
  readonly #sql: SqlStorage;
  /** The number of the last one; null until it was looked up. */
  #last: number | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Keeps one. */
  note(subject: AttemptSubject, { retryAfterMs: _retry, ...result }: AttemptResult): Attempt {
    const attempt: Attempt = { ...subject, ...result };
    this.#last = this.#lastNumber() + 1;
    this.#sql.exec(
      'INSERT OR REPLACE INTO webhook_attempts (slot, number, attempt) VALUES (?, ?, ?)',
      this.#last % KEPT,
      this.#last,
      JSON.stringify(attempt),
    );
    return attempt;
  }

  /** The last ones, newest first. */
  list(limit: number): Attempt[] {
    this.#lastNumber();
    return this.#sql
      .exec<{ attempt: string }>('SELECT attempt FROM webhook_attempts ORDER BY number DESC LIMIT ?', limit)
      .toArray()
      .map((row): Attempt => JSON.parse(row.attempt));
  }

  #lastNumber(): number {
    if (this.#last === null) {
      this.#sql.exec(
        'CREATE TABLE IF NOT EXISTS webhook_attempts (slot INTEGER PRIMARY KEY, number INTEGER NOT NULL, attempt TEXT NOT NULL)',
      );
      this.#last = this.#sql.exec<{ n: number | null }>('SELECT max(number) AS n FROM webhook_attempts').one().n ?? 0;
    }
    return this.#last;
  }
}
