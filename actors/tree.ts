import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { type Fault, isFault } from '../events/fault.ts';
import { appendLeaf, type Frontier, frontierRoot, HASH_BYTES } from '../events/merkle.ts';
import {
  consistencyProof,
  frontierAt,
  hashesAtLevel,
  inclusionProof,
  rootAt,
  TILE_WIDTH,
  type TileName,
  tileOf,
} from '../events/proof.ts';
import { growTiles } from '../events/tiles.ts';
import type { EventLog } from './log.ts';

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
 * and a tree can never say anything else than its events do.
 */
export class StreamTree {
  readonly #sql: SqlStorage;
  readonly #log: EventLog;
  /** The present tree; null until somebody asks for its root. */
  #frontier: Frontier | null = null;
  /** The head that was last asked for: every reader of the present asks for the same. */
  #head: Head | null = null;
  #hasTable = false;

  constructor(sql: SqlStorage, log: EventLog) {
    this.#sql = sql;
    this.#log = log;
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
      const leaves = this.#leafHashes(first, first + TILE_WIDTH);
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

  #reader(size: number): (tile: TileName) => Uint8Array | null {
    this.completeTiles(size);
    return (tile) => this.#read(tile);
  }

  /** A tile that is full comes from its row, as does what is there of one that is not; level 0 comes from the log then. */
  #read({ level, index, width }: TileName): Uint8Array | null {
    const [row] = this.#sql
      .exec<{ hashes: ArrayBuffer }>('SELECT hashes FROM tiles WHERE level = ? AND idx = ?', level, index)
      .toArray();
    if (row && row.hashes.byteLength >= width * HASH_BYTES) return new Uint8Array(row.hashes);
    if (level > 0) return null;
    const first = index * TILE_WIDTH;
    return tileOf(this.#leafHashes(first, first + width));
  }

  /** How many tiles of level 0 are kept; the table is made when the first is asked for. */
  #fullTiles(): number {
    if (!this.#hasTable) {
      this.#sql.exec(
        'CREATE TABLE IF NOT EXISTS tiles (level INTEGER, idx INTEGER, hashes BLOB NOT NULL, PRIMARY KEY (level, idx)) WITHOUT ROWID',
      );
      this.#hasTable = true;
    }
    const query = 'SELECT coalesce(max(idx) + 1, 0) AS full FROM tiles WHERE level = 0';
    return this.#sql.exec<{ full: number }>(query).one().full;
  }

  /** The leaf hashes of the events after `from` up to `to`, as they stand in the log. */
  #leafHashes(from: number, to: number): Uint8Array[] {
    return this.#log.leafHashes(from, to).map(hexToBytes);
  }
}

/** What the tree's own tiles give; one that is missing is a fault of ours. */
function unfaulted<Value extends object>(value: Value | Fault): Value {
  if (isFault(value)) throw new Error(`The tree of a stream is not whole: ${value.fault}`);
  return value;
}
