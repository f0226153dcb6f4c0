import type { Rate } from '../../events/limits.ts';
import type { Reading } from './meter.ts';

/** A limit by its name, and what is left of it. */
export interface Counted {
  readonly policy: string;
  readonly rate: Rate;
  readonly reading: Reading;
}

/**
 * The headers that tell a caller what they may do (draft-ietf-httpapi-ratelimit-headers-10): each limit that applies
 * with its requests (q) and window (w), and for each what remains (r) and in how many seconds it is whole again (t).
 */
export function rateLimitHeaders(counted: readonly Counted[]): Record<string, string> {
  return {
    'RateLimit-Policy': counted
      .map(({ policy, rate }) => `"${policy}";q=${rate.requests};w=${rate.seconds}`)
      .join(', '),
    RateLimit: counted
      .map(({ policy, reading }) => `"${policy}";r=${reading.remaining};t=${reading.resetS}`)
      .join(', '),
  };
}
