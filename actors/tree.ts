import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { type Fault, isFault } from '../events/fault.ts';
import { appendLeaf, type Frontier, frontierRoot, HASH_BYTES } from '../events/merkle.ts';
import {
  consistencyProof,
  frontierAt,
  hashesAtLevel,
  hashesOf,
  inclusionProof,
  perfectRoot,
  rootAt,
  TILE_WIDTH,
  type TileName,
  tileOf,
} from '../events/proof.ts';
import { growTiles } from '../events/tiles.ts';
import type { ColdHistory } from './cold-history.ts';
import type { EventLog } from './log.ts';
import { BrokenTree } from './unreadable-history.ts';

/** The size of a stream's tree and its root, 64 hexadecimal digits. */
export interface Head {
  readonly size: number;
  readonly root: string;
}

/** What proves something about a tree: its head, and hashes from the leaf's side to the root's, in hexadecimal digits. */
export interface Proof extends Head {
  readonly proof: readonly string[];
}

/**
 * The Merkle tree over the events of one stream (RFC 9162). Its leaves are the events themselves, whose hashes stand in
 * the log; beside it only rows of 256 hashes are kept ("tiles"), written with every 256th event, two rows for 256
 * events. So any proof of any past size reads O(log n) tiles and at most one page of the log, an append costs one hash,
 * and a tree can never say anything else than its events do. When events are moved into a segment, the tiles of level 0
 * over them go along; those above stay, and say what the segment's root must be.
 */
export class StreamTree {
  readonly #sql: SqlStorage;
  readonly #log: EventLog;
  readonly #cold: ColdHistory;
  /** The present tree; null until somebody asks for its root. */
  #frontier: Frontier | null = null;
  /** The head that was last asked for: every reader of the present asks for the same. */
  #head: Head | null = null;
  #hasTable = false;

  constructor(sql: SqlStorage, log: EventLog, cold: ColdHistory) {
    this.#sql = sql;
    this.#log = log;
    this.#cold = cold;
  }

  /** Whether appending `count` events after `from` writes rows here. */
  completesTile(from: number, count: number): boolean {
    return hashesAtLevel(1, from + count) > hashesAtLevel(1, from);
  }

  /** Writes the tiles that are full below `size` and not there yet: in a log from before there were any, all of them. */
  completeTiles(size: number): void {
    const full = this.#fullTiles();
    for (let index = full; index < hashesAtLevel(1, size); index++) {
      const first = index * TILE_WIDTH;
      const leaves = this.#log.leafHashes(first, first + TILE_WIDTH);
      for (const { level, index: at, hashes } of unfaulted(growTiles(first, leaves, (tile) => this.#read(tile)))) {
        this.#sql.exec('INSERT OR REPLACE INTO tiles (level, idx, hashes) VALUES (?, ?, ?)', level, at, hashes);
      }
    }
  }

  /** Goes along with an append that has been made. @param leafHashes of the events after `from`, in hexadecimal digits */
  appended(from: number, leafHashes: readonly string[]): void {
    if (this.#frontier?.size !== from) return;
    for (const hash of leafHashes) this.#frontier = appendLeaf(this.#frontier, hexToBytes(hash));
  }

  /** The head of the tree of all events. @param size how many there are */
  head(size: number): Head {
    if (this.#head?.size === size) return this.#head;
    if (this.#frontier?.size !== size) this.#frontier = unfaulted(frontierAt(size, this.#reader(size)));
    this.#head = { size, root: bytesToHex(frontierRoot(this.#frontier)) };
    return this.#head;
  }

  /** The head that the tree had when it had `size` leaves. */
  headAt(size: number): Head {
    return { size, root: bytesToHex(unfaulted(rootAt(size, this.#reader(size)))) };
  }

  /** Proves that the event of this version is in the tree of `size` events. Both from 1, version ≤ size. */
  inclusion(version: number, size: number): Proof {
    const proof = unfaulted(inclusionProof(version - 1, size, this.#reader(size)));
    return { ...this.headAt(size), proof: proof.map(bytesToHex) };
  }

  /** Proves that the tree of `to` events begins with that of `from` events. From 1, from ≤ to. */
  consistency(from: number, to: number): Proof {
    const proof = unfaulted(consistencyProof(from, to, this.#reader(to)));
    return { ...this.headAt(to), proof: proof.map(bytesToHex) };
  }

  /** The root of the perfect subtree over these events, in hexadecimal digits, from the tiles that are kept. */
  rootOf(first: number, last: number): string {
    const [from, size] = [first - 1, last - first + 1];
    const level = size < TILE_WIDTH ? 0 : 1;
    const [at, width] = [from / TILE_WIDTH ** level, size / TILE_WIDTH ** level];
    const index = Math.floor(at / TILE_WIDTH);
    const offset = at % TILE_WIDTH;
    const tile = this.#row(level, index, offset + width);
    if (!tile) throw new BrokenTree(`the tree is not whole: tile ${index} of level ${level} is missing`);
    return bytesToHex(perfectRoot(hashesOf(tile).slice(offset, offset + width)));
  }

  /** Forgets the tiles of level 0 whose hashes are in a segment. One of fewer events than a tile leaves the tile here. */
  drop(first: number, last: number): void {
    if (last - first + 1 < TILE_WIDTH) return;
    const tile = (version: number) => Math.floor(version / TILE_WIDTH);
    this.#sql.exec('DELETE FROM tiles WHERE level = 0 AND idx >= ? AND idx < ?', tile(first - 1), tile(last));
  }

  #reader(size: number): (tile: TileName) => Uint8Array | null {
    this.completeTiles(size);
    return (tile) => this.#read(tile);
  }

  /** A tile that is full comes from its row, as does what is there of one that is not; level 0 comes from the log then. */
  #read({ level, index, width }: TileName): Uint8Array | null {
    const row = this.#row(level, index, width);
    if (row || level > 0) return row;
    const first = index * TILE_WIDTH;
    return tileOf(this.#log.leafHashes(first, first + width));
  }

  /** The tile as it is kept, null unless it has so many hashes. */
  #row(level: number, index: number, width: number): Uint8Array | null {
    const [row] = this.#sql
      .exec<{ hashes: ArrayBuffer }>('SELECT hashes FROM tiles WHERE level = ? AND idx = ?', level, index)
      .toArray();
    return row && row.hashes.byteLength >= width * HASH_BYTES ? new Uint8Array(row.hashes) : null;
  }

  /** How many tiles of level 0 are full, kept here or in segments; the table is made when the first is asked for. */
  #fullTiles(): number {
    if (!this.#hasTable) {
      this.#sql.exec(
        'CREATE TABLE IF NOT EXISTS tiles (level INTEGER, idx INTEGER, hashes BLOB NOT NULL, PRIMARY KEY (level, idx)) WITHOUT ROWID',
      );
      this.#hasTable = true;
    }
    const query = 'SELECT coalesce(max(idx) + 1, 0) AS full FROM tiles WHERE level = 0';
    const { full } = this.#sql.exec<{ full: number }>(query).one();
    return Math.max(full, Math.floor(this.#cold.last / TILE_WIDTH));
  }
}

/** What the tree's own tiles give; one that is missing is a fault of ours. */
function unfaulted<Value extends object>(value: Value | Fault): Value {
  if (isFault(value)) throw new BrokenTree(`the tree is not whole: ${value.fault}`);
  return value;
}
