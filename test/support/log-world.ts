import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { bytesToHex } from '@noble/hashes/utils.js';
import { type LogPorts, type StreamHead, TransparencyLogActor } from '../../actors/transparency-log-object.ts';
import type { Witness } from '../../actors/witnesses.ts';
import { equalBytes } from '../../events/bytes.ts';
import { type Checkpoint, claimedCheckpoint, compareCheckpoints } from '../../events/checkpoint.ts';
import { leafHashOf } from '../../events/merkle.ts';
import { signText } from '../../events/note.ts';
import { formatVerifierKey, type SigningKey } from '../../events/note-keys.ts';
import { consistencyProof, rootAt, TILE_WIDTH, type TileName, tileOf } from '../../events/proof.ts';
import { sha256 } from '../../events/sha256.ts';
import { decodeEntries, entriesPath, tilePath } from '../../events/tiles.ts';
import { LOG_KEY, ORIGIN } from './proof-world.ts';
import { unfaulted } from './unfaulted.ts';

/** A head of a made-up stream. */
export function headOf(number: number): StreamHead {
  return {
    stream: `context/c${number}`,
    size: 1 + (number % 7),
    root: bytesToHex(sha256(new TextEncoder().encode(`${number}`))),
  };
}

/**
 * The log's object on storage that outlives it, with a bucket in memory. At any step to the outside the process can be
 * killed: the step is done or not done, and nothing of this process happens after it.
 */
export class LogWorld {
  readonly bucket = new Map<string, Uint8Array>();
  /** Every checkpoint that was ever shown, in order. */
  readonly shown: Checkpoint[] = [];
  signers: readonly SigningKey[] = [LOG_KEY];
  witnesses: readonly Witness[] = [];
  readonly #state: DurableObjectState;
  #log: TransparencyLogActor;
  /** Steps that are left before the process is killed, and whether the last of them is still done. */
  #fuse = Number.POSITIVE_INFINITY;
  #isLastDone = false;
  #isDead = false;
  #death = Promise.withResolvers<null>();

  constructor(state: DurableObjectState) {
    this.#state = state;
    this.#log = this.#start();
  }

  /** Has the process killed at a later step. */
  killAfter(steps: number, isLastDone: boolean): void {
    this.#fuse = steps;
    this.#isLastDone = isLastDone;
  }

  /** Starts the process anew on what is stored. */
  restart(): void {
    this.#fuse = Number.POSITIVE_INFINITY;
    this.#isDead = false;
    this.#death = Promise.withResolvers();
    this.#log = this.#start();
  }

  /** Appends heads. @returns null when the process was killed before it answered */
  append(heads: readonly StreamHead[]): Promise<number | null> {
    return Promise.race([this.#death.promise, this.#log.append(heads)]);
  }

  get log(): TransparencyLogActor {
    return this.#log;
  }

  /** Looks at the checkpoint, as everybody can, and checks all that must be true of it, then and for ever. */
  look(): Checkpoint | null {
    const note = this.#log.checkpoint();
    if (note === null) return null;
    const checkpoint = unfaulted(claimedCheckpoint(note));
    const last = this.shown.at(-1);
    this.#readAll(checkpoint);
    if (last) {
      const { size: from } = last;
      const proof =
        from < checkpoint.size ? unfaulted(consistencyProof(from, checkpoint.size, (tile) => this.#tile(tile))) : [];
      const relation = compareCheckpoints(last, checkpoint, proof);
      if (relation !== 'same' && relation !== 'grown')
        throw new Error(`From ${from} to ${checkpoint.size}: ${relation}`);
    }
    this.shown.push(checkpoint);
    return checkpoint;
  }

  /** Reads the whole log from the bucket as it is at that size: every entry, every hash. */
  #readAll({ size, root }: Checkpoint): void {
    for (let index = 0; index * TILE_WIDTH < size; index++) {
      const width = Math.min(TILE_WIDTH, size - index * TILE_WIDTH);
      const full = this.bucket.get(entriesPath({ index, width: TILE_WIDTH }));
      const bundle = full ?? this.#published(entriesPath({ index, width }));
      const entries = unfaulted(decodeEntries(bundle, full ? TILE_WIDTH : width)).slice(0, width);
      const hashes = tileOf(entries.map(leafHashOf));
      const tile = this.#tile({ level: 0, index, width }).subarray(0, hashes.length);
      if (!equalBytes(tile, hashes)) throw new Error(`Tile ${index} does not hold its entries`);
    }
    const rooted = unfaulted(rootAt(size, (tile) => this.#tile(tile)));
    if (!equalBytes(rooted, root)) throw new Error(`The tiles do not give the root of size ${size}`);
  }

  #tile(tile: TileName): Uint8Array {
    return this.bucket.get(tilePath({ ...tile, width: TILE_WIDTH })) ?? this.#published(tilePath(tile));
  }

  #published(path: string): Uint8Array {
    const bytes = this.bucket.get(path);
    if (!bytes) throw new Error(`${path} is not published`);
    return bytes;
  }

  /** One step to the outside. */
  async #step(act: () => void): Promise<void> {
    await Promise.resolve();
    if (this.#isDead) return new Promise(() => undefined);
    this.#fuse -= 1;
    if (this.#fuse > 0) {
      act();
      return;
    }
    if (this.#isLastDone) act();
    this.#isDead = true;
    this.#death.resolve(null);
    throw new Error('killed');
  }

  #start(): TransparencyLogActor {
    const ports: LogPorts = {
      origin: ORIGIN,
      intervalMs: 0,
      witnesses: this.witnesses,
      tiles: {
        put: (path, bytes) => {
          const copy = bytes.slice();
          return this.#step(() => {
            const before = this.bucket.get(path);
            if (before && !equalBytes(before, copy)) throw new Error(`${path} was changed`);
            this.bucket.set(path, copy);
          });
        },
        removePartials: (path) =>
          this.#step(() => {
            for (const key of this.bucket.keys()) if (key.startsWith(`${path}.p/`)) this.bucket.delete(key);
          }),
      },
      sign: async (_origin, text) => {
        await this.#step(() => undefined);
        return {
          signatures: this.signers.map((key) => signText(text, key, 0)),
          keys: this.signers.map(formatVerifierKey),
        };
      },
    };
    return new TransparencyLogActor(this.#state, env, ports);
  }
}

/** Runs in an object of its own, whose storage the log gets. */
export function inLogWorld<Result>(act: (world: LogWorld) => Promise<Result>): Promise<Result> {
  const stub = env.COUNTERS.get(env.COUNTERS.newUniqueId());
  return runInDurableObject(stub, (_object, state) => act(new LogWorld(state)));
}
