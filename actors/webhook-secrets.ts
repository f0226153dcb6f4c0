/** A secret as it is kept: encrypted. */
export interface SealedSecret {
  readonly id: string;
  readonly sealed: string;
}

/** The secrets of a webhook, encrypted and beside its log: an event would keep them for ever, and show them to readers. */
export class SealedSecrets {
  readonly #sql: SqlStorage;
  #isThere = false;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Keeps one; also one that is there, encrypted anew. */
  put({ id, sealed }: SealedSecret): void {
    this.#createTable();
    this.#sql.exec('INSERT OR REPLACE INTO webhook_secrets (id, sealed) VALUES (?, ?)', id, sealed);
  }

  /** Those with these ids, in this order. */
  get(ids: readonly string[]): SealedSecret[] {
    this.#createTable();
    const all = this.#sql.exec<{ id: string; sealed: string }>('SELECT id, sealed FROM webhook_secrets').toArray();
    return ids.flatMap((id) => all.filter((each) => each.id === id));
  }

  /** Forgets all but those with these ids. */
  keepOnly(ids: readonly string[]): void {
    this.#createTable();
    this.#sql.exec('DELETE FROM webhook_secrets WHERE id NOT IN (SELECT value FROM json_each(?))', JSON.stringify(ids));
  }

  #createTable(): void {
    if (this.#isThere) return;
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS webhook_secrets (id TEXT PRIMARY KEY, sealed TEXT NOT NULL) WITHOUT ROWID',
    );
    this.#isThere = true;
  }
}
