/** How long the same is not said again, in milliseconds. */
const ONCE_MS = 60_000;
/** What is remembered to have been said before all is forgotten. */
const SAID_MAX = 10_000;

/** What this isolate has said within the last minute. It saves saying the same again; nothing depends on it. */
export class OnceAMinute {
  /** When something was last said, in milliseconds since 1970. */
  readonly #saidAt = new Map<string, number>();

  /** Whether it was said within the last minute. @param now as `saidAt` */
  wasSaid(what: string, now: number): boolean {
    // A clock that goes back says nothing about how long ago it was.
    return Math.abs(now - (this.#saidAt.get(what) ?? 0)) < ONCE_MS;
  }

  /** Remembers that it was said. */
  note(what: string, now: number): void {
    if (this.#saidAt.size >= SAID_MAX) this.#saidAt.clear();
    this.#saidAt.set(what, now);
  }
}
