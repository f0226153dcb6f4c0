import { DurableObject } from 'cloudflare:workers';
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { headEntry } from '../events/bundle.ts';
import { formatCheckpoint } from '../events/checkpoint.ts';
import { formatNote, type NoteSignature } from '../events/note.ts';
import { hashesAtLevel, TILE_WIDTH, type TileName } from '../events/proof.ts';
import { entriesPath, tilePath } from '../events/tiles.ts';
import { LogStore, type Publication, type UsedKey } from './log-store.ts';
import type { Head } from './tree.ts';
import { type Witness, Witnesses } from './witnesses.ts';

/** Heads that may wait for the next checkpoint; more are refused, and handed in again by those who collected them. */
const WAITING_MAX = 100_000;
/** Files that are written to the tile store at the same time: the platform opens no more connections. */
const WRITES_AT_ONCE = 6;

/**
 * How long the partial files of a tile are kept after it is full, in milliseconds. They need not be kept at all then (C2SP
 * tlog-tiles); but who took an earlier checkpoint and reads from the bucket may not think of asking for the full one.
 */
const PARTIALS_KEPT_MS = 10 * 60_000;
/** Files whose partial ones are removed after one publication at most. One of each level becomes full at most. */
const REMOVED_AT_ONCE = 16;

/** The head of a stream, to be logged. */
export interface StreamHead extends Head {
  /** `<stream type>/<id>`. */
  readonly stream: string;
}

/** Where tiles are published, by their C2SP tlog-tiles paths. */
export interface TileStore {
  put(path: string, bytes: Uint8Array): Promise<void>;
  /** Removes what was published of a tile while it was not full. @param path of the full tile */
  removePartials(path: string): Promise<void>;
}

/** The signatures of a text by all keys that sign now, and the verifier keys that belong to them. */
export interface Signed {
  readonly signatures: readonly NoteSignature[];
  readonly keys: readonly string[];
}

/** What the log is connected to. */
export interface LogPorts {
  /** What a log that begins is called; one that has begun keeps its name. */
  readonly origin: string;
  /** The shortest time from one checkpoint to the next, in milliseconds. */
  readonly intervalMs: number;
  readonly tiles: TileStore;
  readonly witnesses: readonly Witness[];
  /** Signs a checkpoint in the name of the log. Rejects when no key can. */
  sign(origin: string, text: string): Promise<Signed>;
}

/** What proves that entries are in the log. */
export interface LogProofs {
  /** The checkpoint, a signed note. */
  readonly checkpoint: string;
  /** For each entry that was asked for: its inclusion proof, in hexadecimal digits. */
  readonly proofs: readonly (readonly string[])[];
}

/** By what the log can be verified. */
export interface LogKeys {
  readonly origin: string;
  /** All that ever signed, oldest first. */
  readonly keys: readonly UsedKey[];
}

interface Batch {
  readonly heads: readonly StreamHead[];
  resolve(first: number): void;
  reject(error: unknown): void;
}

/**
 * The log of logs: takes the heads of streams, in batches, and publishes checkpoints. In this order, so that the process
 * may end between any two steps: what is appended, its size and the signed checkpoint are stored in one transaction; the
 * tiles are published; the checkpoint is. A checkpoint that was signed is thus the only one of its size, what it needs is
 * out before it is, and none that is shown is ever smaller than one before it.
 */
export class TransparencyLogActor extends DurableObject<unknown> {
  readonly #store: LogStore;
  readonly #ports: LogPorts;
  readonly #witnesses: Witnesses;
  #batches: Batch[] = [];
  #isRunning = false;
  /** When the last checkpoint was published, in milliseconds since 1970. */
  #lastAt = 0;

  constructor(context: DurableObjectState, env: unknown, ports: LogPorts) {
    super(context, env);
    this.#store = new LogStore(context.storage);
    this.#ports = ports;
    this.#witnesses = new Witnesses(this.#store, ports.witnesses);
  }

  /**
   * Appends heads. A head that is handed in twice is there twice, which does no harm: the entry is the same.
   *
   * @returns the index of the first, once a checkpoint that covers them all is published; the others follow it
   */
  append(heads: readonly StreamHead[]): Promise<number> {
    const waiting = this.#batches.reduce((sum, batch) => sum + batch.heads.length, heads.length);
    if (waiting > WAITING_MAX) throw new Error(`${WAITING_MAX} heads wait for the log already`);
    return new Promise((resolve, reject) => {
      this.#batches.push({ heads, resolve, reject });
      this.#start();
    });
  }

