import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import type { StreamHead } from '../../actors/transparency-log-object.ts';
import { TransparencyShardActor } from '../../actors/transparency-shard-object.ts';

const root = (digit: string) => digit.repeat(64);

/** A shard on storage that outlives it, a log that can be down, and what streams were told. */
class ShardWorld {
  isDown = false;
  readonly batches: (readonly StreamHead[])[] = [];
  readonly told: [string, number][] = [];
  readonly #state: DurableObjectState;
  shard: TransparencyShardActor;

  constructor(state: DurableObjectState) {
    this.#state = state;
    this.shard = this.start();
  }

  /** Starts it anew: what was in its memory is gone. */
  start(): TransparencyShardActor {
    this.shard = new TransparencyShardActor(this.#state, env, {
      collectMs: 5,
      append: async (heads) => {
        if (this.isDown) throw new Error('the log is down');
        this.batches.push(heads);
        return this.batches.flat().length - heads.length;
      },
      tell: async (stream, size) => {
        this.told.push([stream, size]);
      },
    });
    return this.shard;
  }
}

function inShardWorld(act: (world: ShardWorld) => Promise<void>): Promise<void> {
  const stub = env.COUNTERS.get(env.COUNTERS.newUniqueId());
  return runInDurableObject(stub, (_object, state) => act(new ShardWorld(state)));
}

describe('a shard of the log', () => {
  it('hands on the newest head of each stream together, remembers where each is, and tells the streams', async () => {
    await inShardWorld(async (world) => {
      expect(world.shard.offer('context/a', { size: 1, root: root('1') })).toBe('taken');
      world.shard.offer('context/b', { size: 7, root: root('b') });
      world.shard.offer('context/a', { size: 3, root: root('3') });
      // One that comes late takes nothing back.
      world.shard.offer('context/a', { size: 2, root: root('2') });
      await vi.waitFor(() => expect(world.told).toHaveLength(2));
      expect(world.batches).toEqual([
        [
          { stream: 'context/a', size: 3, root: root('3') },
          { stream: 'context/b', size: 7, root: root('b') },
        ],
      ]);
      expect(world.told).toEqual([
        ['context/a', 3],
        ['context/b', 7],
      ]);
      expect(world.shard.heads('context/b', 10)).toEqual([{ size: 7, index: 1, root: root('b') }]);
    });
  });

  it('has nothing logged twice, and says of a head that is logged already that it is', async () => {
    await inShardWorld(async (world) => {
      const head = { size: 1, root: root('1') };
      world.shard.offer('context/a', head);
      await vi.waitFor(() => expect(world.told).toHaveLength(1));
      expect(world.shard.offer('context/a', head)).toBe('logged');
      expect(world.start().offer('context/a', head)).toBe('logged');
      expect(world.batches).toHaveLength(1);
    });
  });

  it('refuses a stream that has another root at a size that is logged: its history was rewritten', async () => {
    await inShardWorld(async (world) => {
      world.shard.offer('context/a', { size: 1, root: root('1') });
      await vi.waitFor(() => expect(world.told).toHaveLength(1));
      expect(() => world.shard.offer('context/a', { size: 1, root: root('2') })).toThrow(/rewritten/);
      expect(world.shard.heads('context/a', 10)).toEqual([{ size: 1, index: 0, root: root('1') }]);
    });
  });

  it('tries again while the log is down, and hands on what has come meanwhile', async () => {
    await inShardWorld(async (world) => {
      world.isDown = true;
      world.shard.offer('context/a', { size: 1, root: root('1') });
      await scheduler.wait(20);
      world.shard.offer('context/a', { size: 2, root: root('2') });
      world.isDown = false;
      await vi.waitFor(() => expect(world.told).toEqual([['context/a', 2]]));
      expect(world.batches).toEqual([[{ stream: 'context/a', size: 2, root: root('2') }]]);
    });
  });

  it('tells no stream of a head that was lost with its process, so that it comes again', async () => {
    await inShardWorld(async (world) => {
      world.isDown = true;
      world.shard.offer('context/a', { size: 1, root: root('1') });
      await scheduler.wait(10);
      expect(world.told).toEqual([]);
      const next = world.start();
      world.isDown = false;
      expect(next.offer('context/a', { size: 1, root: root('1') })).toBe('taken');
      await vi.waitFor(() => expect(world.told.length).toBeGreaterThan(0));
      expect(next.heads('context/a', 10)).toHaveLength(1);
    });
  });

  it('gives of many heads the last, and others that are spread evenly', async () => {
    await inShardWorld(async (world) => {
      for (let size = 1; size <= 20; size++) {
        world.shard.offer('context/a', { size, root: root('1') });
        await vi.waitFor(() => expect(world.told).toHaveLength(size));
      }
      expect(world.shard.heads('context/a', 20)).toHaveLength(20);
      expect(world.shard.heads('context/a', 4).map(({ size }) => size)).toEqual([5, 10, 15, 20]);
      expect(world.shard.heads('context/a', 3).map(({ size }) => size)).toEqual([6, 13, 20]);
    });
  });
});
