import { hexToBytes } from '@noble/hashes/utils.js';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { headLeaf } from '../../events/bundle.ts';
import { openCheckpoint } from '../../events/checkpoint.ts';
import { verifyInclusion } from '../../events/merkle.ts';
import { headOf, inLogWorld } from '../support/log-world.ts';
import { LOG_KEY, NEXT_LOG_KEY, ORIGIN } from '../support/proof-world.ts';
import { printedSeed } from '../support/seed.ts';
import { unfaulted } from '../support/unfaulted.ts';
import { TestWitness } from '../support/witness.ts';

const heads = (count: number, from = 0) => Array.from({ length: count }, (_, at) => headOf(from + at));

afterEach(() => {
  vi.useRealTimers();
});

describe('the log of logs', () => {
  it('publishes what it is given, and proves each entry of it in the signed checkpoint', async () => {
    await inLogWorld(async (world) => {
      expect(world.log.checkpoint()).toBeNull();
      expect(await world.log.append(heads(300))).toBe(0);
      expect(await world.log.append(heads(5, 300))).toBe(300);
      expect(world.look()).toMatchObject({ origin: ORIGIN, size: 305 });
      const indexes = [0, 1, 255, 256, 304];
      const proved = world.log.prove(indexes);
      const { size, root } = unfaulted(openCheckpoint(proved?.checkpoint ?? '', [LOG_KEY]));
      for (const [place, index] of indexes.entries()) {
        const { stream, ...head } = headOf(index);
        const leafHash = headLeaf(stream, { ...head, root: hexToBytes(head.root) });
        const proof = (proved?.proofs[place] ?? []).map(hexToBytes);
        expect(verifyInclusion({ index, size, root, leafHash, proof })).toBe(true);
        expect(verifyInclusion({ index: index + 1, size, root, leafHash, proof })).toBe(false);
      }
      expect(world.log.prove([305])).toBeNull();
    });
  });

  it('takes what comes at the same time in one checkpoint, each batch in its place', async () => {
    await inLogWorld(async (world) => {
      const firsts = await Promise.all([heads(2), heads(3, 2), heads(4, 5)].map((batch) => world.log.append(batch)));
      expect(firsts).toEqual([0, 2, 5]);
      expect(world.look()?.size).toBe(9);
    });
  });

  it('removes what was published of a tile while it was not full, a while after it is', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
    await inLogWorld(async (world) => {
      const partials = () => [...world.bucket.keys()].filter((path) => /000\.p/.test(path)).sort();
      for (const count of [100, 100]) await world.log.append(heads(count));
      const early = ['tile/0/000.p/100', 'tile/0/000.p/200', 'tile/entries/000.p/100', 'tile/entries/000.p/200'];
      expect(partials()).toEqual(early);
      await world.log.append(heads(100));
      // Who took a checkpoint just before finds what it needs, also where nobody cuts it out of the full tile.
      vi.setSystemTime(Date.now() + 9 * 60_000);
      await world.log.append(heads(1));
      expect(partials()).toEqual([...early, 'tile/1/000.p/1'].sort());
      vi.setSystemTime(Date.now() + 2 * 60_000);
      // Also when the process is killed just when it removes them: after it has signed and written two files.
      world.killAfter(4, false);
      await world.append(heads(1));
      await scheduler.wait(1);
      expect(partials()).toEqual([...early, 'tile/1/000.p/1'].sort());
      world.restart();
      await world.log.append(heads(1));
      await vi.waitFor(() => expect(partials()).toEqual(['tile/1/000.p/1']));
      expect([...world.bucket.keys()]).toEqual(expect.arrayContaining(['tile/0/000', 'tile/entries/000']));
      world.look();
    });
  });

  it('wherever its process is killed, what is shown is whole, never goes back and is told in one way only', {
    timeout: 60_000,
  }, async () => {
    const seed = printedSeed('transparency log');
    const kill = fc.record({ steps: fc.integer({ min: 1, max: 9 }), isLastDone: fc.boolean() });
    const round = fc.record({ count: fc.integer({ min: 1, max: 300 }), kill: fc.option(kill, { nil: null }) });
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 3, maxLength: 8 }), (rounds) =>
        inLogWorld(async (world) => {
          let acknowledged = 0;
          for (const [number, { count, kill: killed }] of rounds.entries()) {
            if (killed) world.killAfter(killed.steps, killed.isLastDone);
            const first = await world.append(heads(count, number * 1_000));
            if (first !== null) acknowledged = first + count;
            // Whoever looks before the next start sees what the dead process left.
            if (!killed) expect(world.look()?.size ?? 0).toBeGreaterThanOrEqual(acknowledged);
            else world.restart();
          }
          await world.log.append(heads(1, 999_999));
          expect(world.look()?.size).toBeGreaterThan(acknowledged);
        }),
      ),
      { seed, numRuns: 20 },
    );
  });

  it('finishes after a kill what was signed, without being given anything more', async () => {
    await inLogWorld(async (world) => {
      await world.log.append(heads(3));
      // Signed and stored; of the two files that it takes the second is not written.
      world.killAfter(3, false);
      expect(await world.append(heads(2, 3))).toBeNull();
      world.restart();
      expect(world.look()?.size).toBe(3);
      await vi.waitFor(() => expect(world.look()?.size).toBe(5));
    });
  });

  it('signs with both keys while one takes over from the other, and remembers both', async () => {
    await inLogWorld(async (world) => {
      await world.log.append(heads(1));
      world.signers = [LOG_KEY, NEXT_LOG_KEY];
      await world.log.append(heads(1, 1));
      const both = world.log.checkpoint() ?? '';
      for (const key of world.signers) expect(unfaulted(openCheckpoint(both, [key])).size).toBe(2);
      world.signers = [NEXT_LOG_KEY];
      await world.log.append(heads(1, 2));
      expect(openCheckpoint(world.log.checkpoint() ?? '', [LOG_KEY])).toHaveProperty('fault');
      expect(world.log.keys().keys).toHaveLength(2);
    });
  });
});

