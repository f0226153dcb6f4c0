import type { Connection, End } from './connection.ts';
import { LiveError, ProblemError } from './errors.ts';
import { CLOSE, type LiveMessage } from './wire.ts';

/** How often a quiet connection is asked whether it is alive, below the 30 s after which some proxies give one up. */
const PING_EVERY_MS = 25_000;
/** The longest first pause before connecting again; the ceiling doubles with each failure. */
const RETRY_BASE_MS = 500;
/** The longest pause there is. */
const RETRY_CAP_MS = 30_000;

/** How to watch. */
export interface WatchOptions {
  /** The last version you have; the events after it come first. The present when left out. */
  readonly after?: number | undefined;
  /** Ends the watch: it then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds between two pings. */
  readonly pingEveryMs?: number;
  /** Milliseconds: the ceiling of the first pause before connecting again, and of all of them. */
  readonly retryBaseMs?: number;
  readonly retryCapMs?: number;
}

/** What a watch needs of the API. */
export interface LiveEndpoint {
  /** Begins a connection that resumes after version `after`. */
  open(after: number | undefined, pingEveryMs: number, signal: AbortSignal | undefined): Promise<Connection>;
  /** Throws the reason why no connection can be made when that is one that will not pass. */
  explainFailure(after: number | undefined, signal: AbortSignal | undefined): Promise<void>;
}

/**
 * Watches one context: yields one `hello`, then every event after the start, each once and in order, across any number
 * of connections. Returns when the context is deleted, after its last event. Nothing is read ahead but what the
 * server's window lets through, so a slow consumer costs no memory; one that is too slow for the server is cut off and
 * resumes from the last event that it took.
 *
 * @throws {LiveError} for what connecting again would not mend
 * @throws {ProblemError} when the API refuses for good to let it connect
 */
export async function* watch(
  endpoint: LiveEndpoint,
  { after, signal, pingEveryMs = PING_EVERY_MS, ...retry }: WatchOptions,
): AsyncGenerator<LiveMessage, void, undefined> {
  const { retryBaseMs = RETRY_BASE_MS, retryCapMs = RETRY_CAP_MS } = retry;
  let last = after;
  let isGreeted = false;
  let failures = 0;
  let disorders = 0;
  for (;;) {
    signal?.throwIfAborted();
    const connection = await tryOpen(endpoint, last, pingEveryMs, signal);
    try {
      while (connection) {
        const frame = await connection.next();
        signal?.throwIfAborted();
        if (frame.type === 'end') {
          if (frame.code === CLOSE.deleted) return;
          throwIfFinal(frame);
          if (!frame.wasOpen) await endpoint.explainFailure(last, signal);
          break;
        }
        if (frame.type === 'hello') {
          last ??= frame.version;
          if (!isGreeted) yield frame;
          isGreeted = true;
        } else if (isGreeted && last !== undefined && frame.event.version === last + 1) {
          disorders = 0;
          last = frame.event.version;
          yield frame;
        } else {
          // Never handed on. Resuming asks for what is really next; if that does not help, nothing here can.
          disorders += 1;
          if (disorders > 1) throw new LiveError(1002, `after event ${last} came event ${frame.event.version}`);
          break;
        }
      }
    } finally {
      connection?.close();
    }
    failures = connection?.isProven ? 1 : failures + 1;
    await pause(Math.random() * Math.min(retryCapMs, retryBaseMs * 2 ** (failures - 1)), signal);
  }
}

/** A new connection, null when it could not be begun for a reason that may pass. */
async function tryOpen(
  endpoint: LiveEndpoint,
  after: number | undefined,
  pingEveryMs: number,
  signal: AbortSignal | undefined,
): Promise<Connection | null> {
  try {
    return await endpoint.open(after, pingEveryMs, signal);
  } catch (error) {
    if (mayPass(error)) return null;
    throw error;
  }
}

/** Whether an error of a request is one that time mends: `fetch` rejects with a TypeError when the network fails. */
export function mayPass(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof ProblemError && error.isTemporary);
}

function throwIfFinal({ code, reason }: End): void {
  const final: readonly number[] = [CLOSE.policy, CLOSE.unauthorized, CLOSE.forbidden, CLOSE.notFound];
  if (final.includes(code)) throw new LiveError(code, reason);
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
    if (signal?.aborted) done();
  });
}
