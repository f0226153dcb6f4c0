import { isWithin } from '../within.ts';

/** Calls that fail one after the other before no more are sent. */
const FAILURES_TO_OPEN = 5;

/** How long nothing is sent before one call is let through to see. */
const OPEN_MS = 10_000;

/** How long that one call may take. It is longer than any call is, so only one that was lost takes it all. */
const TEST_MAX_MS = 30_000;

/** What callers are told to wait while that one call is under way. */
const TEST_PAUSE_MS = 1_000;

/** Where a circuit breaker stands. */
export type BreakerState = 'closed' | 'open' | 'half-open';

/**
 * A circuit breaker for one service, kept in the memory of the isolate. Our own few lines, because cockatiel's can be
 * loaded in no Worker (its modules abort a controller in the global scope) and lets callers wait for the call that tests
 * the service: here that call may belong to a request that was cancelled, whose promises never settle.
 */
export class CircuitBreaker {
  #failures = 0;
  /** When it opened, in milliseconds since 1970; null while it is closed. */
  #openedAt: number | null = null;
  /** When the call that tests the service began; null while there is none. */
  #testingSince: number | null = null;

  get state(): BreakerState {
    if (this.#openedAt === null) return 'closed';
    return this.#testingSince === null ? 'open' : 'half-open';
  }

  /**
   * Does `work`, unless the circuit is open.
   *
   * @param work resolves to whether the service did well
   * @returns null when the work was done, otherwise the milliseconds to wait before the next try
   */
  async run(work: () => Promise<boolean>): Promise<number | null> {
    const now = Date.now();
    const openedAt = this.#openedAt;
    if (openedAt !== null) {
      if (isWithin(OPEN_MS, openedAt, now)) return openedAt + OPEN_MS - now;
      // A test that was lost with its request is given up.
      if (this.#testingSince !== null && isWithin(TEST_MAX_MS, this.#testingSince, now)) return TEST_PAUSE_MS;
      this.#testingSince = now;
    }
    const isWell = await work();
    // What began before the circuit opened, and a test that was given up, have no say any more.
    if (openedAt !== this.#openedAt || (openedAt !== null && this.#testingSince !== now)) return null;
    this.#note(isWell, openedAt !== null);
    return null;
  }

  #note(isWell: boolean, isTest: boolean): void {
    this.#testingSince = null;
    this.#failures = isWell ? 0 : this.#failures + 1;
    if (isWell) this.#openedAt = null;
    else if (isTest || this.#failures >= FAILURES_TO_OPEN) this.#openedAt = Date.now();
  }
}
