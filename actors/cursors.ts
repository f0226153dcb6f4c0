import { backoffMs } from './backoff.ts';

/** The first pause after a failed delivery, and the longest. */
export const BACKOFF_MS = { base: 1_000, cap: 5 * 60_000 };
/** How long a sink that confirms later may take before the same events are sent again, and the longest such pause. */
const RESEND_MS = { base: 30_000, cap: 15 * 60_000 };
/** The pause after a delivery that was refused: nothing will change until somebody looks at the dead letter. */
const REFUSED_MS = { base: 60 * 60_000, cap: 24 * 60 * 60_000 };
/** The pause before events are sent that were lost where they had arrived: one that loses them all the time gets them hourly. */
const REWIND_MS = { base: 1_000, cap: 60 * 60_000 };
/** After so long without a loss the next one counts as the first. */
const REWINDS_FORGOTTEN_MS = 24 * 60 * 60_000;
/** The pause before a delivery goes on that is too long for one request: only long enough to be in another. */
const GO_ON_MS = 100;
/** How far the clock may be put back without notice: by so much clocks are set right all the time. */
const CLOCK_STEP_MS = 1_000;
/** Characters of an error message that are kept. */
const ERROR_CHARS = 300;

/** How far one destination has come. */
export interface Cursor {
  /** The last version it has confirmed. */
  confirmed: number;
  /** Failed or unanswered attempts since the last confirmation. */
  attempts: number;
  /** When the next attempt may be made, in milliseconds since 1970. */
  retryAt: number;
  /** How long before that it was put off. */
  pauseMs: number;
  lastError: string | null;
  /** How often it turned out to have lost what it had confirmed, and when last (milliseconds since 1970). */
  rewinds: number;
  rewoundAt: number;
  /** Which of the stream's resends was the last of this destination; 0 when there was none. What was sent before it says nothing of it. */
  generation: number;
}

/** What of a cursor is shown to people. */
export type CursorReport = Pick<Cursor, 'confirmed' | 'attempts' | 'retryAt' | 'lastError'>;

/** The row that keeps the cursors. */
interface StoredCursors {
  readonly cursors: Readonly<Record<string, Partial<Cursor>>>;
  readonly isReported: boolean;
}

const START: Cursor = {
  confirmed: 0,
  attempts: 0,
  retryAt: 0,
  // The longest there is, for what was put off before this was kept.
  pauseMs: REFUSED_MS.cap,
  lastError: null,
  rewinds: 0,
  rewoundAt: 0,
  generation: 0,
};

/** The cursors of one stream by destination. They change in memory; one row keeps all of them when that is asked for. */
export class Cursors {
  readonly #sql: Pick<SqlStorage, 'exec'>;
  readonly #cursors: ReadonlyMap<string, Cursor>;
  /** Whether the monitor was told that this stream is behind. */
  isReported: boolean;
  /** The row as it is stored, and how far the destinations have come in it. */
  #stored: string;
  #storedVersions: readonly number[];

  /** @param isWritten whether there is a table to read from */
  constructor(sql: Pick<SqlStorage, 'exec'>, destinations: readonly string[], isWritten: boolean) {
    this.#sql = sql;
    const [row] = isWritten ? sql.exec<{ cursors: string }>('SELECT cursors FROM cursors WHERE id = 1').toArray() : [];
    this.#stored = row?.cursors ?? '';
    const stored: StoredCursors = row ? JSON.parse(row.cursors) : { cursors: {}, isReported: false };
    this.isReported = stored.isReported;
    this.#cursors = new Map(destinations.map((name) => [name, { ...START, ...stored.cursors[name] }]));
    this.#storedVersions = this.#versions();
  }

  get all(): ReadonlyMap<string, Cursor> {
    return this.#cursors;
  }

  get(destination: string): Cursor | undefined {
    return this.#cursors.get(destination);
  }

