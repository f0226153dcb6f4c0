/**
 * Requests that come within this time of each other are carried out in one turn and so in one transaction: on a busy
 * object the disk's commit is most of what a change costs. A lone request never waits.
 */
const GROUP_COMMIT_MS = 2;

interface Waiting<Request, Reply> {
  readonly request: Request;
  resolve(reply: Reply | Promise<Reply>): void;
  reject(error: unknown): void;
}

/**
 * Lets requests share a commit. Each is still carried out by itself, in the order they arrived, on what the one before
 * left behind, and each has its own answer; one that throws fails alone.
 */
export class GroupCommit<Request, Reply> {
  readonly #apply: (request: Request) => Reply | Promise<Reply>;
  #waiting: Waiting<Request, Reply>[] = [];
  /** When the last request came, in milliseconds since 1970. */
  #lastAt = 0;

  /** @param apply carries out one request, synchronously unless it has to fetch something before it can begin */
  constructor(apply: (request: Request) => Reply | Promise<Reply>) {
    this.#apply = apply;
  }

  /** Carries a request out: at once, or with those that come at the same time. */
  run(request: Request): Reply | Promise<Reply> {
    const now = Date.now();
    const isBusy = this.#waiting.length > 0 || now - this.#lastAt <= GROUP_COMMIT_MS;
    this.#lastAt = now;
    if (!isBusy) return this.#apply(request);
    return new Promise((resolve, reject) => {
      // The timer fires after the requests that have arrived by now, so they share its turn.
      if (this.#waiting.push({ request, resolve, reject }) === 1) setTimeout(() => this.#applyWaiting(), 0);
    });
  }

  #applyWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { request, resolve, reject } of waiting) {
      try {
        resolve(this.#apply(request));
      } catch (error) {
        reject(error);
      }
    }
  }
}
