import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AlarmClock } from '../../actors/alarm-clock.ts';
import { createContext } from '../support/api.ts';
import { objectOf, patch } from '../support/rest.ts';

describe('an alarm that is set for something that waits', () => {
  it('is not put off by a change that comes after the object was evicted', async () => {
    const { id, name } = await createContext();
    const soon = Date.now() + 60_000;
    await runInDurableObject(objectOf(id), (_object, { storage }) => storage.setAlarm(soon));
    await evictDurableObject(objectOf(id));
    // Changes nothing, but its answer is to be forgotten in a day.
    expect((await patch(id, { name }, { 'Idempotency-Key': 'nothing changes' })).status).toBe(200);
    const alarm = await runInDurableObject(objectOf(id), (_object, { storage }) => storage.getAlarm());
    expect(alarm).toBe(soon);
  });
});

describe('an alarm that is asked for while another rings', () => {
  it('is set once, for the earliest time, and is on disk before the work of the other ends', async () => {
    const calls: unknown[] = [];
    const synced = Promise.withResolvers<void>();
    const storage = {
      getAlarm: async () => null,
      setAlarm: async (time: number | Date) => void calls.push(['set', time]),
      sync: () => {
        calls.push('sync');
        return synced.promise;
      },
    };
    const clock = new AlarmClock({ storage, blockConcurrencyWhile: (work) => work() }, false);
    const ringing = clock.ring(async () => {
      for (const time of [9_000, 5_000, 7_000]) clock.armBy(time);
    });
    const end = ringing.then(() => calls.push('ended'));
    await scheduler.wait(10);
    expect(calls).toEqual([['set', 5_000], 'sync']);
    synced.resolve();
    await end;
    expect(calls.at(-1)).toBe('ended');
  });
});

describe('an alarm that the platform has lost', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  function clockWith(setAt: number) {
    const set: unknown[] = [];
    const storage = {
      getAlarm: async () => setAt,
      setAlarm: async (time: number | Date) => void set.push(time),
      sync: async () => {},
    };
    return { set, clock: new AlarmClock({ storage, blockConcurrencyWhile: (work) => work() }, true) };
  }

  it('rings at once when the next is asked for, which does not put it off', async () => {
    const now = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now });
    const { set, clock } = clockWith(now - 60_000);
    await scheduler.wait(0);
    clock.armBy(now + 86_400_000);
    expect(set).toEqual([now]);
    clock.armBy(now + 86_400_000);
    expect(set).toHaveLength(1);
  });

  it('is told from one that is about to ring', async () => {
    const now = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now });
    const { set, clock } = clockWith(now - 1_000);
    await scheduler.wait(0);
    clock.armBy(now + 1_000);
    expect(set).toEqual([]);
  });
});
