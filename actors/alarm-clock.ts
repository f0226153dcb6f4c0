/** What an alarm clock needs of its object. */
interface AlarmContext {
  readonly storage: Pick<DurableObjectStorage, 'getAlarm' | 'setAlarm' | 'sync'>;
  blockConcurrencyWhile<Result>(work: () => Promise<Result>): Promise<Result>;
}

/**
 * How late an alarm is, in milliseconds, until it counts as lost. The platform fires it within moments, or when the handler
 * that is at work has ended; one that was set just before the process was killed may stand in the storage and never fire.
 */
const LOST_MS = 5_000;

/** The one alarm that an object has, shared by everything in it that waits. */
export class AlarmClock {
  readonly #storage: AlarmContext['storage'];
  /** When it is set to fire. */
  #firesAt: number | null = null;
  #isRinging = false;

  constructor(context: AlarmContext, isWritten: boolean) {
    this.#storage = context.storage;
    // Before anything else happens: one that is set already must not be put off by something that can wait longer.
    if (isWritten) {
      context.blockConcurrencyWhile(async () => {
        this.#firesAt = await context.storage.getAlarm();
      });
    }
  }

  /**
   * Makes sure that the alarm fires at `latest` (milliseconds since 1970) or before; when it has to be set for that,
   * which writes a row, then to `time`. In place of one that is lost it is set to ring at once.
   */
  armBy(time: number, latest = time): void {
    const now = Date.now();
    const isLost = this.#firesAt !== null && !this.#isRinging && this.#firesAt < now - LOST_MS;
    if (this.#firesAt !== null && this.#firesAt <= latest && !isLost) return;
    // What the lost one was for is due: the work finds it, and asks for what comes after.
    this.#firesAt = isLost ? now : time;
    // Not awaited: the write belongs to this turn's transaction, and the output gate waits for it.
    if (!this.#isRinging) void this.#storage.setAlarm(this.#firesAt);
  }

  /**
   * Does what is to be done when the alarm has fired. Whatever asks for the alarm meanwhile has it set once, when all is
   * done: until then the platform fires it again should the object be lost.
   */
  async ring(work: () => Promise<void>): Promise<void> {
    this.#firesAt = null;
    this.#isRinging = true;
    try {
      await work();
    } finally {
      this.#isRinging = false;
      if (this.#firesAt !== null) {
        await this.#storage.setAlarm(this.#firesAt);
        // One that is not on disk when the work ends can be lost: the runtime then strikes out the alarm that has fired.
        await this.#storage.sync();
      }
    }
  }
}
