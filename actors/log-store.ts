import { concatBytes } from '@noble/hashes/utils.js';
import type { TreeHead } from '../events/checkpoint.ts';
import { type Fault, isFault } from '../events/fault.ts';
import { appendLeaf, type Frontier, frontierRoot, HASH_BYTES, leafHashOf } from '../events/merkle.ts';
import { consistencyProof, frontierAt, inclusionProof, TILE_WIDTH, type Tile, type TileName } from '../events/proof.ts';
import { changedTiles, encodeEntries, growTiles } from '../events/tiles.ts';

/** Entries under one tile of level 0, encoded as they are published. */
interface Bundle {
  readonly index: number;
  readonly width: number;
  readonly entries: Uint8Array;
}

/** A log that is about to be longer: nothing of it is written yet. */
export interface Growth extends TreeHead {
  /** How long it was before. */
  readonly from: number;
  readonly frontier: Frontier;
  readonly tiles: readonly Tile[];
  readonly bundles: readonly Bundle[];
}

/** What has to be out before the newest checkpoint may be: all that a reader of it needs and the one before had not. */
export interface Publication {
  /** How much was out before. */
  readonly from: number;
  readonly size: number;
  readonly tiles: readonly Tile[];
  readonly bundles: readonly Bundle[];
}

/** What the world knows of the log. */
export interface Published {
  readonly size: number;
  /** The checkpoint as the log signed it. */
  readonly note: string;
  /** The lines of signatures by witnesses. */
  readonly cosignatures: string;
}

/** A key that has signed checkpoints. */
export interface UsedKey {
  /** A verifier key (C2SP signed-note). */
  readonly key: string;
  /** The first checkpoint that it signed (ISO 8601). */
  readonly since: string;
}

/** The one row that says how far the log has come. `note` is of `size`; what is published may be the one before. */
type Row = {
  readonly origin: string;
  readonly size: number;
  readonly note: string;
  readonly published: number;
  readonly published_note: string;
  readonly cosignatures: string;
};

/**
 * The log of logs in its object's SQLite: all its hashes in tiles, the entries that are not published yet or stand under
 * a tile that is not full, and the checkpoint. A size and the checkpoint that was signed for it are written in one
 * transaction, so there is never another checkpoint of that size.
 */
