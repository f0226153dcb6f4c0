import type { Limits } from '../../events/limits.ts';

/** How often it is looked whether there is pressure, in milliseconds. */
const STEP_MS = 1_000;
/** How long use counts towards a caller's share: between one and two of these. */
const WINDOW_MS = 5_000;
/** Requests in a step below which nothing can be said about them. */
const SAMPLE_MIN = 20;
/** How many times the even share of all callers makes a heavy one. */
const HEAVY = 1.5;
/** What a step of pressure leaves of the level, and what a step without gives back (additive increase, multiplicative decrease). */
const DECREASE = 0.7;
const INCREASE = 0.05;

/**
 * Finds out whether the service is under pressure, and who the heaviest callers are. While there is pressure the level
 * falls, and with it what *they* may do; everybody else keeps their whole limit. With one caller only there is nobody to
 * protect from them.
 */
export class Pressure {
  #level = 1;
  #stepAt = 0;
  #requests = 0;
  #slow = 0;
  #backlog = 0;
  #windowAt = 0;
  #current = new Map<string, number>();
  #previous = new Map<string, number>();
  #total = 0;
  #previousTotal = 0;

  /** Counts a request that was answered. */
  noteLatency(elapsedMs: number, { slowMs }: Limits['pressure']): void {
    this.#requests += 1;
    if (elapsedMs > slowMs) this.#slow += 1;
  }

  /** Takes the number of streams whose events wait. */
  noteBacklog(streams: number): void {
    this.#backlog = streams;
  }

  /**
   * Counts a request of a caller, and tells what share of their limit they have: 1, or less for the heaviest callers
   * while there is pressure.
   *
   * @param now milliseconds since 1970
   */
  shareOf(actor: string, settings: Limits['pressure'], now: number): number {
    this.#step(settings, now);
    this.#current.set(actor, (this.#current.get(actor) ?? 0) + 1);
    this.#total += 1;
    if (this.#level === 1) return 1;
    const callers = Math.max(this.#current.size, this.#previous.size);
    const used = (this.#current.get(actor) ?? 0) + (this.#previous.get(actor) ?? 0);
    const isHeavy = used > (HEAVY * (this.#total + this.#previousTotal)) / callers;
    return isHeavy ? this.#level : 1;
  }

  #step({ slowShare, backlog, floor }: Limits['pressure'], now: number): void {
    if (now - this.#windowAt >= WINDOW_MS) {
      // After a pause nothing of before counts.
      const isNext = now - this.#windowAt < 2 * WINDOW_MS;
      this.#previous = isNext ? this.#current : new Map();
      this.#previousTotal = isNext ? this.#total : 0;
      this.#current = new Map();
      this.#total = 0;
      this.#windowAt = now;
    }
    if (now - this.#stepAt < STEP_MS) return;
    const isSlow = this.#requests >= SAMPLE_MIN && this.#slow > slowShare * this.#requests;
    this.#level =
      isSlow || this.#backlog > backlog ? Math.max(floor, this.#level * DECREASE) : Math.min(1, this.#level + INCREASE);
    this.#stepAt = now;
    this.#requests = 0;
    this.#slow = 0;
  }
}

/** How this isolate is doing. */
export const pressure = new Pressure();
