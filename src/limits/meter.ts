import type { Rate } from '../../events/limits.ts';

/** Callers whose use is remembered before those with nothing used are forgotten, and then the oldest. */
const BUCKETS_MAX = 50_000;

/** What is left of a limit after a request. */
export interface Reading {
  readonly isAllowed: boolean;
  /** Requests that may come at once now. */
  readonly remaining: number;
  /** Seconds until the whole limit is there again. */
  readonly resetS: number;
  /** Seconds until one more may come; 0 when it may now. */
  readonly retryAfterS: number;
}

interface Bucket {
  /** Requests that may come at once, fractions included. */
  tokens: number;
  /** When that was, in milliseconds since 1970. */
  at: number;
}

/** Token buckets, one for each key: a limit's requests may all come at once, and flow back evenly. */
export class Meter {
  readonly #buckets = new Map<string, Bucket>();

  /** Uses one request of a limit up, if there is one. @param now milliseconds since 1970 */
  take(key: string, rate: Rate, now: number): Reading {
    const tokens = this.#tokens(key, rate, now);
    const isAllowed = tokens >= 1;
    const left = isAllowed ? tokens - 1 : tokens;
    const known = this.#buckets.get(key);
    if (known) {
      known.tokens = left;
      known.at = now;
    } else {
      if (this.#buckets.size >= BUCKETS_MAX) this.#makeRoom();
      this.#buckets.set(key, { tokens: left, at: now });
    }
    return readingOf(isAllowed, left, rate);
  }

  /** What is left of a limit, without using anything up: whether a request would be let through. */
  read(key: string, rate: Rate, now: number): Reading {
    const tokens = this.#tokens(key, rate, now);
    return readingOf(tokens >= 1, tokens, rate);
  }

  /** Requests that may come at once now, fractions included. */
  #tokens(key: string, { requests, seconds }: Rate, now: number): number {
    const known = this.#buckets.get(key);
    if (!known) return requests;
    return Math.min(requests, known.tokens + (Math.max(0, now - known.at) * requests) / (seconds * 1000));
  }

  /** Forgets the older half, which most likely has nothing used up any more. */
  #makeRoom(): void {
    let left = BUCKETS_MAX / 2;
    for (const key of this.#buckets.keys()) {
      if (left-- <= 0) return;
      this.#buckets.delete(key);
    }
  }
}

/** @param left requests that may come at once, fractions included */
function readingOf(isAllowed: boolean, left: number, { requests, seconds }: Rate): Reading {
  const perS = requests / seconds;
  return {
    isAllowed,
    remaining: Math.floor(left),
    resetS: Math.ceil((requests - left) / perS),
    retryAfterS: left >= 1 ? 0 : Math.ceil((1 - left) / perS),
  };
}
