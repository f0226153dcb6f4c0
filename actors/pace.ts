/** The shortest time from one drain to the next. */
const INTERVAL_MS = 500;
/** Events for which it is worth to wait, because they share a message, a request and a row. */
const WORTHWHILE = 4;
/** How many times as long the time between two drains becomes at most from one to the next. */
const GROWTH_MAX = 4;
/** The part of each time between two drains that is left to chance. */
const SPREAD = 0.3;
/** After so long without an event no more are waited for. */
const SILENCE_MS = 1_000;

/**
 * When the drains of one sink begin. The time between two of them grows while several events share one, the faster the
 * more, and halves when they do not. No two streams keep the same time: those that are changed by the same load would
 * else all drain at once, and everybody would wait for that. The time is kept to as long as the events that come
 * meanwhile are many: the lone change after a burst, as a new context's steps into ChittyOS are one, does not wait for
 * company that will not come.
 */
export class Pace {
  readonly #longestMs: number;
  readonly #random: () => number;
  #startedAt = Number.NEGATIVE_INFINITY;
  #intervalMs = INTERVAL_MS;
  /** The interval, less what chance takes of it. */
  #waitMs = INTERVAL_MS;

  /**
   * @param longestMs the longest time between two drains
   * @param random from 0 to 1
   */
  constructor(longestMs: number, random: () => number = Math.random) {
    this.#longestMs = longestMs;
    this.#random = random;
  }

  /**
   * Milliseconds until it has to be asked again whether the next drain begins; 0 when it begins now.
   *
   * @param events how many have come since the last one
   * @param silentMs how long ago the last of them came
   */
  wait(now: number, events: number, silentMs: number): number {
    // The clock was put back: nothing is known of the time that has passed, and it is not waited for to come again.
    if (now < this.#startedAt) this.#startedAt = now;
    const elapsedMs = Math.max(now - this.#startedAt, 1);
    if (elapsedMs < INTERVAL_MS) return INTERVAL_MS - elapsedMs;
    const leftMs = this.#waitMs - elapsedMs;
    const isWorthwhile = silentMs < SILENCE_MS && (events / elapsedMs) * leftMs >= WORTHWHILE;
    return isWorthwhile ? Math.min(leftMs, SILENCE_MS) : 0;
  }

  /** Notes that a drain begins which has so many events to bring. */
  started(now: number, events: number): void {
    const isQuiet = now >= this.#startedAt + 2 * this.#intervalMs;
    const last = isQuiet ? INTERVAL_MS : this.#intervalMs;
    this.#intervalMs = Math.min(this.#longestMs, Math.max(INTERVAL_MS, last * growth(events)));
    this.#waitMs = this.#intervalMs * (1 - SPREAD * this.#random());
    this.#startedAt = now;
  }
}

/** How many times as long the next time is, after one in which so many events came. */
function growth(events: number): number {
  return events > 1 ? Math.min(events, GROWTH_MAX) : 0.5;
}
