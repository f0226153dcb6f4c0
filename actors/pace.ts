/** The shortest time from one drain to the next. */
const INTERVAL_MS = 500;
/** Events for which it is worth to wait, because they share a message, a request and a row. */
const WORTHWHILE = 4;
/** After so long without an event no more are waited for. */
const SILENCE_MS = 1_000;

/**
 * When the drains of one sink begin. The time between two of them doubles while several events share one, and halves
 * when they do not. It is kept to as long as the events that come meanwhile are many: the lone change after a burst,
 * as a new context's steps into ChittyOS are one, does not wait for company that will not come.
 */
export class Pace {
  readonly #longestMs: number;
  #startedAt = Number.NEGATIVE_INFINITY;
  #intervalMs = INTERVAL_MS;

  /** @param longestMs the longest time between two drains */
  constructor(longestMs: number) {
    this.#longestMs = longestMs;
  }

  /**
   * Milliseconds until it has to be asked again whether the next drain begins; 0 when it begins now.
   *
   * @param events how many have come since the last one
   * @param silentMs how long ago the last of them came
   */
  wait(now: number, events: number, silentMs: number): number {
    const elapsedMs = Math.max(now - this.#startedAt, 1);
    if (elapsedMs < INTERVAL_MS) return INTERVAL_MS - elapsedMs;
    const leftMs = this.#intervalMs - elapsedMs;
    const isWorthwhile = silentMs < SILENCE_MS && (events / elapsedMs) * leftMs >= WORTHWHILE;
    return isWorthwhile ? Math.min(leftMs, SILENCE_MS) : 0;
  }

  /** Notes that a drain begins which has so many events to bring. */
  started(now: number, events: number): void {
    const isQuiet = now >= this.#startedAt + 2 * this.#intervalMs;
    const last = isQuiet ? INTERVAL_MS : this.#intervalMs;
    this.#intervalMs = Math.min(this.#longestMs, Math.max(INTERVAL_MS, events > 1 ? 2 * last : last / 2));
    this.#startedAt = now;
  }
}
