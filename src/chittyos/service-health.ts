import { type BreakerState, CircuitBreaker } from './circuit-breaker.ts';
import { type CallResult, type Failure, type FailureKind, isServiceFault, isTurnedAway } from './failure.ts';

/** What this isolate knows of a service from the calls it made. Times are ISO 8601; null is "not yet". */
export interface ServiceStatus {
  readonly breaker: BreakerState;
  /** When it last answered as it should. A "no such thing" is such an answer. */
  readonly lastSuccessAt: string | null;
  readonly lastFailure: { readonly at: string; readonly kind: FailureKind; readonly detail: string } | null;
  /** How long the last attempt took, in milliseconds. */
  readonly lastLatencyMs: number | null;
}

/** Watches the calls to one service: the circuit breaker and what a health check shows. */
export class ServiceHealth {
  readonly #breaker = new CircuitBreaker();
  #lastSuccessAt: string | null = null;
  #lastFailure: ServiceStatus['lastFailure'] = null;
  #lastLatencyMs: number | null = null;

  get status(): ServiceStatus {
    return {
      breaker: this.#breaker.state,
      lastSuccessAt: this.#lastSuccessAt,
      lastFailure: this.#lastFailure,
      lastLatencyMs: this.#lastLatencyMs,
    };
  }

  /**
   * Makes one attempt through the circuit breaker and notes how it went.
   *
   * @returns the attempt's result, or the milliseconds to wait when it was not made
   */
  async watch<Value>(attempt: () => Promise<CallResult<Value>>): Promise<CallResult<Value> | number> {
    const made: { result?: CallResult<Value> } = {};
    const waitMs = await this.#breaker.run(async () => {
      const startedAt = Date.now();
      const result = await attempt();
      made.result = result;
      this.#lastLatencyMs = Date.now() - startedAt;
      return this.#note(result);
    });
    return made.result ?? waitMs ?? 0;
  }

  /** @returns whether the service is well, as far as the circuit breaker is concerned */
  #note(result: CallResult<unknown>): boolean {
    const failure: Failure | null = result.ok ? null : result.failure;
    const isWell = failure === null || !isServiceFault(failure);
    const now = new Date().toISOString();
    if (failure && (!isWell || isTurnedAway(failure))) {
      this.#lastFailure = { at: now, kind: failure.kind, detail: failure.detail };
    } else {
      this.#lastSuccessAt = now;
    }
    return isWell;
  }
}