export class LogStore {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  /** The present tree; read from the tiles when it is first needed. */
  #frontier: Frontier | null = null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS log (
        id INTEGER PRIMARY KEY CHECK (id = 1), origin TEXT NOT NULL, size INTEGER NOT NULL, note TEXT NOT NULL,
        published INTEGER NOT NULL, published_note TEXT NOT NULL, cosignatures TEXT NOT NULL
      );
      CREATE TABLE IF NOT EXISTS tiles (
        level INTEGER, idx INTEGER, hashes BLOB NOT NULL, PRIMARY KEY (level, idx)
      ) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS bundles (idx INTEGER PRIMARY KEY, width INTEGER NOT NULL, entries BLOB NOT NULL);
      CREATE TABLE IF NOT EXISTS filled (path TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, since TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS witnesses (name TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
    `);
  }

  /** The log's name, for ever the one that it began with; null before that. */
  get origin(): string | null {
    return this.#row()?.origin ?? null;
  }

  /** How many entries it has. */
  get size(): number {
    return this.#row()?.size ?? 0;
  }

  /** What is published; null before the first checkpoint is. */
  get published(): Published | null {
    const row = this.#row();
    if (!row || row.published === 0) return null;
    return { size: row.published, note: row.published_note, cosignatures: row.cosignatures };
  }

  /** Every key that ever signed, oldest first. */
  get keys(): UsedKey[] {
    return this.#sql.exec<{ key: string; since: string }>('SELECT key, since FROM keys ORDER BY since, key').toArray();
  }

  /** The log with these entries after those that it has. */
  grow(entries: readonly Uint8Array[]): Growth {
    const from = this.size;
    const leaves = entries.map(leafHashOf);
    const tiles = unfaulted(growTiles(from, leaves, this.#readTile));
    this.#frontier ??= unfaulted(frontierAt(from, this.#readTile));
    const frontier = leaves.reduce(appendLeaf, this.#frontier);
    const bundles = this.#growBundles(from, entries);
    return { from, size: from + entries.length, root: frontierRoot(frontier), frontier, tiles, bundles };
  }

  /**
   * Makes the log longer, and what was signed for it its checkpoint.
   *
   * @param keys those that signed it
   * @throws when it has grown otherwise meanwhile
   */
  commit(
    { from, size, frontier, tiles, bundles }: Growth,
    origin: string,
    note: string,
    keys: readonly string[],
  ): void {
    const since = new Date().toISOString();
    this.#storage.transactionSync(() => {
      if (this.size !== from || (this.origin ?? origin) !== origin) throw new Error('The log has changed meanwhile');
      for (const { level, index, hashes } of tiles) {
        this.#sql.exec('INSERT OR REPLACE INTO tiles (level, idx, hashes) VALUES (?, ?, ?)', level, index, hashes);
      }
      for (const { index, width, entries } of bundles) {
        this.#sql.exec('INSERT OR REPLACE INTO bundles (idx, width, entries) VALUES (?, ?, ?)', index, width, entries);
      }
      for (const key of keys) this.#sql.exec('INSERT OR IGNORE INTO keys (key, since) VALUES (?, ?)', key, since);
      this.#sql.exec(
        `INSERT INTO log (id, origin, size, note, published, published_note, cosignatures) VALUES (1, ?, ?, ?, 0, '', '')
         ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note`,
        origin,
        size,
        note,
      );
    });
    this.#frontier = frontier;
  }

  /** What has to be published; null when everything is. */
  get unpublished(): Publication | null {
    const row = this.#row();
    if (!row || row.published === row.size) return null;
    const names = changedTiles(row.published, row.size);
    const tiles = names.map((name) => ({ ...name, hashes: this.#hashesOf(name) }));
    const bundles = names.filter(({ level }) => level === 0).map(({ index, width }) => this.#bundle(index, width));
    return { from: row.published, size: row.size, tiles, bundles };
  }

  /**
   * Notes that all of it is out: from now on its checkpoint is shown. Entries under full tiles are kept here no more.
   *
   * @param filled the paths of files that are full now and were out before, partially
   * @param now in milliseconds since 1970
   */
  notePublished(size: number, filled: readonly string[], now: number): void {
    this.#storage.transactionSync(() => {
      this.#sql.exec(
        "UPDATE log SET published = size, published_note = note, cosignatures = '' WHERE id = 1 AND size = ?",
        size,
      );
      this.#sql.exec('DELETE FROM bundles WHERE idx < ?', Math.floor(size / TILE_WIDTH));
      for (const path of filled) this.#sql.exec('INSERT OR IGNORE INTO filled (path, at) VALUES (?, ?)', path, now);
    });
  }

  /** Files that were full by then, whose partial ones may be out still; the first `limit`. @param by as `now` above */
  filledBy(by: number, limit: number): string[] {
    const query = 'SELECT path FROM filled WHERE at <= ? ORDER BY at LIMIT ?';
    return this.#sql
      .exec<{ path: string }>(query, by, limit)
      .toArray()
      .map(({ path }) => path);
  }

  /** Notes that nothing partial of these files is out any more. */
  forgetFilled(paths: readonly string[]): void {
    for (const path of paths) this.#sql.exec('DELETE FROM filled WHERE path = ?', path);
  }

  /** Proves that entries are in the tree of that size. */
  inclusion(index: number, size: number): Uint8Array[] {
    return unfaulted(inclusionProof(index, size, this.#readTile));
  }

  /** Proves that the tree of `to` entries begins with that of `from`. */
  consistency(from: number, to: number): Uint8Array[] {
    return unfaulted(consistencyProof(from, to, this.#readTile));
  }

  /** The size of the last checkpoint that a witness has signed, as far as is known here. */
  witnessed(name: string): number {
    const [row] = this.#sql.exec<{ size: number }>('SELECT size FROM witnesses WHERE name = ?', name).toArray();
    return row?.size ?? 0;
  }

  /** Notes how far a witness is. */
  noteWitnessed(name: string, size: number): void {
    this.#sql.exec('INSERT OR REPLACE INTO witnesses (name, size) VALUES (?, ?)', name, size);
  }

  /** Adds the line of a witness's signature to what is published, when that still is the checkpoint it signed. */
  addCosignature(size: number, line: string): void {
    this.#sql.exec(
      'UPDATE log SET cosignatures = cosignatures || ? WHERE id = 1 AND published = ? AND instr(cosignatures, ?) = 0',
      line,
      size,
      line,
    );
  }

  #growBundles(from: number, entries: readonly Uint8Array[]): Bundle[] {
    const bundles: Bundle[] = [];
    for (let at = 0; at < entries.length; ) {
      const index = Math.floor((from + at) / TILE_WIDTH);
      const before = (from + at) % TILE_WIDTH;
      const added = entries.slice(at, at + TILE_WIDTH - before);
      const kept = before === 0 ? new Uint8Array() : this.#bundle(index, before).entries;
      bundles.push({ index, width: before + added.length, entries: concatBytes(kept, encodeEntries(added)) });
      at += added.length;
    }
    return bundles;
  }

  #bundle(index: number, width: number): Bundle {
    const [row] = this.#sql
      .exec<{ width: number; entries: ArrayBuffer }>('SELECT width, entries FROM bundles WHERE idx = ?', index)
      .toArray();
    if (row?.width !== width) throw new Error(`The log has not the ${width} entries under tile ${index}`);
    return { index, width, entries: new Uint8Array(row.entries) };
  }

  #hashesOf(name: TileName): Uint8Array {
    const hashes = this.#readTile(name);
    if (!hashes || hashes.length < name.width * HASH_BYTES) {
      throw new Error(`The log has not tile ${name.index} of level ${name.level}`);
    }
    return hashes.subarray(0, name.width * HASH_BYTES);
  }

  readonly #readTile = ({ level, index }: TileName): Uint8Array | null => {
    const [row] = this.#sql
      .exec<{ hashes: ArrayBuffer }>('SELECT hashes FROM tiles WHERE level = ? AND idx = ?', level, index)
      .toArray();
    return row ? new Uint8Array(row.hashes) : null;
  };

  #row(): Row | undefined {
    return this.#sql.exec<Row>('SELECT * FROM log WHERE id = 1').toArray()[0];
  }
}

/** What the log's own tiles give; one that is missing is a fault of ours. */
function unfaulted<Value extends object>(value: Value | Fault): Value {
  if (isFault(value)) throw new Error(`The log is not whole: ${value.fault}`);
  return value;
}
