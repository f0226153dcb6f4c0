import { createHash } from 'node:crypto';

/**
 * The definitions of RFC 9162, section 2.1, word for word and with another SHA-256: what the tree's tests compare with.
 * Slow, and shares no code with what is tested.
 */

function hash(...parts: Uint8Array[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}

/** The leaf hash of an entry. */
export function naiveLeaf(entry: Uint8Array): Buffer {
  return hash(Uint8Array.of(0), entry);
}

/** The hash of an inner node. */
export function naiveNode(left: Uint8Array, right: Uint8Array): Buffer {
  return hash(Uint8Array.of(1), left, right);
}

function split(count: number): number {
  let k = 1;
  while (k * 2 < count) k *= 2;
  return k;
}

/** MTH(D[n]), of leaf hashes. */
export function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [first] = leaves;
  if (!first) return hash();
  if (leaves.length === 1) return first;
  const k = split(leaves.length);
  return naiveNode(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

/** PATH(m, D[n]). */
export function naivePath(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...naivePath(m, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
    : [...naivePath(m - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))];
}

/** SUBPROOF(m, D[n], b); PROOF(m, D[n]) with b = true. */
export function naiveProof(m: number, leaves: readonly Uint8Array[], isWhole = true): Uint8Array[] {
  if (m === leaves.length) return isWhole ? [] : [naiveRoot(leaves)];
  const k = split(leaves.length);
  return m <= k
    ? [...naiveProof(m, leaves.slice(0, k), isWhole), naiveRoot(leaves.slice(k))]
    : [...naiveProof(m - k, leaves.slice(k), false), naiveRoot(leaves.slice(0, k))];
}

/** `count` leaf hashes, each different. */
export function someLeaves(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => naiveLeaf(Buffer.from(`leaf ${index}`)));
}
