/**
 * Does one thing at a time for all who want it, in the memory of an isolate. Those who join wait for a bounded time:
 * the request that does the work may be cancelled, and its promises then never settle.
 */
export class SingleFlight<Value> {
  #current: { readonly work: Promise<Value>; readonly lostAt: number } | null = null;

  /** Whether the work is being done. */
  get isUnderWay(): boolean {
    return this.#current !== null && Date.now() < this.#current.lostAt;
  }

  /**
   * Does the work, or joins in.
   *
   * @param work must end within `patienceMs` by itself
   * @param patienceMs how long those who join wait, and after how long work that did not end is given up as lost
   * @returns null when the one who does it did not come back in time
   */
  async run(work: () => Promise<Value>, patienceMs: number): Promise<Value | null> {
    if (this.#current && this.isUnderWay) {
      const { work: others, lostAt } = this.#current;
      return within(others, Math.min(patienceMs, lostAt - Date.now()));
    }
    const own = { work: work(), lostAt: Date.now() + patienceMs };
    this.#current = own;
    try {
      return await own.work;
    } finally {
      if (this.#current === own) this.#current = null;
    }
  }
}

/** What a promise resolves to, null when it takes longer than `ms` milliseconds. */
export async function within<Value>(promise: Promise<Value>, ms: number): Promise<Value | null> {
  const { promise: late, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
