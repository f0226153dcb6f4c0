import type { Fault } from './fault.ts';
import { HASH_BYTES } from './merkle.ts';
import {
  hashesAtLevel,
  hashesOf,
  perfectRoot,
  type ReadTile,
  TILE_WIDTH,
  type Tile,
  type TileName,
  tileOf,
} from './proof.ts';

/** A log as C2SP tlog-tiles serves it: tiles of hashes, and bundles of the entries under the tiles of level 0. */

/** The highest level of tiles that there can be. */
const LEVEL_MAX = 63;
/** Bytes of an entry at most: its length is written in 16 bits. */
const ENTRY_MAX = 0xffff;

/** What a path of a log names: a tile, or the entries under a tile of level 0. */
export interface TileResource extends TileName {
  readonly kind: 'tile' | 'entries';
}

/** The path of a tile, without a slash before it: `tile/0/x001/234`, with `.p/5` after it while it has only 5 hashes. */
export function tilePath({ level, index, width }: TileName): string {
  return `tile/${level}/${numberPath(index)}${widthSuffix(width)}`;
}

/** The path of the bundle of entries under a tile of level 0: `tile/entries/x001/234`. */
export function entriesPath({ index, width }: Omit<TileName, 'level'>): string {
  return `tile/entries/${numberPath(index)}${widthSuffix(width)}`;
}

/** Reads a path as `tilePath` and `entriesPath` write it, and in no other form. */
export function parseTilePath(path: string): TileResource | Fault {
  const parts = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path);
  const [, place, number, partial] = parts ?? [];
  if (place === undefined || number === undefined) return { fault: 'The path is not that of a tile' };
  const kind = place === 'entries' ? 'entries' : 'tile';
  const level = kind === 'entries' ? 0 : Number(place);
  const index = Number(number.replaceAll(/[x/]/g, ''));
  const width = partial === undefined ? TILE_WIDTH : Number(partial);
  if (level > LEVEL_MAX || !Number.isSafeInteger(index) || width < 1) return { fault: 'There can be no such tile' };
  const name = { level, index, width };
  // One path for each tile, so that nothing is cached under two names.
  const written = kind === 'entries' ? entriesPath(name) : tilePath(name);
  return written === path ? { kind, ...name } : { fault: `The path of that tile is written ${written}` };
}

/**
 * The tiles that change when a log grows: those that a checkpoint of size `to` needs and one of size `from` had not,
 * by level and index. Full tiles that were full before never change.
 */
export function changedTiles(from: number, to: number): TileName[] {
  const tiles: TileName[] = [];
  for (let level = 0; hashesAtLevel(level, to) > hashesAtLevel(level, from); level++) {
    const hashes = hashesAtLevel(level, to);
    const first = Math.floor(hashesAtLevel(level, from) / TILE_WIDTH);
    for (let index = first; index * TILE_WIDTH < hashes; index++) {
      tiles.push({ level, index, width: Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH) });
    }
  }
  return tiles;
}

/**
 * Makes the tiles of `changedTiles(from, from + leaves.length)`. Of what was there before it reads one tile of each
 * level, the last, and that only when it was not full.
 *
 * The object of a stream keeps no tile of level 0 that is not full (its events hold the same hashes): it calls this
 * when another 256 leaves are complete, with these. So it writes two rows for 256 events, and one more for 65,536.
 *
 * @param from how many leaves the log had before
 * @param leaves the leaf hashes that follow
 */
export function growTiles(from: number, leaves: readonly Uint8Array[], read: ReadTile): Tile[] | Fault {
  const tiles: Tile[] = [];
  let added = leaves;
  for (let level = 0; added.length > 0; level++) {
    const before = hashesAtLevel(level, from);
    const width = before % TILE_WIDTH;
    const first = (before - width) / TILE_WIDTH;
    const last = width === 0 ? new Uint8Array() : read({ level, index: first, width });
    if (!last || last.length < width * HASH_BYTES) {
      return { fault: `Tile ${first} of level ${level} is missing or has not its ${width} hashes` };
    }
    const hashes = [...hashesOf(last.subarray(0, width * HASH_BYTES)), ...added];
    const roots: Uint8Array[] = [];
    for (let at = 0; at < hashes.length; at += TILE_WIDTH) {
      const tile = hashes.slice(at, at + TILE_WIDTH);
      tiles.push({ level, index: first + at / TILE_WIDTH, width: tile.length, hashes: tileOf(tile) });
      if (tile.length === TILE_WIDTH) roots.push(perfectRoot(tile));
    }
    added = roots;
  }
  return tiles;
}

/**
 * Writes a bundle of entries: each with its length before it, in 16 bits, big-endian.
 *
 * @throws RangeError when there are more than 256 entries, or one has more than 65,535 bytes
 */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length > TILE_WIDTH) throw new RangeError(`A bundle has at most ${TILE_WIDTH} entries`);
  const bundle = new Uint8Array(entries.reduce((bytes, entry) => bytes + 2 + entry.length, 0));
  const view = new DataView(bundle.buffer);
  let at = 0;
  for (const entry of entries) {
    if (entry.length > ENTRY_MAX) throw new RangeError(`An entry has at most ${ENTRY_MAX} bytes`);
    view.setUint16(at, entry.length);
    bundle.set(entry, at + 2);
    at += 2 + entry.length;
  }
  return bundle;
}

/** Reads a bundle of `width` entries, no more and no fewer. */
export function decodeEntries(bundle: Uint8Array, width: number): Uint8Array[] | Fault {
  const view = new DataView(bundle.buffer, bundle.byteOffset, bundle.length);
  const entries: Uint8Array[] = [];
  let at = 0;
  while (entries.length < width) {
    if (at + 2 > bundle.length) return { fault: `The bundle ends after ${entries.length} of ${width} entries` };
    const end = at + 2 + view.getUint16(at);
    if (end > bundle.length) return { fault: `Entry ${entries.length} of the bundle is cut` };
    entries.push(bundle.subarray(at + 2, end));
    at = end;
  }
  return at === bundle.length ? entries : { fault: `The bundle goes on after its ${width} entries` };
}

/** Groups of three digits, all but the last behind an `x`: 1234067 is `x001/x234/067`. */
function numberPath(index: number): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? [];
  return groups.map((group, place) => (place < groups.length - 1 ? `x${group}` : group)).join('/');
}

function widthSuffix(width: number): string {
  return width < TILE_WIDTH ? `.p/${width}` : '';
}
