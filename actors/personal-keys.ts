import { newPersonalKey, PERSONAL_KEY_BYTES, type PersonalKey } from '../events/personal-cipher.ts';
import type { KeyWrap } from './key-wrap.ts';

/**
 * How somebody's key stands: kept; gone for good; past, which is gone as well but may be followed by a new one. Words
 * of one length, so that a row keeps its size.
 */
type KeyStatus = 'kept' | 'gone' | 'past';

/** What a stream knows of somebody's keys: whether there are some, are none any more for good, or may be some. */
export type Standing = 'kept' | 'gone' | 'none';

/** The keys of one person. There are several when one could not be opened and words had to be sealed all the same. */
interface KnownKeys {
  readonly isGone: boolean;
  /** By id; null for one that was encrypted under a key that is not known here. */
  readonly keys: ReadonlyMap<string, PersonalKey | null>;
}

/** What the first page is filled with, of SQLite's 4,096 bytes: no row with a key fits behind it. */
const FILLER_CHARS = 4_000;

/**
 * The keys of the people whose words one stream holds, in the database of its object: a row for each. A key that is
 * destroyed is overwritten where it stands, in a row that keeps its size, and not just deleted: SQLite leaves the bytes
 * of deleted rows in their page. It leaves the rows of a table's first page there as well when a second is needed and
 * they are copied to it; so the first is full before a key comes. From then on rows are only added behind the last, and
 * none is ever moved.
 */
export class PersonalKeys {
  readonly #sql: SqlStorage;
  readonly #wrap: KeyWrap;
  readonly #known = new Map<string, KnownKeys>();
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

  /** Those for whom there are keys. */
  get subjects(): readonly string[] {
    return [...this.#known.keys()].filter((subject) => this.standing(subject) === 'kept');
  }

  /** How somebody's keys stand. */
  standing(subject: string): Standing {
    const known = this.#known.get(subject);
    if (known?.isGone) return 'gone';
    return this.#made.has(subject) || (known !== undefined && known.keys.size > 0) ? 'kept' : 'none';
  }

  /** Somebody's key to seal with; null when there is none that can be used. */
  get(subject: string): PersonalKey | null {
    const keys = [...(this.#known.get(subject)?.keys.values() ?? [])];
    return this.#made.get(subject) ?? keys.findLast((key) => key !== null) ?? null;
  }

  /** One of somebody's keys; undefined when it is destroyed, null when it cannot be opened. */
  find(subject: string, id: string): PersonalKey | null | undefined {
    const made = this.#made.get(subject);
    return made?.id === id ? made : this.#known.get(subject)?.keys.get(id);
  }

  /** Makes a key for somebody who has none that can be used. It counts when it is stored. */
  make(subject: string): PersonalKey {
    const key = newPersonalKey();
    this.#made.set(subject, key);
    return key;
  }

  /** Forgets the keys that were made and not stored. */
  discard(): void {
    if (this.#made.size > 0) this.#made = new Map();
  }

  /** Stores the keys that were made; in the transaction of the words that they seal. */
  store(): void {
    for (const [subject, key] of this.#made) {
      this.#insert(subject, key.id, this.#wrap.wrap(key.bytes, subject), 'kept');
    }
  }

  /** What was stored is kept; called when the transaction is through. */
  stored(): void {
    for (const [subject, key] of this.#made) {
      const keys = this.#known.get(subject)?.keys ?? [];
      this.#known.set(subject, { isGone: false, keys: new Map([...keys, [key.id, key]]) });
    }
    this.discard();
  }

  /** Destroys somebody's keys; in the transaction of the event that says so. @param isForGood whether no other may follow */
  destroy(subject: string, isForGood: boolean): void {
    const status: KeyStatus = isForGood ? 'gone' : 'past';
    this.#createTable();
    this.#sql.exec(
      `UPDATE personal_keys SET wrapped = replace(hex(zeroblob(length(wrapped))), '00', '0'), status = ?
       WHERE subject = ?`,
      status,
      subject,
    );
    // Also for those of whom there is nothing: what is gone is told by a row.
    if (isForGood) this.#insert(subject, '', '', status);
    this.#known.set(subject, { isGone: isForGood, keys: new Map() });
    this.#made.delete(subject);
  }

  #load(): void {
    type Row = { subject: string; key_id: string; wrapped: string; status: KeyStatus };
    const rows = this.#sql
      .exec<Row>("SELECT subject, key_id, wrapped, status FROM personal_keys WHERE subject <> '' ORDER BY id")
      .toArray();
    for (const { subject, key_id: id, wrapped, status } of rows) {
      const { isGone = false, keys = new Map() } = this.#known.get(subject) ?? {};
      const entries: [string, PersonalKey | null][] = status === 'kept' ? [[id, this.#open(subject, id, wrapped)]] : [];
      this.#known.set(subject, { isGone: isGone || status === 'gone', keys: new Map([...keys, ...entries]) });
    }
  }

  /** Opens a key, and wraps it anew when that is not as new ones are. */
  #open(subject: string, id: string, wrapped: string): PersonalKey | null {
    const bytes = this.#wrap.unwrap(wrapped, subject);
    if (bytes?.length !== PERSONAL_KEY_BYTES) return null;
    if (!this.#wrap.isCurrent(wrapped)) {
      const anew = this.#wrap.wrap(bytes, subject);
      this.#sql.exec('UPDATE personal_keys SET wrapped = ? WHERE subject = ? AND key_id = ?', anew, subject, id);
    }
    return { id, bytes };
  }

  #insert(subject: string, id: string, wrapped: string, status: KeyStatus): void {
    this.#createTable();
    this.#sql.exec(
      'INSERT OR IGNORE INTO personal_keys (subject, key_id, wrapped, status) VALUES (?, ?, ?, ?)',
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
      id INTEGER PRIMARY KEY, subject TEXT NOT NULL, key_id TEXT NOT NULL, wrapped TEXT NOT NULL, status TEXT NOT NULL,
      UNIQUE (subject, key_id)
    )`);
    this.#sql.exec(
      "INSERT INTO personal_keys SELECT 1, '', '', printf('%.*c', ?, '-'), 'past' WHERE NOT EXISTS (SELECT 1 FROM personal_keys)",
      FILLER_CHARS,
    );
  }
}
