import {
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhenResult,
  isBrokenCircuitError,
} from 'cockatiel';

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

/** A circuit breaker for one service, kept in the memory of the isolate. */
export class CircuitBreaker {
  #policy: CircuitBreakerPolicy;
  /** When the state last changed, in milliseconds since 1970. */
  #changedAt = 0;

  constructor() {
    this.#policy = this.#create();
  }

  get state(): BreakerState {
    switch (this.#policy.state) {
      case CircuitState.Closed:
        return 'closed';
      case CircuitState.HalfOpen:
        return 'half-open';
      default:
        return 'open';
    }
  }

  /**
   * Does `work`, unless the circuit is open.
   *
   * @param work resolves to whether the service did well
   * @returns null when the work was done, otherwise the milliseconds to wait before the next try
   */
  async run(work: () => Promise<boolean>): Promise<number | null> {
    if (this.#policy.state === CircuitState.HalfOpen) {
      // cockatiel lets other callers wait for the call that tests the service. Here that call may belong to a request
      // that was cancelled, whose promises never settle: nobody waits for it, and one that is lost is given up.
      if (Date.now() - this.#changedAt < TEST_MAX_MS) return TEST_PAUSE_MS;
      this.#policy = this.#create(this.#policy.toJSON());
    }
    try {
      await this.#policy.execute(work);
      return null;
    } catch (error) {
      if (isBrokenCircuitError(error)) return Math.max(1, this.#changedAt + OPEN_MS - Date.now());
      throw error;
    }
  }

  #create(initialState?: unknown): CircuitBreakerPolicy {
    const policy = circuitBreaker(
      handleWhenResult((isWell) => isWell === false),
      { breaker: new ConsecutiveBreaker(FAILURES_TO_OPEN), halfOpenAfter: OPEN_MS, initialState },
    );
    policy.onStateChange(() => {
      // A policy that was replaced may still hear from its lost test.
      if (policy === this.#policy) this.#changedAt = Date.now();
    });
    return policy;
  }
}
