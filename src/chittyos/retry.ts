/** The ceiling of the pause before the second attempt; it doubles with each further one. */
const PAUSE_BASE_MS = 200;

/** The longest Retry-After that is believed: a service must not be able to switch itself off for good. */
const RETRY_AFTER_MAX_MS = 5 * 60 * 1000;

/** Server errors that say that the request will never be understood. */
const PERMANENT_SERVER_ERRORS: ReadonlySet<number> = new Set([501, 505]);

/** Client errors that say "not now". */
const TRANSIENT_CLIENT_ERRORS: ReadonlySet<number> = new Set([408, 425, 429]);

/** Tells whether a status may be another one when the same request is sent again. */
export function isTransientStatus(status: number): boolean {
  return status >= 500 ? !PERMANENT_SERVER_ERRORS.has(status) : TRANSIENT_CLIENT_ERRORS.has(status);
}

/** Milliseconds to wait after the given attempt (from 1): exponential with full jitter, so that callers spread out. */
export function pauseAfter(attempt: number): number {
  return Math.random() * PAUSE_BASE_MS * 2 ** (attempt - 1);
}

/**
 * Reads a Retry-After header (RFC 9110, section 10.2.3), in seconds or as an HTTP date.
 *
 * @returns milliseconds from `now`, at most 5 minutes; undefined when there is none or it makes no sense
 */
export function readRetryAfter(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  // Date.parse takes almost anything, also "-1"; an HTTP date begins with the name of a day.
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : /^[A-Z][a-z]+,? /.test(text) ? Date.parse(text) - now : NaN;
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), RETRY_AFTER_MAX_MS);
}
