/** Since when intervals are counted, how long one is, and how far ahead of a caller at most (Durable Streams, 10.1). */
const EPOCH_MS = Date.UTC(2024, 9, 9);
const INTERVAL_MS = 20_000;
const JITTER_MAX = 3600_000 / INTERVAL_MS;

/** What a cursor looks like. */
export const CURSOR = /^\d{1,15}$/;

/**
 * The cursor of a live answer (Durable Streams, 10.1): it becomes part of the next request's address, so that no cache
 * gives a waiting reader the same empty answer for ever. Always greater than the one that the caller came with.
 *
 * @param given what the caller sent, undefined for none
 */
export function nextCursor(given: string | undefined, now: number): string {
  const current = Math.floor((now - EPOCH_MS) / INTERVAL_MS);
  const last = given === undefined ? -1 : Number(given);
  return String(last < current ? current : last + 1 + Math.floor(Math.random() * JITTER_MAX));
}
