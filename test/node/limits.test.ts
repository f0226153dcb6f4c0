import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, limitsSchema } from '../../events/limits.ts';
import { rateLimitHeaders } from '../../src/limits/headers.ts';
import { Meter } from '../../src/limits/meter.ts';
import { Pressure } from '../../src/limits/pressure.ts';
import { printedSeed } from '../support/seed.ts';

const TEN_IN_TEN = { requests: 10, seconds: 10 };

describe('a meter', () => {
  it('lets all requests of a limit come at once, and then one for each that has flowed back', () => {
    const meter = new Meter();
    const allowed = Array.from({ length: 12 }, () => meter.take('a', TEN_IN_TEN, 0).isAllowed);
    expect(allowed.filter(Boolean)).toHaveLength(10);
    expect(meter.take('a', TEN_IN_TEN, 0)).toEqual({ isAllowed: false, remaining: 0, resetS: 10, retryAfterS: 1 });
    expect(meter.take('a', TEN_IN_TEN, 1_000).isAllowed).toBe(true);
    expect(meter.take('a', TEN_IN_TEN, 1_000).isAllowed).toBe(false);
    expect(meter.take('b', TEN_IN_TEN, 1_000).remaining).toBe(9);
  });

  it('takes no clock that goes back for one that has gone on', () => {
    const meter = new Meter();
    for (let n = 0; n < 10; n++) meter.take('a', TEN_IN_TEN, 100_000);
    expect(meter.take('a', TEN_IN_TEN, 1).isAllowed).toBe(false);
  });

  it('holds a limit that was lowered at once', () => {
    const meter = new Meter();
    meter.take('a', TEN_IN_TEN, 0);
    expect(meter.take('a', { requests: 2, seconds: 10 }, 0).remaining).toBe(1);
  });

  it('never lets more through than the limit and what flows back, whatever the times', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 20 }),
        (pauses, requests, seconds) => {
          const meter = new Meter();
          let now = 0;
          let passed = 0;
          for (const pause of pauses) {
            now += pause;
            if (meter.take('a', { requests, seconds }, now).isAllowed) passed += 1;
            expect(passed).toBeLessThanOrEqual(requests + (now * requests) / (seconds * 1000) + 1e-6);
          }
        },
      ),
      { seed: printedSeed('a meter') },
    );
  });
});

describe('pressure', () => {
  const settings = { slowMs: 100, slowShare: 0.1, backlog: 10, floor: 0.2 };

  /** A second in which `heavy` sends ten times as much as each of five others. @returns the shares at its end */
  function second(pressure: Pressure, at: number, elapsedMs: number): { heavy: number; light: number } {
    let [heavy, light] = [1, 1];
    for (let n = 0; n < 100; n++) {
      heavy = pressure.shareOf('heavy', settings, at + n);
      if (n % 10 === 0) for (let other = 0; other < 5; other++) light = pressure.shareOf(`l${other}`, settings, at + n);
      pressure.noteLatency(elapsedMs, settings);
    }
    return { heavy, light };
  }

  it('lowers the share of the heaviest caller alone, down to the floor, and gives it back afterwards', () => {
    const pressure = new Pressure();
    expect(second(pressure, 0, 10)).toEqual({ heavy: 1, light: 1 });
    const shares = Array.from({ length: 10 }, (_, n) => second(pressure, 1_000 * (n + 1), 500));
    expect(shares.map(({ light }) => light)).toEqual(Array(10).fill(1));
    expect(shares[2]?.heavy).toBeLessThan(1);
    expect(shares.at(-1)?.heavy).toBe(0.2);
    const after = Array.from({ length: 30 }, (_, n) => second(pressure, 1_000 * (n + 11), 10).heavy);
    expect(after.at(-1)).toBe(1);
  });

  it('comes of a backlog as well', () => {
    const pressure = new Pressure();
    pressure.noteBacklog(11);
    second(pressure, 0, 10);
    expect(second(pressure, 1_000, 10).heavy).toBeLessThan(1);
  });

  it('takes nothing from one who is alone', () => {
    const pressure = new Pressure();
    for (let n = 0; n < 5_000; n++) {
      expect(pressure.shareOf('only', settings, n)).toBe(1);
      pressure.noteLatency(500, settings);
    }
  });
});

describe('the headers', () => {
  it('are written as draft-ietf-httpapi-ratelimit-headers-10 has them', () => {
    const reading = new Meter().take('a', TEN_IN_TEN, 0);
    expect(
      rateLimitHeaders([
        { policy: 'write', rate: TEN_IN_TEN, reading },
        {
          policy: 'createContext',
          rate: { requests: 5, seconds: 60 },
          reading: { ...reading, remaining: 4, resetS: 12 },
        },
      ]),
    ).toEqual({
      'RateLimit-Policy': '"write";q=10;w=10, "createContext";q=5;w=60',
      RateLimit: '"write";r=9;t=1, "createContext";r=4;t=12',
    });
  });
});

describe('limits', () => {
  it.each([
    ['a rate of nothing', { unauthenticated: { requests: 0, seconds: 60 } }],
    ['a rate without an end', { unauthenticated: { requests: 1, seconds: 1e9 } }],
    ['a negative quota', { quotas: { day: -1, month: null } }],
    ['an actor that is none', { actors: { __proto__: null, 'act_1; DROP': { isExempt: true } } }],
    ['a member that is unknown', { everything: true }],
  ])('with %s are refused', (_, change) => {
    expect(limitsSchema.safeParse({ ...DEFAULT_LIMITS, ...change }).success).toBe(false);
    expect(limitsSchema.safeParse(DEFAULT_LIMITS).success).toBe(true);
  });
});
