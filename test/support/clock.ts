import { vi } from 'vitest';

/**
 * Does something while the clock shows another time. What is to be over when it is used is made earlier, or used later:
 * so it never ends too soon on a machine that does much else, and nobody waits for its end.
 *
 * @param ms how much later that is, in milliseconds; negative for earlier
 */
export async function atAnotherTime<Result>(ms: number, act: () => Promise<Result>): Promise<Result> {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms });
  try {
    return await act();
  } finally {
    vi.useRealTimers();
  }
}

/** How long before midnight (UTC) a test begins that a day's end would disturb, in milliseconds. */
const BEFORE_MIDNIGHT_MS = 60_000;
const DAY_MS = 24 * 60 * 60_000;

/** Waits for the end of the day (UTC) when it is near, for tests of what is kept by day. */
export async function awayFromMidnight(): Promise<void> {
  const leftMs = DAY_MS - (Date.now() % DAY_MS);
  if (leftMs < BEFORE_MIDNIGHT_MS) await new Promise((resolve) => setTimeout(resolve, leftMs + 10));
}

/** Stops the clock: what is known here stays as new as it is, however long the rest takes. */
export function stopClock(): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
}
