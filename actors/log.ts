import { hexToBytes } from '@noble/hashes/utils.js';
import { hashesOf } from '../events/proof.ts';
import type { ColdHistory } from './cold-history.ts';
import { type Segment, timeOf } from './segment.ts';

/** An event as the log gives it back: its place and its canonical text, hash included. */
export interface StoredEvent {
  readonly version: number;
  readonly text: string;
}

/** The tables that say what a stream consists of. */
interface Tables {
  /** Whether anything was ever written. While false, no other table exists either. */
  readonly events: boolean;
  /** Whether anything was ever moved. */
  readonly segments: boolean;
}

/** Which of its tables an object has. A stream that was never written has none, so that a wrong id writes nothing. */
export function tablesOf(sql: SqlStorage): Tables {
  const names = sql
    .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('events', 'segments')")
    .toArray()
    .map(({ name }) => name);
  return { events: names.includes('events'), segments: names.includes('segments') };
}

/**
 * The append-only log of one object, in its own SQLite and, for what is old, in segments (`cold-history.ts`): whoever
 * reads it does not see where one ends and the other begins. A row is a version and the event's canonical text: the
 * bytes that were hashed are the bytes that are kept and served, so there is no second copy to disagree with. `type` and
 * `time` are virtual columns, for whoever reads the file with SQL; they take no space and no write.
 *
 * Reads that may come to what is cold have to be made by `ColdHistory.reading`.
 */
export class EventLog {
  readonly #sql: SqlStorage;
  readonly #cold: ColdHistory;
  #exists: boolean;

  constructor(sql: SqlStorage, exists: boolean, cold: ColdHistory) {
    this.#sql = sql;
    this.#cold = cold;
    this.#exists = exists;
  }

  /** Whether anything was ever written. While false, no other table exists either. */
  get exists(): boolean {
    return this.#exists;
  }

