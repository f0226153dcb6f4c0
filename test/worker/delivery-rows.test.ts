import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { play } from '../support/outbox-play.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const every = (ms: number, count: number) => Array.from({ length: count }, (_, index) => index * ms);

describe('the rows that an object writes', () => {
  it('for a lone change are its event, the alarm behind it and the cursors', async () => {
    expect((await play('rows lone', [0])).rows).toBe(3);
    expect((await play('rows lone again', [0], { before: [0] })).rows).toBe(3);
  });

  it.each([1_300, 2_500, 4_900, 5_000, 5_100, 6_000, 12_000])(
    'for two changes %i ms apart are no more than for two lone ones',
    async (gap) => {
      expect((await play(`rows ${gap}`, [0, gap])).rows).toBeLessThanOrEqual(6);
    },
  );

  it('for two changes 200 ms apart are their events, and the alarm and the cursors once', async () => {
    expect((await play('rows two', [0, 200])).rows).toBe(4);
  });

  it('for ten changes 500 ms apart are their events, the alarm, twice more because it fired too early and for what arrived then, and the cursors', async () => {
    expect((await play('rows ten', every(500, 10))).rows).toBeLessThanOrEqual(14);
  });

  it('for a change after the ten steps of a process are those of a lone one', async () => {
    for (const pauseMs of [1_000, 2_000, 5_000, 20_000]) {
      const { rows } = await play(`rows after steps ${pauseMs}`, [0], { before: every(60, 10), pauseMs });
      expect([pauseMs, rows]).toEqual([pauseMs, expect.toSatisfy((count: number) => count <= 4)]);
    }
  });

  it('of a stream that changes all the time are hardly more than its events', { timeout: 120_000 }, async () => {
    const { rows, upserts, messages } = await play('rows busy', every(100, 600));
    expect(rows).toBeLessThanOrEqual(600 + 12);
    // A minute: soon every 8 s, which is the longest interval here.
    expect(upserts).toBeLessThanOrEqual(12);
    expect(messages).toBeLessThanOrEqual(12);
  });
});
