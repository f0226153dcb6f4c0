import { concatBytes } from '@noble/hashes/utils.js';
import { type Fault, isFault } from './fault.ts';
import { type Frontier, foldRoots, HASH_BYTES, nodeHash } from './merkle.ts';

/**
 * Proofs of any size a tree ever had, from stored tiles (C2SP tlog-tiles): rows of 256 hashes. A tile of level 0 holds
 * leaf hashes, one of level 1 the roots of 256 tiles of level 0, and so on. A proof needs two tiles of each level at
 * most, so O(log n) reads, and every tile that is full never changes.
 */

/** Hashes in a full tile. */
export const TILE_WIDTH = 256;
/** Levels of the tree that one level of tiles spans: 2^8 = 256. */
const TILE_HEIGHT = 8;

/** The name of a tile. The width is that of the tile as it was in a tree of some size: 1 to 256. */
export interface TileName {
  readonly level: number;
  readonly index: number;
  readonly width: number;
}

/** A tile: its hashes, one after the other. */
export interface Tile extends TileName {
  readonly hashes: Uint8Array;
}

/**
 * Gives the hashes of a tile, at least the first `width` of them, null when it has them not. A stream's object takes
 * the tiles of level 0 that are not full from the leaf hashes in its events.
 */
export type ReadTile = (tile: TileName) => Uint8Array | null;

/** As `ReadTile`, over a network. */
export type FetchTile = (tile: TileName) => Promise<Uint8Array | null>;

/** The leaves from `from` to before `to`, as the nodes of a tree of RFC 9162 divide them. */
interface Range {
  readonly from: number;
  readonly to: number;
}

/** A node over 2^height leaves, the `index`th of that height. */
interface PerfectNode {
  readonly height: number;
  readonly index: number;
}

/**
 * Proves that a leaf is in the tree (RFC 9162, section 2.1.3.1).
 *
 * @throws RangeError when the tree has no such leaf
 * @returns a fault when a tile is missing
 */
export function inclusionProof(index: number, size: number, read: ReadTile): Uint8Array[] | Fault {
  return prove(inclusionRanges(index, size), size, read);
}

/**
 * Proves that the tree of `to` leaves begins with the tree of `from` leaves (RFC 9162, section 2.1.4.1).
 *
 * @throws RangeError unless from ≤ to
 * @returns a fault when a tile is missing
 */
export function consistencyProof(from: number, to: number, read: ReadTile): Uint8Array[] | Fault {
  return prove(consistencyRanges(from, to), to, read);
}

/** The root that the tree had when it had `size` leaves. @returns a fault when a tile is missing */
export function rootAt(size: number, read: ReadTile): Uint8Array | Fault {
  const frontier = frontierAt(size, read);
  return isFault(frontier) ? frontier : foldRoots(frontier.roots);
}

/** The frontier that the tree had when it had `size` leaves, to append to it. @returns a fault when a tile is missing */
export function frontierAt(size: number, read: ReadTile): Frontier | Fault {
  const roots = prove(perfectNodes({ from: 0, to: size }).map(rangeOf), size, read);
  return isFault(roots) ? roots : { size, roots };
}

/** `inclusionProof` from tiles that are fetched, all at once. */
export function fetchInclusionProof(index: number, size: number, fetch: FetchTile): Promise<Uint8Array[] | Fault> {
  return fetchAndProve(inclusionRanges(index, size), size, fetch);
}

/** `consistencyProof` from tiles that are fetched, all at once. */
export function fetchConsistencyProof(from: number, to: number, fetch: FetchTile): Promise<Uint8Array[] | Fault> {
  return fetchAndProve(consistencyRanges(from, to), to, fetch);
}

function prove(ranges: readonly Range[], size: number, read: ReadTile): Uint8Array[] | Fault {
  return assemble(
    ranges,
    tilesOver(ranges, size).map((tile) => ({ ...tile, hashes: read(tile) })),
  );
}

async function fetchAndProve(ranges: readonly Range[], size: number, fetch: FetchTile): Promise<Uint8Array[] | Fault> {
  const tiles = tilesOver(ranges, size).map(async (tile) => ({ ...tile, hashes: await fetch(tile) }));
  return assemble(ranges, await Promise.all(tiles));
}

function assemble(
  ranges: readonly Range[],
  tiles: readonly (TileName & { hashes: Uint8Array | null })[],
): Uint8Array[] | Fault {
  const found = new Map<string, Uint8Array>();
  for (const { level, index, width, hashes } of tiles) {
    if (!hashes || hashes.length < width * HASH_BYTES || hashes.length % HASH_BYTES !== 0) {
      return { fault: `Tile ${index} of level ${level} is missing or has not its ${width} hashes` };
    }
    found.set(`${level}/${index}`, hashes);
  }
  return ranges.map((range) => foldRoots(perfectNodes(range).map((node) => perfectHash(node, found))));
}

