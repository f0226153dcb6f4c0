import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeHash, verifyConsistency, verifyInclusion } from '../../events/merkle.ts';
import {
  consistencyProof,
  fetchConsistencyProof,
  fetchInclusionProof,
  inclusionProof,
  rootAt,
  type Tile,
  type TileName,
  tileOf,
} from '../../events/proof.ts';
import {
  changedTiles,
  decodeEntries,
  encodeEntries,
  entriesPath,
  growTiles,
  parseTilePath,
  tilePath,
} from '../../events/tiles.ts';
import { naiveNode, naivePath, naiveProof, naiveRoot, someLeaves } from '../support/naive-tree.ts';
import { printedSeed } from '../support/seed.ts';
import { unfaulted } from '../support/unfaulted.ts';

/** A log that keeps its tiles by their paths, as a server does, with every partial tile that was published. */
class TiledLog {
  readonly files = new Map<string, Uint8Array>();
  readonly asked: string[] = [];
  size = 0;

  readonly read = (tile: TileName): Uint8Array | null => {
    this.asked.push(tilePath(tile));
    return this.files.get(tilePath(tile)) ?? null;
  };

  append(leaves: readonly Uint8Array[]): Tile[] {
    const tiles = unfaulted(growTiles(this.size, leaves, this.read));
    for (const tile of tiles) this.files.set(tilePath(tile), tile.hashes);
    this.size += leaves.length;
    return tiles;
  }
}

describe('the path of a tile', () => {
  // C2SP tlog-tiles, "Merkle Tree".
  it.each([
    [{ level: 0, index: 1234067, width: 256 }, 'tile/0/x001/x234/067'],
    [{ level: 0, index: 0, width: 256 }, 'tile/0/000'],
    [{ level: 5, index: 999, width: 1 }, 'tile/5/999.p/1'],
    [{ level: 63, index: 1000, width: 255 }, 'tile/63/x001/000.p/255'],
    [{ level: 0, index: 2 ** 53 - 1, width: 256 }, 'tile/0/x009/x007/x199/x254/x740/991'],
  ])('of %j is %s', (tile, path) => {
    expect(tilePath(tile)).toBe(path);
    expect(parseTilePath(path)).toEqual({ kind: 'tile', ...tile });
  });

  it('of entries has no level', () => {
    expect(entriesPath({ index: 1234067, width: 7 })).toBe('tile/entries/x001/x234/067.p/7');
    expect(parseTilePath('tile/entries/x001/x234/067.p/7')).toMatchObject({
      kind: 'entries',
      index: 1234067,
      width: 7,
    });
  });

  it.each([
    '',
    'tile',
    '/tile/0/000',
    'tile/0/000/',
    'tile/00/000',
    'tile/64/000',
    'tile/-1/000',
    'tile/x/000',
    'tile/0/0',
    'tile/0/0000',
    'tile/0/x000/001',
    'tile/0/001/234',
    'tile/0/x001',
    'tile/0/x001/x234',
    'tile/0/000.p/0',
    'tile/0/000.p/00',
    'tile/0/000.p/05',
    'tile/0/000.p/256',
    'tile/0/000.p/',
    'tile/0/x999/x999/x999/x999/x999/999',
    `tile/0/${'x001/'.repeat(1000)}001`,
    'tile/0/../000',
    'tile/data/000',
    'tile/0/000\n',
  ])('is not %j', (path) => {
    expect(parseTilePath(path)).toEqual({ fault: expect.stringMatching(/tile/) });
  });
});