  /** The published checkpoint, with the witnesses' signatures that have come; null before the first. */
  checkpoint(): string | null {
    // What a process that ended left undone is not left so until the next head comes.
    if (this.#store.unpublished !== null) this.#start();
    const { published } = this.#store;
    return published && published.note + published.cosignatures;
  }

  /** Proves that these entries are in the log; null when one of them is not, or not in a published checkpoint. */
  prove(indexes: readonly number[]): LogProofs | null {
    const { published } = this.#store;
    if (!published || indexes.some((index) => index >= published.size)) return null;
    const proofs = indexes.map((index) => this.#store.inclusion(index, published.size).map(bytesToHex));
    return { checkpoint: published.note + published.cosignatures, proofs };
  }

  /** By what the log can be verified. */
  keys(): LogKeys {
    return { origin: this.#store.origin ?? this.#ports.origin, keys: this.#store.keys };
  }

  #start(): void {
    if (!this.#isRunning) void this.#run();
  }

  /** Publishes what a lost process left, then what waits, batch by batch. Never rejects. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    do {
      const { intervalMs } = this.#ports;
      await scheduler.wait(Math.max(0, Math.min(intervalMs, this.#lastAt + intervalMs - Date.now())));
      const batches = this.#batches;
      this.#batches = [];
      try {
        await this.#publish();
        let index = await this.#append(batches.flatMap(({ heads }) => heads));
        await this.#publish();
        for (const { heads, resolve } of batches) {
          resolve(index);
          index += heads.length;
        }
        this.#witnesses.ask();
      } catch (error) {
        console.error(JSON.stringify({ level: 'error', message: `The log cannot go on: ${error}` }));
        for (const { reject } of batches) reject(error);
      }
      this.#lastAt = Date.now();
    } while (this.#batches.length > 0);
    // In the turn that found nothing more, so that nothing can come in between.
    this.#isRunning = false;
  }

  /** @returns the index of the first */
  async #append(heads: readonly StreamHead[]): Promise<number> {
    if (heads.length === 0) return this.#store.size;
    const entries = heads.map(({ stream, size, root }) => headEntry(stream, { size, root: hexToBytes(root) }));
    const growth = this.#store.grow(entries);
    const origin = this.#store.origin ?? this.#ports.origin;
    const text = formatCheckpoint({ origin, size: growth.size, root: growth.root, extensions: [] });
    const { signatures, keys } = await this.#ports.sign(origin, text);
    this.#store.commit(growth, origin, formatNote({ text, signatures }), keys);
    return growth.from;
  }

  async #publish(): Promise<void> {
    const publication = this.#store.unpublished;
    if (publication === null) return;
    const files = filesOf(publication);
    for (let at = 0; at < files.length; at += WRITES_AT_ONCE) {
      const some = files.slice(at, at + WRITES_AT_ONCE);
      await Promise.all(some.map(({ path, bytes }) => this.#ports.tiles.put(path, bytes)));
    }
    const filled = files.filter(({ isFilled }) => isFilled).map(({ path }) => path);
    this.#store.notePublished(publication.size, filled, Date.now());
    void this.#removePartials();
  }

  /** They only take up space: nobody waits for it, and what is not removed now is after the next publication. */
  async #removePartials(): Promise<void> {
    const paths = this.#store.filledBy(Date.now() - PARTIALS_KEPT_MS, REMOVED_AT_ONCE);
    const removals = await Promise.allSettled(paths.map((path) => this.#ports.tiles.removePartials(path)));
    this.#store.forgetFilled(paths.filter((_, place) => removals[place]?.status === 'fulfilled'));
  }
}

interface TileFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Whether it is full now and was out before, partially. */
  readonly isFilled: boolean;
}

function filesOf({ from, tiles, bundles }: Publication): TileFile[] {
  const isFilled = ({ level, index, width }: TileName) =>
    width === TILE_WIDTH && hashesAtLevel(level, from) > index * TILE_WIDTH;
  return [
    ...bundles.map((bundle) => ({
      path: entriesPath(bundle),
      bytes: bundle.entries,
      isFilled: isFilled({ level: 0, ...bundle }),
    })),
    ...tiles.map((tile) => ({ path: tilePath(tile), bytes: tile.hashes, isFilled: isFilled(tile) })),
  ];
}
