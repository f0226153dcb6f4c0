import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import { equalBytes } from './bytes.ts';
import type { Fault } from './fault.ts';
import { sha256 } from './sha256.ts';

/**
 * The Merkle tree of RFC 9162, section 2.1, over leaf hashes. Sizes and indexes are safe integers: 2^53 leaves are more
 * than will ever be written. Hashes are 32 bytes.
 */

/** Bytes of a hash. */
export const HASH_BYTES = 32;

/** The bytes that RFC 9162 puts before what is hashed, so that a leaf can never pass for an inner node. */
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

/** The root of the tree without leaves: the hash of nothing. */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array());

/** The leaf hash of an entry: SHA-256(0x00 ‖ entry). */
export function leafHashOf(entry: Uint8Array): Uint8Array {
  const prefixed = new Uint8Array(entry.length + 1);
  prefixed[0] = LEAF_PREFIX;
  prefixed.set(entry, 1);
  return sha256(prefixed);
}

/** What `nodeHash` hashes: filled and hashed in one turn, so that one buffer serves all. */
const node = new Uint8Array(1 + 2 * HASH_BYTES);
node[0] = NODE_PREFIX;

/** The hash of an inner node: SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  node.set(left, 1);
  node.set(right, 1 + HASH_BYTES);
  return sha256(node);
}

/**
 * What of a tree must be kept to append to it and to know its root: the roots of the perfect subtrees it is made of,
 * largest first, one for each bit that is set in its size. It is a value: appending gives another one, so that a turn
 * that fails has changed nothing.
 */
export interface Frontier {
  readonly size: number;
  readonly roots: readonly Uint8Array[];
}

/** The frontier of the tree without leaves. */
export const EMPTY_FRONTIER: Frontier = { size: 0, roots: [] };

/** The tree with one more leaf: one hash in the mean, log₂(size) at most. */
export function appendLeaf({ size, roots }: Frontier, leafHash: Uint8Array): Frontier {
  const grown = roots.slice();
  let root = leafHash;
  for (let rest = size; rest % 2 === 1; rest = (rest - 1) / 2) {
    const left = grown.pop();
    if (!left) throw new RangeError('The frontier has fewer roots than its size says');
    root = nodeHash(left, root);
  }
  grown.push(root);
  return { size: size + 1, roots: grown };
}

/** The root of the whole tree. */
export function frontierRoot({ roots }: Frontier): Uint8Array {
  return foldRoots(roots);
}

/** The root over perfect subtrees that stand side by side, largest first. */
export function foldRoots(roots: readonly Uint8Array[]): Uint8Array {
  const last = roots.at(-1);
  return last ? roots.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last) : EMPTY_ROOT;
}

/** A hash as the JSON forms of this folder write it. */
export const hexHash = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lowercase hexadecimal digits');

const frontierSchema = z.strictObject({ size: z.int().min(0), roots: z.array(hexHash).max(53) });

/** A frontier as JSON, for snapshots. */
export type FrontierJson = z.infer<typeof frontierSchema>;

/** Writes a frontier as JSON. */
export function writeFrontier({ size, roots }: Frontier): FrontierJson {
  return { size, roots: roots.map(bytesToHex) };
}

/** Reads a frontier that `writeFrontier` wrote. */
export function readFrontier(value: unknown): Frontier | Fault {
  const parsed = frontierSchema.safeParse(value);
  if (!parsed.success) return { fault: 'A frontier is a size and the roots of its perfect subtrees' };
  const { size, roots } = parsed.data;
  let bits = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) bits += rest % 2;
  if (bits !== roots.length) return { fault: `A frontier of size ${size} has ${bits} roots, not ${roots.length}` };
  return { size, roots: roots.map(hexToBytes) };
}

/** What an inclusion proof shows: that the leaf at `index` of the tree of `size` leaves with that root is this one. */
export interface Inclusion {
  readonly index: number;
  readonly size: number;
  readonly leafHash: Uint8Array;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** Verifies an inclusion proof (RFC 9162, section 2.1.3.2). Numbers and hashes that cannot be are not verified. */
export function verifyInclusion({ index, size, leafHash, root, proof }: Inclusion): boolean {
  if (!isCount(index) || !isCount(size) || index >= size || ![leafHash, root, ...proof].every(isHash)) return false;
  let [first, last] = [index, size - 1];
  let hash = leafHash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (first % 2 === 1 || first === last) {
      hash = nodeHash(sibling, hash);
      while (first % 2 === 0 && first !== 0) [first, last] = [first / 2, half(last)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [first, last] = [half(first), half(last)];
  }
  return last === 0 && equalBytes(hash, root);
}

/** What a consistency proof shows: that the tree of `to` leaves begins with all the leaves of the tree of `from`. */
export interface Consistency {
  readonly from: number;
  readonly to: number;
  readonly fromRoot: Uint8Array;
  readonly toRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * Verifies a consistency proof (RFC 9162, section 2.1.4.2). Every tree follows from the empty one; that, and that a
 * tree follows from itself, takes an empty proof.
 */
export function verifyConsistency({ from, to, fromRoot, toRoot, proof }: Consistency): boolean {
  if (!isCount(from) || !isCount(to) || from > to || ![fromRoot, toRoot, ...proof].every(isHash)) return false;
  if (from === to) return proof.length === 0 && equalBytes(fromRoot, toRoot);
  if (from === 0) return proof.length === 0 && equalBytes(fromRoot, EMPTY_ROOT);
  let [first, last] = [from - 1, to - 1];
  while (first % 2 === 1) [first, last] = [half(first), half(last)];
  // The tree of `from` leaves is perfect: its root begins the proof, and is not sent.
  const [start, ...siblings] = first === 0 ? [fromRoot, ...proof] : proof;
  if (!start || proof.length === 0) return false;
  let [older, newer] = [start, start];
  for (const sibling of siblings) {
    if (last === 0) return false;
    if (first % 2 === 1 || first === last) {
      older = nodeHash(sibling, older);
      newer = nodeHash(sibling, newer);
      while (first % 2 === 0 && first !== 0) [first, last] = [first / 2, half(last)];
    } else {
      newer = nodeHash(newer, sibling);
    }
    [first, last] = [half(first), half(last)];
  }
  return last === 0 && equalBytes(older, fromRoot) && equalBytes(newer, toRoot);
}

/** A right shift that is right beyond 32 bits. */
function half(value: number): number {
  return Math.floor(value / 2);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === HASH_BYTES;
}
