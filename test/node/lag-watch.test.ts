import { describe, expect, it } from 'vitest';
import { LagWatch } from '../../actors/lag-watch.ts';
import { drainLags, LAG_BUCKETS_MS } from '../../actors/measures.ts';

/** The lags of a destination that were counted: how many by the bound of their bucket, and their sum. */
function lags(destination: string) {
  const { buckets = [], sumMs = 0 } = drainLags().get(destination) ?? {};
  const counted = buckets.flatMap((count, index) => (count > 0 ? [[LAG_BUCKETS_MS[index] ?? 'more', count]] : []));
  return { counted, sumMs };
}

const at = (confirmed: number, destination: string) => new Map([[destination, { confirmed }]]);

describe('the lag of a destination', () => {
  it('is the time from an append until the event has arrived', () => {
    const watch = new LagWatch();
    watch.appended('a', 1, 1_000);
    watch.confirmed(at(0, 'a'), 1_010);
    expect(lags('a')).toEqual({ counted: [], sumMs: 0 });
    watch.confirmed(at(1, 'a'), 1_040);
    watch.confirmed(at(1, 'a'), 9_999);
    expect(lags('a')).toEqual({ counted: [[50, 1]], sumMs: 40 });
  });

  it('is that of the event which waits longest, when more come meanwhile', () => {
    const watch = new LagWatch();
    for (const [version, now] of [
      [1, 0],
      [2, 100],
      [3, 3_000],
    ] as const)
      watch.appended('b', version, now);
    watch.confirmed(at(2, 'b'), 4_000);
    expect(lags('b')).toEqual({ counted: [[5_000, 1]], sumMs: 4_000 });
    // Version 3 was not followed; what comes now is.
    watch.appended('b', 4, 5_000);
    watch.confirmed(at(3, 'b'), 5_100);
    watch.confirmed(at(4, 'b'), 5_250);
    expect(lags('b').sumMs).toBe(4_250);
  });

  it('counts what takes longer than any bound, and nothing less than no time', () => {
    const watch = new LagWatch();
    watch.appended('c', 1, 0);
    watch.confirmed(at(1, 'c'), 400_000);
    watch.appended('c', 2, 500_000);
    watch.confirmed(at(2, 'c'), 100_000);
    expect(lags('c')).toEqual({
      counted: [
        [LAG_BUCKETS_MS[0], 1],
        ['more', 1],
      ],
      sumMs: 400_000,
    });
  });
});
