import type { Hydrated } from './snapshots.ts';
import type { StreamHead } from './stream-head.ts';
import { UnreadableHistory } from './unreadable-history.ts';

/** How long a stream whose state cannot be told is left alone before a call has it tried again. */
const AGAIN_MS = 5_000;

/** What a beginning needs to know of its object. */
interface BeginningSource<State> {
  readonly head: Pick<StreamHead<State>, 'begin' | 'cannotBegin' | 'unreadable'>;
  /** Where the events lead that there are. Rejects with `UnreadableHistory` when some cannot be read. */
  latest(): Promise<Hydrated<State>>;
  /** Called when a state is there that could not be told before. */
  begun(): void;
}

/** How a stream whose state needs events that are cold comes by it: when its object is made, and again if it must be. */
export class Beginning<State> {
  readonly #source: BeginningSource<State>;
  #triedAt = 0;
  #attempt: Promise<void> | null = null;

  constructor(source: BeginningSource<State>) {
    this.#source = source;
  }

  /**
   * Gets the state, or notes why it cannot be told.
   *
   * @throws what may pass: it ends the object, and whoever comes next makes another one that tries again
   */
  async begin(): Promise<void> {
    const { head } = this.#source;
    this.#triedAt = Date.now();
    try {
      head.begin(await this.#source.latest());
    } catch (error) {
      if (!(error instanceof UnreadableHistory) || error.isPassing) throw error;
      head.cannotBegin(error, () => {
        if (Math.abs(Date.now() - this.#triedAt) >= AGAIN_MS) void this.again();
      });
    }
  }

  /** Tries again when the state could not be told: what was damaged may have been put back. Never rejects. */
  async again(): Promise<void> {
    if (this.#source.head.unreadable === null) return;
    this.#attempt ??= this.#beginAgain().finally(() => {
      this.#attempt = null;
    });
    await this.#attempt;
  }

  async #beginAgain(): Promise<void> {
    // Nothing was appended meanwhile: a stream whose state cannot be told takes no command.
    await this.begin().catch((error) => {
      console.error(JSON.stringify({ level: 'error', message: 'a state cannot be told', error: String(error) }));
    });
    if (this.#source.head.unreadable === null) this.#source.begun();
  }
}
