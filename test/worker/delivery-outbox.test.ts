import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { act, EVENTS_MAX, OutboxWorld, step } from '../support/outbox-world.ts';
import { printedSeed } from '../support/seed.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
  vi.spyOn(scheduler, 'wait').mockImplementation((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
  // The jitter of the pauses; a seed must lead to the same run again.
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Runs `test` with the storage of an object that nothing else uses. */
function withStorage(name: string, test: (sql: SqlStorage) => Promise<void>): Promise<void> {
  return runInDurableObject(env.COUNTERS.get(env.COUNTERS.idFromName(name)), (_object, { storage }) =>
    test(storage.sql),
  );
}

const versions = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

describe('the outbox', () => {
  it('brings every destination each event once and in order, whatever is lost, late, twice, down, evicted or restored from a backup, and when the clock is put back', {
    timeout: 300_000,
  }, async () => {
    const seed = printedSeed('outbox model');
    await withStorage('outbox model', (sql) =>
      fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }), async (steps) => {
          const world = new OutboxWorld(sql);
          for (const next of steps) {
            await act(world, next);
            world.expectNothingPassedOver();
          }
          await world.settle();
          // One that has lost events is found out by the next one.
          await world.append(1);
          await world.settle();
          for (const [name, received] of world.received) {
            expect([name, received]).toEqual([name, versions(world.version)]);
            expect(world.outbox.cursors.get(name)).toMatchObject({ confirmed: world.version, attempts: 0 });
          }
          expect(world.isListedAsBehind).toBe(false);
        }),
        { seed, numRuns: 100 },
      ),
    );
  });
});

describe('a destination of two that share their messages', () => {
  it('misses nothing that was sent to the other while it was down', () =>
    withStorage('outbox shared', async (sql) => {
      const world = new OutboxWorld(sql);
      world.broken.add('slow');
      await world.append(2);
      await world.pass();
      expect(world.outbox.cursors.get('slow')?.confirmed).toBe(0);
      expect(world.outbox.cursors.get('fast')?.confirmed).toBe(2);
      await world.append(1);
      world.broken.delete('slow');
      await world.pass();
      expect(world.outbox.cursors.get('fast')?.confirmed).toBe(3);
      expect(world.received.get('slow')).not.toContain(3);
      await world.settle();
      expect(world.received.get('slow')).toEqual([1, 2, 3]);
    }));

  it('that has arrived after the alarm is known to have, when the object is lost: what comes next waits for nothing', () =>
    withStorage('outbox late', async (sql) => {
      const world = new OutboxWorld(sql);
      await world.append(1);
      await world.tick(6_000);
      for (const message of world.messages.splice(0)) world.consume(message);
      for (const reports of world.reports.splice(0)) world.outbox.report(reports);
      await world.tick(6_000);
      world.evict();
      await world.append(1);
      await world.tick(1_000);
      expect(world.messages.map(({ versions }) => versions)).toEqual([[2]]);
    }));

  it('is not held up by the other that has much to catch up with', () =>
    withStorage('outbox catching up', async (sql) => {
      const world = new OutboxWorld(sql);
      world.broken.add('slow');
      for (let round = 0; round < 4; round++) {
        await world.append(EVENTS_MAX);
        await world.pass();
      }
      world.broken.delete('slow');
      await world.append(1);
      await world.pass();
      expect(world.outbox.cursors.get('fast')?.confirmed).toBe(world.version);
      expect(world.outbox.cursors.get('slow')?.confirmed).toBeLessThan(world.version);
    }));

  it('that refuses what it is sent is listed as behind, and goes on when the refusal is settled', () =>
    withStorage('outbox refused', async (sql) => {
      const world = new OutboxWorld(sql);
      await world.append(1);
      world.messages.length = 0;
      world.outbox.report({ slow: { first: 1, last: 1, failed: 'it is not liked', isRefused: true } });
      await world.pass();
      expect(world.isListedAsBehind).toBe(true);
      expect(world.outbox.cursors.get('slow')).toMatchObject({ confirmed: 0, lastError: 'it is not liked' });
      world.outbox.report({ slow: { first: 1, last: 1 } });
      world.outbox.report({ fast: { first: 1, last: 1 } });
      await world.pass();
      expect(world.isListedAsBehind).toBe(false);
    }));
});

