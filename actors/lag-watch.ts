import { noteLag } from './measures.ts';

/** An event on its way to a destination. */
interface Followed {
  readonly version: number;
  /** When it was appended, in milliseconds since 1970. */
  readonly at: number;
}

/**
 * Sees how long it takes from an append until each destination has the event: of one event after the other, the first
 * that is appended after the last one has arrived. So nothing is read or stored for it, and one that waits for a busy
 * stream's next drain is followed for the whole time. What is on its way when the object is lost is not counted.
 */
export class LagWatch {
  readonly #followed = new Map<string, Followed>();

  /** Takes up the newest event for a destination, unless another is under way there. */
  appended(destination: string, version: number, now: number): void {
    if (!this.#followed.has(destination)) this.#followed.set(destination, { version, at: now });
  }

  /** Looks what has arrived. */
  confirmed(cursors: ReadonlyMap<string, { readonly confirmed: number }>, now: number): void {
    for (const [destination, { version, at }] of this.#followed) {
      if ((cursors.get(destination)?.confirmed ?? 0) < version) continue;
      this.#followed.delete(destination);
      // Not less than nothing, whatever the clock does.
      noteLag(destination, Math.max(0, now - at));
    }
  }
}