describe('the tiles of a log', () => {
  it('of 70,000 entries are those of the specification', () => {
    const tiles = changedTiles(0, 70_000);
    const count = (level: number, isFull: boolean) =>
      tiles.filter((tile) => tile.level === level && (tile.width === 256) === isFull).length;
    expect([count(0, true), count(0, false), count(1, true), count(1, false), count(2, false)]).toEqual([
      273, 1, 1, 1, 1,
    ]);
    expect(tiles.filter(({ width }) => width < 256).map(({ width }) => width)).toEqual([112, 17, 1]);
  });

  it('of 256 entries are a full one and one of a single hash above it', () => {
    expect(changedTiles(0, 256)).toEqual([
      { level: 0, index: 0, width: 256 },
      { level: 1, index: 0, width: 1 },
    ]);
  });

  it.each([
    [0, 0, []],
    [5, 5, []],
    [255, 256, ['tile/0/000', 'tile/1/000.p/1']],
    [256, 257, ['tile/0/001.p/1']],
    [300, 301, ['tile/0/001.p/45']],
    [65_535, 65_536, ['tile/0/255', 'tile/1/000', 'tile/2/000.p/1']],
  ])('from %d to %d entries change as little as can be', (from, to, paths) => {
    expect(changedTiles(from, to).map(tilePath)).toEqual(paths);
  });

  it('hold the hashes that the definition gives, in whatever steps the log grew', () => {
    const seed = printedSeed('the growth of tiles');
    const leaves = someLeaves(1500);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 6 }), (steps) => {
        const log = new TiledLog();
        for (const step of steps) {
          const added = leaves.slice(log.size, log.size + step);
          const changed = changedTiles(log.size, log.size + added.length);
          expect(log.append(added).map(tilePath)).toEqual(changed.map(tilePath));
          for (const { level, index, width } of changed) {
            const under = 256 ** level;
            const hashes = Array.from({ length: width }, (_, at) => {
              const start = (index * 256 + at) * under;
              return naiveRoot(leaves.slice(start, start + under));
            });
            expect(Buffer.compare(log.read({ level, index, width }) ?? Buffer.of(), Buffer.concat(hashes))).toBe(0);
          }
        }
      }),
      { seed, numRuns: 15 },
    );
  });

  it('cost the object of a stream less than one row in a hundred events', () => {
    const leaves = someLeaves(70_000);
    const rows = new Map<string, Uint8Array>();
    let written = 0;
    for (let size = 256; size <= leaves.length; size += 256) {
      const read = ({ level, index }: TileName) => rows.get(`${level}/${index}`) ?? null;
      for (const tile of unfaulted(growTiles(size - 256, leaves.slice(size - 256, size), read))) {
        rows.set(`${tile.level}/${tile.index}`, tile.hashes);
        written++;
      }
    }
    expect(written).toBeLessThan(leaves.length / 100);
    // What it keeps, and the leaf hashes of the events behind the last full tile, give every proof.
    const read = ({ level, index, width }: TileName) =>
      rows.get(`${level}/${index}`) ?? (level === 0 ? tileOf(leaves.slice(index * 256, index * 256 + width)) : null);
    for (const size of [1, 255, 256, 257, 5000, 65_536, 65_537, 69_999, 70_000]) {
      const index = Math.floor(size / 3);
      const proof = unfaulted(inclusionProof(index, size, read));
      const root = unfaulted(rootAt(size, read));
      expect(verifyInclusion({ index, size, leafHash: leaves[index] ?? Buffer.of(), root, proof })).toBe(true);
    }
    expect(Buffer.from(unfaulted(rootAt(70_000, read))).equals(naiveRoot(leaves))).toBe(true);
  });
});