describe('a sweep', () => {
  /** A sweep each minute, and no alarm. */
  async function sweep(world: OutboxWorld, minutes: number): Promise<void> {
    for (let minute = 0; minute < minutes; minute++) {
      await vi.advanceTimersByTimeAsync(60_000);
      expect(await world.outbox.wake()).toBe(false);
    }
  }

  it('sends nothing again that was refused before its time has come, and lists it anew', () =>
    withStorage('outbox swept', async (sql) => {
      const world = new OutboxWorld(sql);
      await world.append(1);
      world.messages.length = 0;
      const refused = { first: 1, last: 1, failed: 'it is not liked', isRefused: true };
      world.outbox.report({ slow: refused, fast: { first: 1, last: 1 } });
      await sweep(world, 1);
      expect(world.isListedAsBehind).toBe(true);
      world.isListedAsBehind = false;
      await sweep(world, 25);
      expect(world.isListedAsBehind).toBe(true);
      expect(world.messages).toEqual([]);
      // Whoever has mended the reason waits for nothing.
      await world.outbox.flush();
      expect(world.messages).toEqual([{ destinations: ['slow'], versions: [1] }]);
    }));

  it('sends nothing again that may still be confirmed', () =>
    withStorage('outbox swept early', async (sql) => {
      const world = new OutboxWorld(sql);
      await world.append(1);
      await vi.advanceTimersByTimeAsync(5_000);
      expect(await world.outbox.wake()).toBe(false);
      expect(world.messages).toHaveLength(1);
    }));

  it('delivers what is due when the alarm was lost', () =>
    withStorage('outbox swept late', async (sql) => {
      const world = new OutboxWorld(sql);
      world.broken.add('direct');
      await world.append(1);
      world.broken.delete('direct');
      await vi.advanceTimersByTimeAsync(3_600_000);
      await world.outbox.wake();
      expect(world.received.get('direct')).toEqual([1]);
    }));
});

describe('a clock that is put back', () => {
  const putBack = (ms: number) => vi.setSystemTime(Date.now() - ms);

  it('holds up no stream that has just delivered', () =>
    withStorage('outbox put back', async (sql) => {
      const world = new OutboxWorld(sql);
      await world.append(1);
      putBack(3_600_000);
      await world.append(1);
      await world.tick(2_000);
      expect(world.received.get('direct')).toEqual([1, 2]);
    }));

  it('puts off neither what failed nor what was not confirmed', () =>
    withStorage('outbox put off', async (sql) => {
      const world = new OutboxWorld(sql);
      world.broken.add('direct');
      await world.append(1);
      world.broken.delete('direct');
      world.messages.length = 0;
      putBack(3_600_000);
      await world.outbox.wake();
      expect(world.received.get('direct')).toEqual([1]);
      expect(world.messages).toEqual([{ destinations: ['fast', 'slow'], versions: [1] }]);
      // As late as after any other attempt.
      await vi.advanceTimersByTimeAsync(10_000);
      await world.outbox.wake();
      expect(world.messages).toHaveLength(1);
    }));

  it('by a moment, as clocks are set right, has nothing sent again', () =>
    withStorage('outbox set right', async (sql) => {
      const world = new OutboxWorld(sql);
      await world.append(1);
      putBack(900);
      await world.outbox.wake();
      expect(world.messages).toHaveLength(1);
    }));
});

describe('an object that ends while it tells that it is behind', () => {
  it('tells that it has caught up when it has', () =>
    withStorage('outbox untold', async (sql) => {
      const world = new OutboxWorld(sql);
      world.isMonitorSilent = true;
      await world.append(1);
      world.messages.length = 0;
      world.outbox.report({ slow: { first: 1, last: 1, failed: 'it is down' } });
      await world.pass();
      expect(world.isListedAsBehind).toBe(true);
      world.evict();
      world.isMonitorSilent = false;
      world.outbox.report({ slow: { first: 1, last: 1 }, fast: { first: 1, last: 1 } });
      await world.settle();
      expect(world.isListedAsBehind).toBe(false);
    }));
});

describe('a report', () => {
  it('that comes late or twice, or is about what comes later, moves nothing', () =>
    withStorage('outbox reports', async (sql) => {
      const world = new OutboxWorld(sql);
      await world.append(3);
      const confirmed = () => world.outbox.cursors.get('fast')?.confirmed;
      world.outbox.report({ fast: { first: 2, last: 3 } });
      expect(confirmed()).toBe(0);
      world.outbox.report({ fast: { first: 1, last: 4 } });
      expect(confirmed()).toBe(0);
      world.outbox.report({ fast: { first: 1, last: 2 } });
      expect(confirmed()).toBe(2);
      world.outbox.report({ fast: { first: 1, last: 1 }, nobody: { first: 1, last: 3 } });
      expect(confirmed()).toBe(2);
      world.outbox.report({ fast: { first: 1, last: 2, failed: 'late news', isRefused: true } });
      expect(world.outbox.cursors.get('fast')).toMatchObject({ confirmed: 2, attempts: 0, lastError: null });
      world.outbox.report({ fast: { first: 1, last: 3 } });
      expect(confirmed()).toBe(3);
    }));

  it('that comes before the queue has said that it took the message leaves nothing to wait for', () =>
    withStorage('outbox early report', async (sql) => {
      const world = new OutboxWorld(sql);
      world.onSend = () => world.outbox.report({ fast: { first: 1, last: 1 }, slow: { first: 1, last: 1 } });
      await world.append(1);
      expect(world.outbox.cursors.get('fast')).toMatchObject({ confirmed: 1, attempts: 0, retryAt: 0 });
      expect(world.outbox.cursors.get('slow')).toMatchObject({ confirmed: 1, attempts: 0, retryAt: 0 });
    }));
});