  /** Those that people should know of: they failed, or did not answer twice. */
  troubled(): Readonly<Record<string, CursorReport>> {
    const troubled = [...this.#cursors].filter(([, cursor]) => isTroubled(cursor));
    return Object.fromEntries(
      troubled.map(([name, { confirmed, attempts, retryAt, lastError }]) => [
        name,
        { confirmed, attempts, retryAt, lastError },
      ]),
    );
  }

  /** Whether any is in trouble. */
  get isTroubled(): boolean {
    return [...this.#cursors.values()].some(isTroubled);
  }

  /** How many resends the stream has had. What is sent carries it, so that a report of it can be told from those of before. */
  get generation(): number {
    return Math.max(0, ...[...this.#cursors.values()].map(({ generation }) => generation));
  }

  /** How many events the destination that moved most has confirmed, or lost, since the row was written. */
  get movedSinceStored(): number {
    return Math.max(
      0,
      ...this.#versions().map((version, index) => Math.abs(version - (this.#storedVersions[index] ?? 0))),
    );
  }

  /** Writes one row for all cursors, when any of them moved since. */
  store(): void {
    const stored: StoredCursors = { cursors: Object.fromEntries(this.#cursors), isReported: this.isReported };
    const text = JSON.stringify(stored);
    if (text === this.#stored) return;
    this.#sql.exec('INSERT OR REPLACE INTO cursors (id, cursors) VALUES (1, ?)', text);
    this.#stored = text;
    this.#storedVersions = this.#versions();
  }

  #versions(): number[] {
    return [...this.#cursors.values()].map(({ confirmed }) => confirmed);
  }
}

function isTroubled({ attempts, lastError }: Cursor): boolean {
  return attempts > 1 || lastError !== null;
}

/** Notes that everything up to `version` has arrived. */
export function succeed(cursor: Cursor, version: number): void {
  cursor.confirmed = version;
  cursor.attempts = 0;
  cursor.retryAt = 0;
  cursor.lastError = null;
}

function putOff(cursor: Cursor, now: number, pauseMs: number): void {
  cursor.retryAt = now + pauseMs;
  cursor.pauseMs = pauseMs;
}

/**
 * When the next attempt may be made, in milliseconds since 1970. One that would have to wait for longer than it was put
 * off was put off before the clock was put back, and may be made now.
 */
export function dueAt({ retryAt, pauseMs }: Cursor, now: number): number {
  return retryAt - now > pauseMs + CLOCK_STEP_MS ? now : retryAt;
}

/** Notes that events are on their way, and when they are sent again unless it is told before that they arrived. */
export function sent(cursor: Cursor, now: number): void {
  cursor.attempts += 1;
  putOff(cursor, now, backoffMs(cursor.attempts, RESEND_MS));
}

/** Notes that a part of what comes next has arrived, and that the rest follows at once, but in a request of its own. */
export function goOn(cursor: Cursor, now: number): void {
  succeed(cursor, cursor.confirmed);
  putOff(cursor, now, GO_ON_MS);
}

/** Notes why an attempt, which was counted when it was made, failed. */
export function fail(cursor: Cursor, error: string, isRefused: boolean, now: number): void {
  cursor.attempts = Math.max(cursor.attempts, 1);
  cursor.lastError = error.slice(0, ERROR_CHARS);
  putOff(cursor, now, backoffMs(cursor.attempts, isRefused ? REFUSED_MS : BACKOFF_MS));
}

/**
 * Goes back to what a destination still has: it lost events that it had confirmed, as when it was restored from a
 * backup. They are sent again, the later the oftener this happens: what a confirmation resets does not count here, or
 * one that confirms what it does not keep would be sent its stream again without end.
 */
export function rewind(cursor: Cursor, version: number, error: string, now: number): void {
  cursor.rewinds = now - cursor.rewoundAt < REWINDS_FORGOTTEN_MS ? cursor.rewinds + 1 : 1;
  cursor.rewoundAt = now;
  cursor.confirmed = version;
  cursor.attempts = Math.max(cursor.attempts, 1);
  cursor.lastError = error.slice(0, ERROR_CHARS);
  putOff(cursor, now, backoffMs(cursor.rewinds, REWIND_MS));
}