/** The hash of a perfect node, from the tile that it is in or stands above. */
function perfectHash(node: PerfectNode, tiles: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const { level, index, offset, count } = placeOf(node);
  const tile = tiles.get(`${level}/${index}`);
  if (!tile) throw new Error(`Tile ${index} of level ${level} was not asked for`);
  return perfectRoot(hashesOf(tile).slice(offset, offset + count));
}

/** The root over a power of two of hashes. */
export function perfectRoot(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes;
  while (row.length > 1) {
    const above: Uint8Array[] = [];
    for (let at = 0; at < row.length; at += 2) {
      const [left, right] = row.slice(at, at + 2);
      if (!left || !right) throw new RangeError('Only a power of two of hashes has a perfect tree');
      above.push(nodeHash(left, right));
    }
    row = above;
  }
  const [root] = row;
  if (!root) throw new RangeError('No hashes have no perfect tree');
  return root;
}

/** The hashes of a tile, one by one. */
export function hashesOf(tile: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < tile.length; at += HASH_BYTES) hashes.push(tile.subarray(at, at + HASH_BYTES));
  return hashes;
}

/** Writes hashes as a tile. */
export function tileOf(hashes: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...hashes);
}

/** Hashes of that level of tiles in a tree of `size` leaves. */
export function hashesAtLevel(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/** The tiles that the hashes of these ranges are computed from, each once, as wide as they are in that tree. */
function tilesOver(ranges: readonly Range[], size: number): TileName[] {
  const tiles = new Map<string, TileName>();
  for (const node of ranges.flatMap(perfectNodes)) {
    const { level, index } = placeOf(node);
    const width = Math.min(TILE_WIDTH, hashesAtLevel(level, size) - index * TILE_WIDTH);
    tiles.set(`${level}/${index}`, { level, index, width });
  }
  return [...tiles.values()];
}

function placeOf({ height, index }: PerfectNode): { level: number; index: number; offset: number; count: number } {
  const level = Math.floor(height / TILE_HEIGHT);
  const count = 2 ** (height % TILE_HEIGHT);
  const first = index * count;
  return { level, index: Math.floor(first / TILE_WIDTH), offset: first % TILE_WIDTH, count };
}

/** The perfect nodes that a range is made of, largest first. */
function perfectNodes({ from, to }: Range): PerfectNode[] {
  const nodes: PerfectNode[] = [];
  for (let at = from; at < to; ) {
    const height = floorLog2(to - at);
    nodes.push({ height, index: at / 2 ** height });
    at += 2 ** height;
  }
  return nodes;
}

function rangeOf({ height, index }: PerfectNode): Range {
  return { from: index * 2 ** height, to: (index + 1) * 2 ** height };
}

/** The largest h with 2^h ≤ value. */
function floorLog2(value: number): number {
  const rounded = Math.round(Math.log2(value));
  return 2 ** rounded > value ? rounded - 1 : rounded;
}

/** Where the tree over a range of two leaves or more is divided: after the largest power of two that leaves a rest. */
function middleOf({ from, to }: Range): number {
  return from + 2 ** floorLog2(to - from - 1);
}

function inclusionRanges(index: number, size: number): Range[] {
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new RangeError(`There is no leaf ${index} in a tree of ${size}`);
  }
  const siblings: Range[] = [];
  let range: Range = { from: 0, to: size };
  while (range.to - range.from > 1) {
    const middle = middleOf(range);
    const [left, right] = [
      { from: range.from, to: middle },
      { from: middle, to: range.to },
    ];
    siblings.push(index < middle ? right : left);
    range = index < middle ? left : right;
  }
  return siblings.reverse();
}

function consistencyRanges(from: number, to: number): Range[] {
  if (!Number.isSafeInteger(to) || !Number.isSafeInteger(from) || from < 0 || from > to) {
    throw new RangeError(`A tree of ${to} does not begin with one of ${from}`);
  }
  if (from === 0 || from === to) return [];
  const siblings: Range[] = [];
  let range: Range = { from: 0, to };
  while (range.to > from) {
    const middle = middleOf(range);
    const [left, right] = [
      { from: range.from, to: middle },
      { from: middle, to: range.to },
    ];
    siblings.push(from <= middle ? right : left);
    range = from <= middle ? left : right;
  }
  // Where the older tree ends is a node of both. Its hash is sent unless it is the whole of the older tree.
  if (range.from > 0) siblings.push(range);
  return siblings.reverse();
}
