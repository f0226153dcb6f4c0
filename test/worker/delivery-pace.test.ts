import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DELIVERY_MS, play } from '../support/outbox-play.ts';

/** More than the grain of the clock in these tests, and far less than a person notices. */
const LITTLE_MS = 100;
/** The shortest time between two drains. */
const INTERVAL_MS = 500;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const every = (ms: number, count: number) => Array.from({ length: count }, (_, index) => index * ms);

describe('a lone change', () => {
  it('goes on at once', async () => {
    const { directLags, queueLags } = await play('pace lone', [0]);
    expect(directLags[0]).toBeLessThanOrEqual(LITTLE_MS);
    expect(queueLags[0]).toBeLessThanOrEqual(DELIVERY_MS + LITTLE_MS);
  });

  it.each([1_000, 2_000, 3_000, 5_000, 9_000])(
    '%i ms after the steps of a process does not wait for more',
    async (pauseMs) => {
      const before = every(60, 10);
      const { directLags, queueLags } = await play(`pace after steps ${pauseMs}`, [0], { before, pauseMs });
      expect(directLags[0]).toBeLessThanOrEqual(INTERVAL_MS);
      // A message that is under way has to be confirmed first.
      expect(queueLags[0]).toBeLessThanOrEqual((pauseMs < 4_000 ? 2 : 1) * DELIVERY_MS + LITTLE_MS);
    },
  );

  it.each([6_000, 15_000, 60_000])('%i ms after a busy time does not wait for more', async (pauseMs) => {
    const { directLags, queueLags } = await play(`pace after load ${pauseMs}`, [0], {
      before: every(50, 160),
      pauseMs,
    });
    expect(directLags[0]).toBeLessThanOrEqual(LITTLE_MS);
    expect(queueLags[0]).toBeLessThanOrEqual((pauseMs < 10_000 ? 2 : 1) * DELIVERY_MS + LITTLE_MS);
  });

  it('of many, seconds apart, each goes on at once', async () => {
    const { directLags, queueLags } = await play('pace slow', every(2_000, 20));
    expect(Math.max(...directLags)).toBeLessThanOrEqual(LITTLE_MS);
    expect(Math.max(...queueLags)).toBeLessThanOrEqual(DELIVERY_MS + LITTLE_MS);
  });
});

describe('changes that come fast', () => {
  it('share upserts and messages, the more the longer it goes on, and none waits longer than the sink allows', {
    timeout: 120_000,
  }, async () => {
    const { upserts, messages, directLags } = await play('pace busy', every(50, 600));
    expect(upserts).toBeLessThanOrEqual(8);
    expect(messages).toBeLessThanOrEqual(8);
    expect(Math.max(...directLags)).toBeLessThanOrEqual(8_000 + LITTLE_MS);
  });

  it('of a burst share them as well', async () => {
    const { upserts, messages } = await play('pace burst', every(20, 25));
    expect(upserts).toBeLessThanOrEqual(3);
    expect(messages).toBeLessThanOrEqual(2);
  });
});
