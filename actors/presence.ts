import type { Principal } from './principal.ts';

/** Names in a list of those who watch at most; how many more there are is said by a number. */
const NAMES_MAX = 100;
/** How long comings and goings are gathered before the others are told, at least. */
const GATHER_MS = 1_000;
/** Frames that may be sent per second to tell of them: with many watchers they are told less often. */
const FRAMES_PER_S = 1_000;

/** Who watches. */
export type Present = {
  /** The first of them. */
  readonly actors: readonly string[];
  /** How many they are. */
  readonly count: number;
};

/** Somebody who watches. */
interface Watcher {
  readonly principal: Principal;
}

/** What presence needs to know of the subscribers. */
interface Watchers<Subscriber extends Watcher> {
  all(): Iterable<Subscriber>;
  /** Those who asked to be told. */
  wanting(): ReadonlySet<Subscriber>;
  send(subscriber: Subscriber, frame: string): void;
}

/**
 * Tells those who ask for it who is watching with them. It is no event: nothing is kept, and an object that sleeps
 * has nothing to tell. The rate of frames has a bound, so that a crowd that comes and goes costs what it costs to tell
 * a few of it.
 */
export class Presence<Subscriber extends Watcher> {
  readonly #watchers: Watchers<Subscriber>;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** What the others were told last. */
  #told: string | null = null;

  constructor(watchers: Watchers<Subscriber>) {
    this.#watchers = watchers;
  }

  /** Who watches now, in the order in which they came. */
  list(): Present {
    const names = new Set<string>();
    for (const { principal } of this.#watchers.all()) names.add(principal.actor);
    return { actors: [...names].slice(0, NAMES_MAX), count: names.size };
  }

  /** Tells one who has just come and asked to be told. */
  greet(subscriber: Subscriber): void {
    this.#watchers.send(subscriber, this.#frame());
  }

  /** Somebody has come or gone: the others are told in a while. */
  changed(): void {
    if (this.#timer !== null) return;
    const wanting = this.#watchers.wanting().size;
    if (wanting === 0) return;
    const wait = Math.max(GATHER_MS, (wanting * 1_000) / FRAMES_PER_S);
    this.#timer = setTimeout(() => this.#tell(), wait);
  }

  #tell(): void {
    this.#timer = null;
    const frame = this.#frame();
    if (frame === this.#told) return;
    this.#told = frame;
    for (const subscriber of this.#watchers.wanting()) this.#watchers.send(subscriber, frame);
  }

  #frame(): string {
    return JSON.stringify({ type: 'presence', ...this.list() });
  }
}
