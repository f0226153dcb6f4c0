const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** The waits between the attempts at one event, in milliseconds: the first day of the schedule in Standard Webhooks 1.0. */
const WAITS_MS = [5_000, 5 * MINUTE_MS, 30 * MINUTE_MS, 2 * HOUR_MS, 5 * HOUR_MS, 10 * HOUR_MS, 14 * HOUR_MS];

/** A receiver can ask for a longer wait, up to this. */
export const RETRY_AFTER_MAX_MS = 24 * HOUR_MS;

/** By how much a wait may be shortened, so that what failed together does not come back together. */
const JITTER = 0.2;

/**
 * When an event is sent again that has failed, in milliseconds since 1970.
 *
 * @param attempts how often it was sent
 * @param retryAfterMs how long the receiver asked to be left alone; null when it did not
 * @returns null when it was sent often enough
 */
export function nextAttemptAt(attempts: number, retryAfterMs: number | null, now: number): number | null {
  const wait = WAITS_MS[attempts - 1];
  if (wait === undefined) return null;
  const jittered = Math.round(wait * (1 - Math.random() * JITTER));
  return now + Math.max(jittered, Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS));
}
