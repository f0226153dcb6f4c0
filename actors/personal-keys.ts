import { newPersonalKey, PERSONAL_KEY_BYTES, type PersonalKey } from '../events/personal-cipher.ts';
import type { KeyWrap } from './key-wrap.ts';

/**
 * How somebody's key stands: kept; gone for good; past, which is gone as well but may be followed by a new one. Words
 * of one length, so that a row keeps its size.
 */
type KeyStatus = 'kept' | 'gone' | 'past';

/** A row, opened as far as it can be. */
interface KnownKey {
  readonly status: KeyStatus;
  /** Null when it is destroyed, or wrapped under a key that is not known here. */
  readonly key: PersonalKey | null;
}

/**
 * The keys of the people whose words one stream holds, in the database of its object: a row for each. A key that is
 * destroyed is overwritten where it stands, in a row that keeps its size, and not just deleted: SQLite leaves the bytes
 * of deleted rows in their page.
 */
export class PersonalKeys {
  readonly #sql: SqlStorage;
  readonly #wrap: KeyWrap;
  readonly #known = new Map<string, KnownKey>();
  /** Made, and not stored yet. */
  #made = new Map<string, PersonalKey>();

  /** @param isWritten whether the object's database may hold anything */
  constructor(sql: SqlStorage, isWritten: boolean, wrap: KeyWrap) {
    this.#sql = sql;
    this.#wrap = wrap;
    if (!isWritten) return;
    const tables = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'personal_keys'").toArray();
    if (tables.length > 0) this.#load();
  }

  /** Whether there never was a key. */
  get isEmpty(): boolean {
    return this.#known.size === 0 && this.#made.size === 0;
  }

  /** Whether keys wait to be stored. */
  get hasMade(): boolean {
    return this.#made.size > 0;
  }

  /** Those whose words can be read, and those whose key is locked. */
  get subjects(): readonly string[] {
    return [...this.#known].filter(([, { status }]) => status === 'kept').map(([subject]) => subject);
  }

  /** How somebody's key stands; `none` when there is none, or a new one may follow the last. */
  standing(subject: string): 'kept' | 'locked' | 'gone' | 'none' {
    const known = this.#known.get(subject);
    if (known === undefined || known.status === 'past') return this.#made.has(subject) ? 'kept' : 'none';
    if (known.status === 'gone') return 'gone';
    return known.key === null ? 'locked' : 'kept';
  }

  /** Somebody's key, when it can be used. */
  get(subject: string): PersonalKey | null {
    return this.#made.get(subject) ?? this.#known.get(subject)?.key ?? null;
  }

  /** Makes a key for somebody who has none. It counts when it is stored. */
  make(subject: string): PersonalKey {
    const key = newPersonalKey();
    this.#made.set(subject, key);
    return key;
  }

  /** Forgets the keys that were made and not stored. */
  discard(): void {
    this.#made = new Map();
  }

  /** Stores the keys that were made; in the transaction of the words that they seal. */
  store(): void {
    for (const [subject, key] of this.#made) this.#put(subject, key.id, this.#wrap.wrap(key.bytes, subject), 'kept');
  }

  /** What was stored is kept; called when the transaction is through. */
  stored(): void {
    for (const [subject, key] of this.#made) this.#known.set(subject, { status: 'kept', key });
    this.discard();
  }

  /** Destroys somebody's key; in the transaction of the event that says so. @param isForGood whether no other may follow */
  destroy(subject: string, isForGood: boolean): void {
    const status = isForGood ? 'gone' : 'past';
    this.#createTable();
    const [row] = this.#sql
      .exec<{ wrapped: string }>('SELECT wrapped FROM personal_keys WHERE subject = ?', subject)
      .toArray();
    if (row === undefined) this.#put(subject, '', '', status);
    else {
      const nothing = '0'.repeat(row.wrapped.length);
      this.#sql.exec('UPDATE personal_keys SET wrapped = ?, status = ? WHERE subject = ?', nothing, status, subject);
    }
    this.#known.set(subject, { status, key: null });
    this.#made.delete(subject);
  }

  #load(): void {
    type Row = { subject: string; key_id: string; wrapped: string; status: KeyStatus };
    const rows = this.#sql.exec<Row>('SELECT subject, key_id, wrapped, status FROM personal_keys').toArray();
    for (const { subject, key_id: id, wrapped, status } of rows) {
      const bytes = status === 'kept' ? this.#wrap.unwrap(wrapped, subject) : null;
      const key = bytes?.length === PERSONAL_KEY_BYTES ? { id, bytes } : null;
      this.#known.set(subject, { status, key });
      if (key !== null && !this.#wrap.isCurrent(wrapped)) {
        this.#put(subject, id, this.#wrap.wrap(key.bytes, subject), status);
      }
    }
  }

  #put(subject: string, id: string, wrapped: string, status: KeyStatus): void {
    this.#createTable();
    this.#sql.exec(
      `INSERT INTO personal_keys (subject, key_id, wrapped, status) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (subject) DO UPDATE SET key_id = ?2, wrapped = ?3, status = ?4`,
      subject,
      id,
      wrapped,
      status,
    );
  }

  /** Made when the first is: most streams hold nobody's words. */
  #createTable(): void {
    // With rowids: only a row of such a table is overwritten where it stands.
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS personal_keys (
      id INTEGER PRIMARY KEY, subject TEXT NOT NULL UNIQUE, key_id TEXT NOT NULL, wrapped TEXT NOT NULL,
      status TEXT NOT NULL
    )`);
  }
}
