/** The one alarm that an object has, shared by everything in it that waits. */
export class AlarmClock {
  readonly #storage: DurableObjectStorage;
  /** When it is set to fire, as far as this instance knows. */
  #firesAt: number | null = null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
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