describe('witnesses', () => {
  it('sign what follows from what they have seen, and nothing waits for one that is down', async () => {
    await inLogWorld(async (world) => {
      const witness = new TestWitness();
      witness.logKeys = [LOG_KEY];
      let isDown = true;
      const ask = async (body: string) => {
        if (isDown) throw new Error('nobody is there');
        const { status, type, text } = witness.addCheckpoint(body);
        if (status === 200) return { lines: text };
        if (status === 409 && type === 'text/x.tlog.size') return { size: Number(text) };
        throw new Error(text);
      };
      const never = {
        key: { ...witness.key, name: 'witness.example/never' },
        ask: () => new Promise<never>(() => undefined),
      };
      world.witnesses = [{ key: witness.key, ask }, never];
      world.restart();
      await world.log.append(heads(2));
      const opened = () => unfaulted(openCheckpoint(world.log.checkpoint() ?? '', [LOG_KEY, witness.key]));
      expect(opened().cosignatures).toEqual([]);
      isDown = false;
      await world.log.append(heads(3, 2));
      await vi.waitFor(() => expect(opened().cosignatures).toHaveLength(1));
      expect(witness.size).toBe(5);
      // A witness that remembers more than we do says so.
      await world.log.append(heads(3, 5));
      await vi.waitFor(() => expect(opened()).toMatchObject({ size: 8, cosignatures: [{ key: witness.key }] }));
    });
  });

  it('are asked again from where they stand, when that is not where we thought', async () => {
    await inLogWorld(async (world) => {
      const witness = new TestWitness();
      witness.logKeys = [LOG_KEY];
      const requests: string[] = [];
      const ask = async (body: string) => {
        requests.push(body.split('\n')[0] ?? '');
        const { status, text } = witness.addCheckpoint(body);
        // The first answer is lost on its way.
        if (requests.length === 1) throw new Error('the line is cut');
        return status === 200 ? { lines: text } : { size: Number(text) };
      };
      world.witnesses = [{ key: witness.key, ask }];
      world.restart();
      await world.log.append(heads(2));
      await world.log.append(heads(2, 2));
      const opened = () => unfaulted(openCheckpoint(world.log.checkpoint() ?? '', [LOG_KEY, witness.key]));
      await vi.waitFor(() => expect(opened().cosignatures).toHaveLength(1));
      expect(requests).toEqual(['old 0', 'old 0', 'old 2']);
    });
  });

  it('whose signature is not right are left out', async () => {
    await inLogWorld(async (world) => {
      const witness = new TestWitness();
      let asked = 0;
      const ask = async () => {
        asked += 1;
        return { lines: `— ${witness.key.name} ${btoa('x'.repeat(76))}\n` };
      };
      world.witnesses = [{ key: witness.key, ask }];
      world.restart();
      await world.log.append(heads(2));
      await vi.waitFor(() => expect(asked).toBe(1));
      expect(world.log.checkpoint()).not.toContain(witness.key.name);
    });
  });
});
