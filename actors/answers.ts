/** How long an answer is remembered for its Idempotency-Key: a day is promised, an hour more covers clock skew. */
export const ANSWER_TTL_MS = 25 * 60 * 60 * 1000;

/** Stands in the place of a fingerprint that was forgotten: it is that of any request. */
export const ANY_REQUEST = '0'.repeat(64);

/** A command's answer, as it was given the first time. */
export interface Answer {
  /** Tells this command from another with the same key. */
  readonly fingerprint: string;
  readonly version: number;
  readonly body: string;
}

/** The answers given to commands that carried an Idempotency-Key; one row each, pruned when they expire. */
export class Answers {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** The answer that `key` got, while it is remembered. */
  get(key: string, now: number): Answer | null {
    const [row] = this.#sql
      .exec<{ fingerprint: string; version: number; body: string }>(
        'SELECT fingerprint, version, body FROM answers WHERE key = ? AND expires_at > ?',
        key,
        now,
      )
      .toArray();
    return row ?? null;
  }

  /**
   * Forgets what the requests were, and no answer: a fingerprint is a hash of what somebody wrote, by which a guess at it
   * could be checked. Whoever sends a key again is given its answer then, whatever else is in the request.
   */
  forgetRequests(): void {
    this.#sql.exec('UPDATE answers SET fingerprint = ?', ANY_REQUEST);
  }

  /** Remembers an answer until `expiresAt` (milliseconds since 1970). Writes one row. */
  put(key: string, answer: Answer, expiresAt: number): void {
    this.#sql.exec(
      'INSERT OR REPLACE INTO answers (key, fingerprint, version, body, expires_at) VALUES (?, ?, ?, ?, ?)',
      key,
      answer.fingerprint,
      answer.version,
      answer.body,
      expiresAt,
    );
  }

  /** Forgets what has expired. @returns when the next answer expires (milliseconds since 1970), null when none is left */
  prune(now: number): number | null {
    this.#sql.exec('DELETE FROM answers WHERE expires_at <= ?', now);
    const row = this.#sql.exec<{ next: number | null }>('SELECT min(expires_at) AS next FROM answers').one();
    return row.next;
  }
}