describe('a destination that was restored from a backup', () => {
  /** A world whose destinations all have so many events. */
  async function settled(sql: SqlStorage, events: number, eventsMax?: number): Promise<OutboxWorld> {
    const world = new OutboxWorld(sql, eventsMax);
    await world.append(events);
    await world.settle();
    expect(world.received.get('slow')).toEqual(versions(events));
    return world;
  }

  it('gets again what it has lost, and the others nothing', () =>
    withStorage('outbox restored', async (sql) => {
      const world = await settled(sql, 8);
      world.restore('slow', 2);
      await world.append(1);
      for (const message of world.messages.splice(0)) world.consume(message);
      for (const reports of world.reports.splice(0)) world.outbox.report(reports);
      expect(world.outbox.cursors.get('slow')).toMatchObject({
        confirmed: 2,
        lastError: expect.stringContaining('has lost events'),
      });
      await world.pass();
      expect(world.messages.every(({ destinations }) => destinations.join() === 'slow')).toBe(true);
      await world.settle();
      expect(world.received.get('slow')).toEqual(versions(9));
      expect(world.received.get('fast')).toEqual(versions(9));
      expect(world.outbox.cursors.get('slow')).toMatchObject({ confirmed: 9, lastError: null });
    }));

  it('remembers over an eviction how far it has to go back', () =>
    withStorage('outbox restored and evicted', async (sql) => {
      const world = await settled(sql, 5);
      world.restore('slow', 0);
      await world.append(1);
      await world.pass();
      await world.tick(60_000);
      world.evict();
      expect(world.outbox.cursors.get('slow')?.confirmed).toBeLessThan(6);
      await world.settle();
      expect(world.received.get('slow')).toEqual(versions(6));
    }));

  it('that cannot say so is sent again what somebody asks for', () =>
    withStorage('outbox resent', async (sql) => {
      const world = await settled(sql, 6);
      world.restore('fast', 2);
      expect(world.outbox.resend('fast', 3)).toBe(true);
      expect(world.outbox.resend('nobody', 1)).toBe(false);
      // The object is lost before it could send anything.
      world.evict();
      await world.settle();
      expect(world.received.get('fast')).toEqual(versions(6));
    }));

  it('gets again what somebody asks for while it is given what comes next', () =>
    withStorage('outbox resent under way', async (sql) => {
      const world = await settled(sql, 6);
      world.onTaken = () => {
        world.onTaken = () => {};
        world.restore('direct', 0);
        world.outbox.resend('direct', 1);
      };
      await world.append(1);
      expect(world.outbox.cursors.get('direct')).toMatchObject({ confirmed: 7, attempts: 0 });
      expect(world.received.get('direct')).toEqual(versions(7));
    }));

  it(
    'that loses whatever it confirms is sent the stream again ever more seldom',
    () =>
      withStorage('outbox liar', async (sql) => {
        const world = await settled(sql, 6, 500);
        const before = world.deliveries.queue;
        // A change a minute for six hours, each of which finds that nothing is left.
        for (let minute = 0; minute < 360; minute++) {
          world.restore('slow', 0);
          await world.append(1);
          await world.tick(10_000);
          for (const message of world.messages.splice(0)) world.consume(message);
          for (const reports of world.reports.splice(0)) world.outbox.report(reports);
          await world.tick(50_000);
        }
        const cursor = world.outbox.cursors.get('slow');
        // Once an hour at last; the pause has doubled a dozen times before.
        expect(cursor?.rewinds).toBeGreaterThan(10);
        expect(cursor?.rewinds).toBeLessThan(25);
        expect(world.deliveries.queue - before).toBeLessThan(360 + 2 * 25);
        expect(cursor?.lastError).not.toBeNull();
      }),
    180_000,
  );
});

describe('who waits until a version has arrived', () => {
  it('leaves no timer behind when it has, which would keep the object awake', () =>
    withStorage('outbox awaited', async (sql) => {
      const world = new OutboxWorld(sql);
      await world.append(1);
      await world.settle();
      const timers = vi.getTimerCount();
      await world.append(1);
      const arrived = world.outbox.whenConfirmed('fast', 2, 60_000);
      for (const message of world.messages.splice(0)) world.consume(message);
      for (const reports of world.reports.splice(0)) world.outbox.report(reports);
      expect(await arrived).toBe(true);
      expect(vi.getTimerCount()).toBe(timers);
    }));

  it('is told that it has not when the time is up', () =>
    withStorage('outbox not arrived', async (sql) => {
      const world = new OutboxWorld(sql);
      world.broken.add('fast');
      await world.append(1);
      const arrived = world.outbox.whenConfirmed('fast', 1, 1_000);
      await vi.advanceTimersByTimeAsync(1_000);
      expect(await arrived).toBe(false);
    }));
});
