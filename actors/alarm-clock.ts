/** What an alarm clock needs of its object. */
interface AlarmContext {
  readonly storage: Pick<DurableObjectStorage, 'getAlarm' | 'setAlarm'>;
  blockConcurrencyWhile<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** The one alarm that an object has, shared by everything in it that waits. */
export class AlarmClock {
  readonly #storage: AlarmContext['storage'];
  /** When it is set to fire. */
  #firesAt: number | null = null;

  constructor(context: AlarmContext, isWritten: boolean) {
    this.#storage = context.storage;
    // Before anything else happens: one that is set already must not be put off by something that can wait longer.
    if (isWritten) {
      context.blockConcurrencyWhile(async () => {
        this.#firesAt = await context.storage.getAlarm();
      });
    }
  }

  /** Makes sure that the alarm fires at `time` (milliseconds since 1970) or before. Writes a row when it has to be set. */
  armBy(time: number): void {
    if (this.#firesAt !== null && this.#firesAt <= time) return;
    this.#firesAt = time;
    // Not awaited: the write belongs to this turn's transaction, and the output gate waits for it.
    void this.#storage.setAlarm(time);
  }

  /** Called when the alarm has fired: it is not set any more. */
  fired(): void {
    this.#firesAt = null;
  }
}
