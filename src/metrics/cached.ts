import { SingleFlight, within } from '../chittyos/single-flight.ts';
import { isWithin } from '../within.ts';

/** How long something is remembered. */
const FRESH_MS = 30_000;

/** Something that is looked up at most every 30 seconds, once for all who ask, in the memory of an isolate. */
export class Cached<Value> {
  readonly #flight = new SingleFlight<Value | null>();
  #last: { readonly value: Value; readonly at: number } | null = null;

  /**
   * The value, not older than 30 seconds.
   *
   * @param patienceMs how long this takes at most, whatever `find` does
   * @returns null when it was not found in time
   */
  async get(find: () => Promise<Value>, patienceMs: number): Promise<Value | null> {
    if (this.#last && isWithin(FRESH_MS, this.#last.at)) return this.#last.value;
    return this.#flight.run(async () => {
      const value = await within(find(), patienceMs);
      if (value !== null) this.#last = { value, at: Date.now() };
      return value;
    }, patienceMs);
  }
}