  /** Creates the tables of an object; called once, in the turn of its first append. */
  create(): void {
    this.#sql.exec(`
      CREATE TABLE events (
        version INTEGER PRIMARY KEY,
        event TEXT NOT NULL,
        type TEXT GENERATED ALWAYS AS (event ->> '$.type') VIRTUAL,
        time TEXT GENERATED ALWAYS AS (event ->> '$.time') VIRTUAL
      );
      CREATE TABLE snapshots (version INTEGER PRIMARY KEY, state_schema INTEGER NOT NULL, state TEXT NOT NULL);
      CREATE TABLE answers (
        key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
        expires_at INTEGER NOT NULL
      ) WITHOUT ROWID;
      CREATE TABLE cursors (id INTEGER PRIMARY KEY CHECK (id = 1), cursors TEXT NOT NULL);
    `);
    this.#exists = true;
  }

  /** Writes one row. The primary key refuses a version that is taken. */
  append(version: number, text: string): void {
    this.#sql.exec('INSERT INTO events (version, event) VALUES (?, ?)', version, text);
  }

  /** The newest event, null when there is none; it is never cold. */
  last(): StoredEvent | null {
    const query = 'SELECT version, event FROM events ORDER BY version DESC LIMIT 1';
    return this.#page(query, [], 1)[0] ?? null;
  }

  /** The first event of all, null when it is cold or there is none. */
  firstIfHot(): StoredEvent | null {
    return this.#page('SELECT version, event FROM events WHERE version = 1', [], 1)[0] ?? null;
  }

  /**
   * Events after `after`, oldest first.
   *
   * @param limit how many at most
   * @param maxChars stops after the event that reaches so many characters: a page of events is bounded in memory too
   */
  read(after: number, limit: number, maxChars = Number.POSITIVE_INFINITY): StoredEvent[] {
    const page: StoredEvent[] = [];
    let chars = 0;
    let reached = after;
    while (reached < this.#cold.last && page.length < limit && chars < maxChars) {
      const segment = this.#cold.segmentOf(reached + 1);
      for (const event of eventsOf(segment, reached + 1 - segment.first)) {
        page.push(event);
        chars += event.text.length;
        reached = event.version;
        if (page.length >= limit || chars >= maxChars) break;
      }
    }
    if (page.length >= limit || chars >= maxChars) return page;
    const query = 'SELECT version, event FROM events WHERE version > ? ORDER BY version LIMIT ?';
    const hot = this.#page(query, [reached, limit - page.length], maxChars - chars);
    const [next] = hot;
    // A segment that nobody knows of any more is a hole between what is cold and what is not.
    if (this.#cold.isInUse && next && next.version > reached + 1) {
      throw this.#cold.unknown(reached + 1, next.version - 1);
    }
    return [...page, ...hot];
  }

  /**
   * Events before `before` down to the one after `after`, newest first; `limit` and `maxChars` as for `read`.
   *
   * @returns with the characters that were in memory for it: of the events, and for cold ones all that is in their
   * segment, counted where they come to its end
   */
  readBack(
    before: number,
    after: number,
    limit: number,
    maxChars: number,
  ): { readonly page: readonly StoredEvent[]; readonly heldChars: number } {
    const query = 'SELECT version, event FROM events WHERE version < ? AND version > ? ORDER BY version DESC LIMIT ?';
    const page = this.#page(query, [before, after, limit], maxChars);
    let chars = page.reduce((sum, { text }) => sum + text.length, 0);
    let heldChars = chars;
    let reached = page.at(-1)?.version ?? before;
    const isCut = this.#cold.isInUse && page.length < limit && chars < maxChars;
    if (isCut && reached - 1 > Math.max(after, this.#cold.last))
      throw this.#cold.unknown(this.#cold.last + 1, reached - 1);
    while (reached - 1 > after && page.length < limit && chars < maxChars) {
      const segment = this.#cold.segmentOf(reached - 1);
      if (reached - 1 === segment.last) heldChars += segment.chars;
      for (const event of eventsOf(segment, 0, reached - segment.first).reverse()) {
        if (event.version <= after || page.length >= limit || chars >= maxChars) break;
        page.push(event);
        chars += event.text.length;
        reached = event.version;
      }
    }
    return { page, heldChars };
  }

  /** Events that are not cold. Characters of those from `first` to `last`, and how many there are. */
  hotSize(first: number, last: number): { readonly events: number; readonly chars: number } {
    const query =
      'SELECT count(*) AS events, coalesce(sum(length(event)), 0) AS chars FROM events WHERE version BETWEEN ? AND ?';
    return this.#sql.exec<{ events: number; chars: number }>(query, first, last).one();
  }

  /** The time of an event that is not cold (ISO 8601), null when there is none such. */
  hotTime(version: number): string | null {
    const query = 'SELECT time FROM events WHERE version = ?';
    return this.#sql.exec<{ time: string }>(query, version).toArray()[0]?.time ?? null;
  }

  /** Takes events out that are cold now. */
  drop(first: number, last: number): void {
    this.#sql.exec('DELETE FROM events WHERE version BETWEEN ? AND ?', first, last);
  }

  /** The hashes of the events after `from` up to `to`, as they stand in the events. */
  leafHashes(from: number, to: number): Uint8Array[] {
    const hashes: Uint8Array[] = [];
    while (from + hashes.length < Math.min(to, this.#cold.last)) {
      const reached = from + hashes.length;
      const { first, leafHashes } = this.#cold.segmentOf(reached + 1);
      hashes.push(...hashesOf(leafHashes).slice(reached + 1 - first, to + 1 - first));
    }
    if (from + hashes.length >= to) return hashes;
    const query =
      "SELECT event ->> '$.leafHash' AS hash FROM events WHERE version > ? AND version <= ? ORDER BY version";
    const hot = this.#sql.exec<{ hash: string }>(query, from + hashes.length, to).toArray();
    return [...hashes, ...hot.map(({ hash }) => hexToBytes(hash))];
  }

  /** Characters of the events after `after` that are not cold, with `overhead` characters added to each. */
  charsAfter(after: number, overhead: number): number {
    const row = this.#sql
      .exec<{ chars: number }>(
        'SELECT coalesce(sum(length(event) + ?), 0) AS chars FROM events WHERE version > ?',
        overhead,
        after,
      )
      .one();
    return row.chars;
  }

  /** The last version whose event is not later than `time` (ISO 8601), 0 when there is none. Reads O(log n) rows. */
  versionAt(time: string, lastVersion: number): number {
    const segment = this.#cold.firstEndingAfter(time);
    if (segment) {
      const later = segment.texts.findIndex((text) => timeOf(text) > time);
      return segment.first + later - 1;
    }
    let [low, high] = [this.#cold.last, lastVersion];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const row = this.#sql.exec<{ time: string }>('SELECT time FROM events WHERE version = ?', middle).one();
      if (row.time <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #page(query: string, bindings: readonly number[], maxChars: number): StoredEvent[] {
    if (!this.#exists) return [];
    const page: StoredEvent[] = [];
    let chars = 0;
    for (const { version, event } of this.#sql.exec<{ version: number; event: string }>(query, ...bindings)) {
      page.push({ version, text: event });
      chars += event.length;
      if (chars >= maxChars) break;
    }
    return page;
  }
}

/** Events of a segment from one place in it to before another. */
function eventsOf({ first, texts }: Segment, from: number, to = texts.length): StoredEvent[] {
  return texts.slice(from, to).map((text, index) => ({ version: first + from + index, text }));
}
