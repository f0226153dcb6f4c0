import { hexToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import { headEntry } from '../events/bundle.ts';
import { equalBytes } from '../events/bytes.ts';
import { type Checkpoint, compareCheckpoints, type SignedCheckpoint, type TreeHead } from '../events/checkpoint.ts';
import { type Fault, isFault } from '../events/fault.ts';
import type { Findings } from '../events/finding.ts';
import {
  appendLeaf,
  EMPTY_FRONTIER,
  type Frontier,
  frontierRoot,
  HASH_BYTES,
  hexHash,
  leafHashOf,
} from '../events/merkle.ts';
import { hashesOf, perfectRoot, TILE_WIDTH, type TileName } from '../events/proof.ts';
import { decodeEntries, entriesPath, tilePath } from '../events/tiles.ts';
import { addRelation, addToLog, type LogSource, type LogTrust, openTrusted } from './checkpoints.ts';

/** What a log holds, as far as it was found right. */
export interface AuditedLog {
  /** What the log says of itself; null when it cannot be read. */
  readonly checkpoint: Checkpoint | null;
  /** The same, when a trusted key has signed it. */
  readonly signed: SignedCheckpoint | null;
  /** The heads of each stream by rising size. */
  readonly streams: ReadonlyMap<string, readonly TreeHead[]>;
}

/** Bundles of entries, and tiles, that are fetched at the same time. */
const FETCHED_AT_ONCE = 8;

const entrySchema = z.strictObject({ root: hexHash, size: z.int().min(1), stream: z.string().max(200) });

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Audits a whole log: reads every entry, computes the tree, and compares it with the checkpoint, with each tile, and with
 * the checkpoints that were seen earlier. It trusts nothing that the log serves but what the checkpoint's root vouches
 * for. Memory grows with the number of heads, not with the events.
 *
 * @param onProgress told how many of the entries were read
 */
export async function auditLog(
  source: LogSource,
  trust: LogTrust,
  findings: Findings,
  onProgress: (read: number, size: number) => void = () => undefined,
): Promise<AuditedLog> {
  const note = await source.checkpoint();
  if (note === null) {
    // A log that was seen before and is not there any more has been cut to nothing.
    for (const { origin, size } of trust.earlier) {
      addToLog(findings, 'log-truncated', `${origin} had ${size} entries; now there is no checkpoint at all`);
    }
    return { checkpoint: null, signed: null, streams: new Map() };
  }
  const { checkpoint, signed } = openTrusted(note, trust, findings, 'The checkpoint');
  if (checkpoint === null) return { checkpoint, signed, streams: new Map() };
  const walk = new LogWalk(source, checkpoint, trust.earlier, findings);
  return { checkpoint, signed, streams: await walk.run(onProgress) };
}

/** The entries under a tile of level 0, and the tile; null is what the log has not. */
interface Fetched {
  readonly index: number;
  readonly width: number;
  readonly entries: Uint8Array | null;
  readonly tile: Uint8Array | null;
}

/** Two trees over one log: what its entries give, and what its tiles of hashes say. */
class LogWalk {
  readonly #source: LogSource;
  readonly #checkpoint: Checkpoint;
  readonly #earlier: readonly Checkpoint[];
  readonly #findings: Findings;
  /** Of the entries and of the tiles of level 0. */
  #byEntries: Frontier = EMPTY_FRONTIER;
  #byTiles: Frontier = EMPTY_FRONTIER;
  /** The root over the entries at the sizes of earlier checkpoints. */
  readonly #roots = new Map<number, Uint8Array>();
  /** Hashes of level 1 as the entries give them. */
  readonly #levelOne: Uint8Array[] = [];
  /** The first entry that is not what its tile says, by tile. */
  readonly #different = new Map<number, number>();
  /** Entries that are not what their tiles say: whether they say the truth is known in the end. */
  readonly #doubtful: { readonly entry: Uint8Array; readonly place: number }[] = [];
  readonly #streams = new Map<string, Map<number, Uint8Array>>();
  readonly #contradictions: string[] = [];

  constructor(source: LogSource, checkpoint: Checkpoint, earlier: readonly Checkpoint[], findings: Findings) {
    this.#source = source;
    this.#checkpoint = checkpoint;
    this.#earlier = earlier;
    this.#findings = findings;
  }

  async run(onProgress: (read: number, size: number) => void): Promise<Map<string, TreeHead[]>> {
    const { size } = this.#checkpoint;
    this.#roots.set(0, frontierRoot(EMPTY_FRONTIER));
    const tiles = Math.ceil(size / TILE_WIDTH);
    let isWhole = true;
    for (let first = 0; first < tiles && isWhole; first += FETCHED_AT_ONCE) {
      const indexes = Array.from({ length: Math.min(FETCHED_AT_ONCE, tiles - first) }, (_, at) => first + at);
      const fetched = await Promise.all(indexes.map((index) => this.#fetch(index)));
      for (const each of fetched) isWhole &&= this.#take(each);
      onProgress(Math.min(size, (first + indexes.length) * TILE_WIDTH), size);
    }
    if (isWhole) {
      this.#judge();
      await this.#compareUpperTiles();
      for (const message of this.#contradictions) addToLog(this.#findings, 'log-split', message);
    }
    this.#compareEarlier(isWhole);
    return new Map(
      [...this.#streams].map(([stream, heads]) => [
        stream,
        [...heads].map(([at, root]) => ({ size: at, root })).sort((a, b) => a.size - b.size),
      ]),
    );
  }

  async #fetch(index: number): Promise<Fetched> {
    const width = Math.min(TILE_WIDTH, this.#checkpoint.size - index * TILE_WIDTH);
    const [entries, tile] = await Promise.all([
      this.#source.tile(entriesPath({ index, width })),
      this.#source.tile(tilePath({ level: 0, index, width })),
    ]);
    return { index, width, entries, tile };
  }

  /** @returns false when the entries cannot be read, so that what follows them cannot be judged */
  #take({ index, width, entries: bundle, tile }: Fetched): boolean {
    const entries = bundle ? decodeEntries(bundle, width) : { fault: 'there is no such file' };
    if (isFault(entries)) {
      addToLog(this.#findings, 'tile-missing', `${entriesPath({ index, width })}: ${entries.fault}`);
      return false;
    }
    const hashes = tile ? readHashes(tile, width) : { fault: 'there is no such file' };
    if (isFault(hashes)) {
      addToLog(this.#findings, 'tile-missing', `${tilePath({ level: 0, index, width })}: ${hashes.fault}`);
    }
    const leaves = entries.map(leafHashOf);
    for (const [at, leaf] of leaves.entries()) {
      const said = isFault(hashes) ? leaf : (hashes[at] ?? leaf);
      const place = index * TILE_WIDTH + at;
      const entry = entries[at] ?? new Uint8Array();
      if (equalBytes(leaf, said)) this.#note(entry, place);
      else {
        this.#doubtful.push({ entry, place });
        if (!this.#different.has(index)) this.#different.set(index, place);
      }
      this.#byEntries = appendLeaf(this.#byEntries, leaf);
      this.#byTiles = appendLeaf(this.#byTiles, said);
      if (this.#earlier.some((earlier) => earlier.size === this.#byEntries.size)) {
        this.#roots.set(this.#byEntries.size, frontierRoot(this.#byEntries));
      }
    }
    if (width === TILE_WIDTH) this.#levelOne.push(perfectRoot(leaves));
    return true;
  }

  /** Notes the head that an entry holds. */
  #note(entry: Uint8Array, place: number): void {
    const head = readEntry(entry);
    if (isFault(head)) {
      addToLog(
        this.#findings,
        'entry-altered',
        `Entry ${place} of ${this.#checkpoint.origin} is no head: ${head.fault}`,
      );
      return;
    }
    const { stream, size, root } = head;
    const heads = this.#streams.get(stream) ?? new Map<number, Uint8Array>();
    this.#streams.set(stream, heads);
    const known = heads.get(size);
    if (known && !equalBytes(known, root)) {
      const message = `Entry ${place} of ${this.#checkpoint.origin} is another head of ${stream} at size ${size}: it has two histories`;
      this.#contradictions.push(message);
    }
    if (!known) heads.set(size, root);
  }

  /** Says who is wrong, the entries or the tiles: the checkpoint's root vouches for one of them. */
  #judge(): void {
    const { origin, size, root } = this.#checkpoint;
    if (equalBytes(frontierRoot(this.#byEntries), root)) {
      for (const [index, place] of this.#different) {
        const width = Math.min(TILE_WIDTH, size - index * TILE_WIDTH);
        const path = tilePath({ level: 0, index, width });
        addToLog(this.#findings, 'tile-altered', `${path} is not what its entries give, from entry ${place} on`);
      }
      for (const { entry, place } of this.#doubtful) this.#note(entry, place);
      return;
    }
    if (this.#different.size > 0 && equalBytes(frontierRoot(this.#byTiles), root)) {
      for (const place of this.#different.values()) {
        addToLog(
          this.#findings,
          'entry-altered',
          `Entry ${place} of ${origin} is not what its checkpoint was made over`,
        );
      }
      return;
    }
    const message = `The entries of ${origin} do not give the root of its checkpoint of size ${size}`;
    addToLog(this.#findings, 'entry-altered', message);
    // Then nothing vouches for any of the heads in them.
    this.#streams.clear();
  }

  async #compareUpperTiles(): Promise<void> {
    // Only entries that the checkpoint vouches for say what the tiles must be.
    if (!equalBytes(frontierRoot(this.#byEntries), this.#checkpoint.root)) return;
    let hashes = this.#levelOne;
    for (let level = 1; hashes.length > 0; level++) {
      const above: Uint8Array[] = [];
      for (let index = 0; index * TILE_WIDTH < hashes.length; index++) {
        const wanted = hashes.slice(index * TILE_WIDTH, (index + 1) * TILE_WIDTH);
        await this.#compareTile({ level, index, width: wanted.length }, wanted);
        if (wanted.length === TILE_WIDTH) above.push(perfectRoot(wanted));
      }
      hashes = above;
    }
  }

  async #compareTile(name: TileName, wanted: readonly Uint8Array[]): Promise<void> {
    const path = tilePath(name);
    const bytes = await this.#source.tile(path);
    const hashes = bytes ? readHashes(bytes, name.width) : { fault: 'there is no such file' };
    if (isFault(hashes)) addToLog(this.#findings, 'tile-missing', `${path}: ${hashes.fault}`);
    else if (!wanted.every((hash, at) => equalBytes(hash, hashes[at] ?? new Uint8Array()))) {
      addToLog(this.#findings, 'tile-altered', `${path} is not what the tiles below it give`);
    }
  }

  #compareEarlier(isWhole: boolean): void {
    const now = this.#checkpoint;
    for (const earlier of this.#earlier) {
      if (earlier.origin !== now.origin || earlier.size >= now.size) {
        addRelation(this.#findings, earlier, now, compareCheckpoints(earlier, now, []));
        continue;
      }
      const root = this.#roots.get(earlier.size);
      if (root && !equalBytes(root, earlier.root)) addRelation(this.#findings, earlier, now, 'rewritten');
      else if (!root || !isWhole) {
        const message = `The first ${earlier.size} entries of ${now.origin} could not be read to compare them`;
        addToLog(this.#findings, 'log-not-compared', message);
      }
    }
  }
}

function readHashes(tile: Uint8Array, width: number): readonly Uint8Array[] | Fault {
  const hashes = hashesOf(tile);
  const isRight = hashes.length === width && hashes.every((hash) => hash.length === HASH_BYTES);
  return isRight ? hashes : { fault: `it has not ${width} hashes` };
}

function readEntry(entry: Uint8Array): (TreeHead & { stream: string }) | Fault {
  let parsed: z.infer<typeof entrySchema>;
  try {
    parsed = entrySchema.parse(JSON.parse(utf8.decode(entry)));
  } catch {
    return { fault: 'it is not the JSON of one' };
  }
  const head = { size: parsed.size, root: hexToBytes(parsed.root) };
  const isCanonical = equalBytes(headEntry(parsed.stream, head), entry);
  return isCanonical ? { ...head, stream: parsed.stream } : { fault: 'it is not in its canonical form' };
}
