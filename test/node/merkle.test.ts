import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  appendLeaf,
  EMPTY_FRONTIER,
  EMPTY_ROOT,
  type Frontier,
  frontierRoot,
  leafHashOf,
  nodeHash,
  readFrontier,
  verifyConsistency,
  verifyInclusion,
  writeFrontier,
} from '../../events/merkle.ts';
import { naiveLeaf, naiveNode, naivePath, naiveProof, naiveRoot, someLeaves } from '../support/naive-tree.ts';
import { printedSeed } from '../support/seed.ts';
import { unfaulted } from '../support/unfaulted.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const grown = (leaves: readonly Uint8Array[]): Frontier => leaves.reduce(appendLeaf, EMPTY_FRONTIER);
const flipped = (hash: Uint8Array, bit: number) =>
  hash.map((byte, index) => (index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));

// The eight entries, and the root after each, that the certificate-transparency projects test their trees with.
const REFERENCE = [
  ['', '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'],
  ['00', 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'],
  ['10', 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77'],
  ['2021', 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7'],
  ['3031', '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4'],
  ['40414243', '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef'],
  ['5051525354555657', 'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c'],
  ['606162636465666768696a6b6c6d6e6f', '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328'],
] as const;

describe('the tree', () => {
  it('without leaves has the hash of nothing for its root', () => {
    expect(hex(EMPTY_ROOT)).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(frontierRoot(EMPTY_FRONTIER)).toEqual(EMPTY_ROOT);
  });

  it('has the roots of the reference tree', () => {
    let frontier = EMPTY_FRONTIER;
    for (const [entry, root] of REFERENCE) {
      frontier = appendLeaf(frontier, leafHashOf(Buffer.from(entry, 'hex')));
      expect(hex(frontierRoot(frontier))).toBe(root);
    }
  });

  it('has the root that the definition gives, at every size', () => {
    const leaves = someLeaves(300);
    let frontier = EMPTY_FRONTIER;
    for (const [index, leaf] of leaves.entries()) {
      frontier = appendLeaf(frontier, leaf);
      expect(hex(frontierRoot(frontier))).toBe(hex(naiveRoot(leaves.slice(0, index + 1))));
    }
  });

  it('tells leaves from inner nodes', () => {
    const [left, right] = [naiveLeaf(Buffer.from('a')), naiveLeaf(Buffer.from('b'))];
    expect(hex(nodeHash(left, right))).toBe(hex(naiveNode(left, right)));
    expect(hex(leafHashOf(Buffer.concat([left, right])))).not.toBe(hex(nodeHash(left, right)));
  });
});

describe('a frontier', () => {
  it('is not changed by what is appended to it', () => {
    const before = grown(someLeaves(7));
    const root = hex(frontierRoot(before));
    appendLeaf(before, naiveLeaf(Buffer.from('more')));
    expect(hex(frontierRoot(before))).toBe(root);
  });

  it('goes on as if it had never been written down', () => {
    const leaves = someLeaves(70);
    for (let size = 0; size < leaves.length; size++) {
      const read = unfaulted(readFrontier(JSON.parse(JSON.stringify(writeFrontier(grown(leaves.slice(0, size)))))));
      expect(frontierRoot(leaves.slice(size).reduce(appendLeaf, read))).toEqual(frontierRoot(grown(leaves)));
    }
  });

  it('has one root for each bit of its size', () => {
    expect(grown(someLeaves(255)).roots).toHaveLength(8);
    expect(grown(someLeaves(256)).roots).toHaveLength(1);
  });

  it.each([
    ['nothing', null],
    ['too few roots', { size: 3, roots: ['ab'.repeat(32)] }],
    ['too many roots', { size: 2, roots: ['ab'.repeat(32), 'ab'.repeat(32)] }],
    ['a short root', { size: 1, roots: ['ab'.repeat(31)] }],
    ['a root in capitals', { size: 1, roots: ['AB'.repeat(32)] }],
    ['a negative size', { size: -1, roots: [] }],
    ['half a leaf', { size: 0.5, roots: [] }],
    ['a size that cannot be counted', { size: 2 ** 60, roots: ['ab'.repeat(32)] }],
    ['something more', { size: 0, roots: [], more: 1 }],
  ])('of %s is refused', (_, value) => {
    expect(readFrontier(value)).toEqual({ fault: expect.stringMatching(/frontier/) });
  });
});

// RFC 9162, section 2.1.5: the tree of seven entries with its nodes by their names.
const [a, b, c, d, e, f, j] = REFERENCE.slice(0, 7).map(([entry]) => naiveLeaf(Buffer.from(entry, 'hex')));
if (!a || !b || !c || !d || !e || !f || !j) throw new Error('The reference tree has seven leaves');
const [g, h, i] = [naiveNode(a, b), naiveNode(c, d), naiveNode(e, f)];
const [k, l] = [naiveNode(g, h), naiveNode(i, j)];
const root7 = naiveNode(k, l);

describe('the proofs in the example of RFC 9162, section 2.1.5', () => {
  it.each([
    ['d0', 0, a, [b, h, l]],
    ['d3', 3, d, [c, g, l]],
    ['d4', 4, e, [f, j, k]],
    ['d6', 6, j, [i, k]],
  ])('hold: %s is in the tree', (_, index, leafHash, proof) => {
    expect(verifyInclusion({ index, size: 7, leafHash, root: root7, proof })).toBe(true);
  });

  it.each([
    [3, naiveNode(g, c), [c, d, g, l]],
    [4, k, [l]],
    [6, naiveNode(k, i), [i, j, k]],
  ])('hold: it begins with the tree of %d', (from, fromRoot, proof) => {
    expect(verifyConsistency({ from, to: 7, fromRoot, toRoot: root7, proof })).toBe(true);
  });
});

describe('an inclusion proof', () => {
  const size = fc.integer({ min: 1, max: 130 });

  it('as the definition gives it holds, and nothing else does', () => {
    const seed = printedSeed('inclusion proofs');
    fc.assert(
      fc.property(size, fc.nat(), fc.nat(), fc.nat(255), (count, number, other, bit) => {
        const leaves = someLeaves(count);
        const index = number % count;
        const leafHash = leaves[index] ?? EMPTY_ROOT;
        const right = { index, size: count, leafHash, root: naiveRoot(leaves), proof: naivePath(index, leaves) };
        expect(verifyInclusion(right)).toBe(true);
        const at = other % (right.proof.length + 1);
        const wrong = [
          { ...right, leafHash: flipped(leafHash, bit) },
          { ...right, root: flipped(right.root, bit) },
          { ...right, proof: [...right.proof.slice(0, at), EMPTY_ROOT, ...right.proof.slice(at)] },
          { ...right, proof: [...right.proof, right.root] },
          { ...right, index: index + count },
          { ...right, index: -1 },
          { ...right, index: index + 0.5 },
          { ...right, size: 0 },
          { ...right, size: Number.POSITIVE_INFINITY },
          { ...right, leafHash: leafHash.subarray(1) },
          ...right.proof.flatMap((hash, place) => [
            { ...right, proof: right.proof.with(place, flipped(hash, bit)) },
            { ...right, proof: right.proof.toSpliced(place, 1) },
            { ...right, proof: right.proof.with(place, hash.subarray(1)) },
          ]),
          ...leaves.map((_, elsewhere) => ({ ...right, index: elsewhere === index ? count : elsewhere })),
        ];
        expect(wrong.filter(verifyInclusion)).toEqual([]);
      }),
      { seed, numRuns: 150 },
    );
  });
});

describe('a consistency proof', () => {
  it('as the definition gives it holds, and nothing else does', () => {
    const seed = printedSeed('consistency proofs');
    const sizes = fc.tuple(fc.integer({ min: 1, max: 130 }), fc.integer({ min: 1, max: 130 }));
    fc.assert(
      fc.property(sizes, fc.nat(), fc.nat(255), (pair, other, bit) => {
        const [from, to] = [Math.min(...pair), Math.max(...pair)];
        const leaves = someLeaves(to);
        const [fromRoot, toRoot] = [naiveRoot(leaves.slice(0, from)), naiveRoot(leaves)];
        const right = { from, to, fromRoot, toRoot, proof: naiveProof(from, leaves) };
        expect(verifyConsistency(right)).toBe(true);
        const at = other % (right.proof.length + 1);
        const wrong = [
          { ...right, fromRoot: flipped(fromRoot, bit) },
          { ...right, toRoot: flipped(toRoot, bit) },
          { ...right, proof: [...right.proof.slice(0, at), EMPTY_ROOT, ...right.proof.slice(at)] },
          { ...right, proof: [...right.proof, toRoot] },
          { ...right, proof: [fromRoot, ...right.proof] },
          { ...right, from: to + 1 },
          { ...right, from: 0 },
          { ...right, from: -1 },
          { ...right, to: from - 1 },
          { ...right, to: to * 4 },
          { ...right, to: Number.NaN },
          ...right.proof.flatMap((hash, place) => [
            { ...right, proof: right.proof.with(place, flipped(hash, bit)) },
            { ...right, proof: right.proof.toSpliced(place, 1) },
          ]),
          ...(from === to ? [] : [{ ...right, fromRoot: toRoot, toRoot: fromRoot }]),
        ];
        expect(wrong.filter(verifyConsistency)).toEqual([]);
      }),
      { seed, numRuns: 150 },
    );
  });

  it('is not needed from the empty tree, nor from a tree to itself', () => {
    const toRoot = naiveRoot(someLeaves(5));
    expect(verifyConsistency({ from: 0, to: 5, fromRoot: EMPTY_ROOT, toRoot, proof: [] })).toBe(true);
    expect(verifyConsistency({ from: 0, to: 5, fromRoot: toRoot, toRoot, proof: [] })).toBe(false);
    expect(verifyConsistency({ from: 5, to: 5, fromRoot: toRoot, toRoot, proof: [] })).toBe(true);
    expect(verifyConsistency({ from: 5, to: 5, fromRoot: toRoot, toRoot, proof: [toRoot] })).toBe(false);
  });
});
