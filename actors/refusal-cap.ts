/** Refusals of one caller that are recorded one by one in a window; those after them are only counted. */
const RECORDED_MAX = 60;
/** How long a window is, in milliseconds. It begins with its first refusal. */
export const WINDOW_MS = 60_000;

/** Callers, and things said once, that are remembered before those are forgotten whose window has passed. */
const REMEMBERED_MAX = 10_000;

interface Window {
  readonly since: number;
  count: number;
}

/** What to do about a refusal: record it; count it; count it and tell how many there were when the window ends. */
type Course = 'record' | 'count' | 'begin-to-count';

/**
 * Sees that a flood of refusals does not become a flood of events. In memory only: what is lost with it is how many there
 * were after the last one that was recorded, of a minute at most.
 */
export class RefusalCap {
  readonly #windows = new Map<string, Window>();
  readonly #saidAt = new Map<string, number>();

  /** Notes a refusal. @param now milliseconds since 1970 */
  note(caller: string, now: number): Course {
    const known = this.#windows.get(caller);
    // Those that are being counted are ended by whoever tells how many they were.
    if (!known || (known.count <= RECORDED_MAX && hasPassed(known.since, now))) {
      if (this.#windows.size >= REMEMBERED_MAX) this.#forget(now);
      this.#windows.set(caller, { since: now, count: 1 });
      return 'record';
    }
    known.count += 1;
    if (known.count <= RECORDED_MAX) return 'record';
    return known.count === RECORDED_MAX + 1 ? 'begin-to-count' : 'count';
  }

  /** Ends a caller's window. @returns how many refusals were only counted, and since when (milliseconds since 1970) */
  end(caller: string): { readonly count: number; readonly since: number } {
    const { count = 0, since = 0 } = this.#windows.get(caller) ?? {};
    this.#windows.delete(caller);
    return { count: Math.max(0, count - RECORDED_MAX), since };
  }

  /** Whether this was not said within the last window. */
  isNew(what: string, now: number): boolean {
    const at = this.#saidAt.get(what);
    if (at !== undefined && !hasPassed(at, now)) return false;
    if (this.#saidAt.size >= REMEMBERED_MAX) this.#forget(now);
    this.#saidAt.set(what, now);
    return true;
  }

  #forget(now: number): void {
    for (const [caller, { since, count }] of this.#windows) {
      if (count <= RECORDED_MAX && hasPassed(since, now)) this.#windows.delete(caller);
    }
    for (const [what, at] of this.#saidAt) if (hasPassed(at, now)) this.#saidAt.delete(what);
  }
}

function hasPassed(since: number, now: number): boolean {
  // A clock that went back says nothing about how long ago it was.
  return now - since >= WINDOW_MS || now < since;
}