describe('proofs from tiles', () => {
  const leaves = someLeaves(1100);
  const log = new TiledLog();
  // Published at every size, so that each of them has its partial tiles.
  for (const leaf of leaves) log.append([leaf]);
  const hexes = (hashes: readonly Uint8Array[]) => hashes.map((hash) => Buffer.from(hash).toString('hex'));
  const sizes = fc.tuple(fc.integer({ min: 1, max: 1100 }), fc.nat());

  it('are those of the definition, for every size there ever was', async () => {
    const seed = printedSeed('proofs from tiles');
    await fc.assert(
      fc.asyncProperty(sizes, async ([size, other]) => {
        const tree = leaves.slice(0, size);
        const index = other % size;
        const from = other % (size + 1);
        const fetch = async (tile: TileName) => log.read(tile);
        expect(hexes(unfaulted(inclusionProof(index, size, log.read)))).toEqual(hexes(naivePath(index, tree)));
        expect(hexes(unfaulted(await fetchInclusionProof(index, size, fetch)))).toEqual(hexes(naivePath(index, tree)));
        const consistency = from === 0 ? [] : naiveProof(from, tree);
        expect(hexes(unfaulted(consistencyProof(from, size, log.read)))).toEqual(hexes(consistency));
        expect(hexes(unfaulted(await fetchConsistencyProof(from, size, fetch)))).toEqual(hexes(consistency));
        expect(hexes([unfaulted(rootAt(size, log.read))])).toEqual(hexes([naiveRoot(tree)]));
      }),
      { seed, numRuns: 100 },
    );
  });

  it('read two tiles of each level at most', () => {
    const seed = printedSeed('tiles that proofs read');
    fc.assert(
      fc.property(sizes, ([size, other]) => {
        for (const prove of [
          () => inclusionProof(other % size, size, log.read),
          () => consistencyProof(other % (size + 1), size, log.read),
        ]) {
          log.asked.length = 0;
          prove();
          for (const level of [0, 1, 2]) {
            expect(log.asked.filter((path) => path.startsWith(`tile/${level}/`)).length).toBeLessThanOrEqual(2);
          }
        }
      }),
      { seed, numRuns: 200 },
    );
  });

  it('say which tile is missing or short', async () => {
    const missing = { fault: 'Tile 4 of level 0 is missing or has not its 76 hashes' };
    const short = (bytes: number) => (tile: TileName) => log.read(tile)?.subarray(0, tile.width * 32 - bytes) ?? null;
    const lost = (tile: TileName) => (tile.level === 0 && tile.index === 4 ? null : log.read(tile));
    expect(inclusionProof(1099, 1100, lost)).toEqual(missing);
    expect(await fetchInclusionProof(1099, 1100, async (tile) => lost(tile))).toEqual(missing);
    expect(rootAt(1100, lost)).toEqual(missing);
    for (const bytes of [1, 32]) {
      expect(consistencyProof(5, 1100, short(bytes))).toHaveProperty('fault');
      expect(growTiles(1100, leaves.slice(0, 1), short(bytes))).toHaveProperty('fault');
    }
    expect(growTiles(1100, leaves.slice(0, 1), lost)).toEqual(missing);
  });

  it('of a changed tile do not hold', () => {
    const root = naiveRoot(leaves);
    const changed = (tile: TileName) => {
      const bytes = Uint8Array.from(log.read(tile) ?? []);
      if (tile.level === 1) bytes[40] = (bytes[40] ?? 0) ^ 1;
      return bytes;
    };
    const proof = unfaulted(inclusionProof(1000, 1100, changed));
    const leafHash = leaves[1000] ?? Buffer.of();
    expect(verifyInclusion({ index: 1000, size: 1100, leafHash, root, proof })).toBe(false);
    const honest = unfaulted(inclusionProof(1000, 1100, log.read));
    expect(verifyInclusion({ index: 1000, size: 1100, leafHash, root, proof: honest })).toBe(true);
  });

  it.each([
    [-1, 5],
    [5, 5],
    [6, 5],
    [0.5, 5],
    [0, 0],
    [0, 2 ** 60],
    [Number.NaN, 5],
  ])('of leaf %d in a tree of %d are refused', (index, size) => {
    expect(() => inclusionProof(index, size, log.read)).toThrow(RangeError);
  });

  it.each([
    [6, 5],
    [-1, 5],
    [1.5, 5],
    [0, Number.POSITIVE_INFINITY],
  ])('from size %d to %d are refused', (from, to) => {
    expect(() => consistencyProof(from, to, log.read)).toThrow(RangeError);
  });

  it('hold in trees of up to 2^53 leaves', () => {
    // All leaves alike: each perfect tree of one height has the same root, so no tree need be built.
    const heights = [someLeaves(1)[0] ?? Buffer.of()];
    for (let height = 1; height <= 53; height++) {
      const below = heights[height - 1] ?? Buffer.of();
      heights.push(naiveNode(below, below));
    }
    const leafHash = heights[0] ?? Buffer.of();
    const read = ({ level, width }: TileName) => tileOf(Array(width).fill(heights[level * 8] ?? Buffer.of()));
    const big = fc.maxSafeInteger().map(Math.abs);
    const edges = fc.tuple(fc.integer({ min: 1, max: 53 }), fc.integer({ min: -2, max: 2 })).map(([height, near]) => {
      return Math.max(1, Math.min(2 ** height + near, Number.MAX_SAFE_INTEGER));
    });
    const seed = printedSeed('proofs in huge trees');
    fc.assert(
      fc.property(fc.oneof(big, edges), fc.oneof(big, edges), (one, other) => {
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        fc.pre(from < to && from > 0);
        const [fromRoot, toRoot] = [unfaulted(rootAt(from, read)), unfaulted(rootAt(to, read))];
        const inclusion = unfaulted(inclusionProof(from, to, read));
        expect(verifyInclusion({ index: from, size: to, leafHash, root: toRoot, proof: inclusion })).toBe(true);
        const proof = unfaulted(consistencyProof(from, to, read));
        expect(verifyConsistency({ from, to, fromRoot, toRoot, proof })).toBe(true);
        expect(verifyConsistency({ from, to, fromRoot: nodeHash(fromRoot, fromRoot), toRoot, proof })).toBe(false);
      }),
      { seed, numRuns: 100 },
    );
  });
});

describe('a bundle of entries', () => {
  const entry = fc.uint8Array({ maxLength: 300 });

  it('is read as it was written', () => {
    const seed = printedSeed('bundles of entries');
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 256 }), (entries) => {
        const read = decodeEntries(encodeEntries(entries), entries.length);
        expect(unfaulted(read).map((bytes) => Buffer.from(bytes))).toEqual(entries.map((bytes) => Buffer.from(bytes)));
      }),
      { seed, numRuns: 50 },
    );
  });

  it('has the length of each entry before it, big-endian', () => {
    expect([...encodeEntries([Buffer.from('ab'), new Uint8Array(), new Uint8Array(258).fill(1)])].slice(0, 8)).toEqual([
      0, 2, 97, 98, 0, 0, 1, 2,
    ]);
    expect(encodeEntries([new Uint8Array(65_535)])).toHaveLength(65_537);
  });

  it('cut, continued or of another width is refused', () => {
    const bundle = encodeEntries([Buffer.from('one'), Buffer.from('two')]);
    for (let length = 0; length < bundle.length; length++) {
      expect(decodeEntries(bundle.subarray(0, length), 2)).toHaveProperty('fault');
    }
    expect(decodeEntries(Buffer.concat([bundle, Buffer.of(0)]), 2)).toHaveProperty('fault');
    expect(decodeEntries(bundle.subarray(0, -1), 2)).toEqual({ fault: 'Entry 1 of the bundle is cut' });
    expect(decodeEntries(bundle, 1)).toHaveProperty('fault');
    expect(decodeEntries(bundle, 3)).toHaveProperty('fault');
  });

  it('takes no entry that is too long, and no 257th', () => {
    expect(() => encodeEntries([new Uint8Array(65_536)])).toThrow(RangeError);
    expect(() => encodeEntries(Array(257).fill(Buffer.from('x')))).toThrow(RangeError);
  });
});
