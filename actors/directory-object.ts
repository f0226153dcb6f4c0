import { DurableObject } from 'cloudflare:workers';
import type { CursorReport } from './cursors.ts';
import type { ColdTotals } from './segment-table.ts';
import type { Damage } from './unreadable-history.ts';

/** Streams that one sweep of a shard wakes only because it is their turn, to find what no report tells of. */
const ROTATION = 20;
/** Failing streams that one sweep of a shard wakes. */
const FAILING = 50;
/** How long a failing stream is left to its own alarm before a sweep wakes it. */
const STANDSTILL_MS = 10 * 60_000;

/** A stream that is behind, as its object last reported it. */
interface StreamBehind {
  readonly stream: string;
  /** ISO 8601: when it was first reported. */
  readonly since: string;
  /** Each with the time when this destination was first reported. */
  readonly cursors: Readonly<Record<string, CursorReport & { readonly since: string }>>;
}

/** How far the streams of a shard are behind with a destination; there is at least one. */
export interface DestinationBehind {
  readonly destination: string;
  readonly streams: number;
  /** ISO 8601: when that was first reported of the one that waits longest. */
  readonly since: string;
  readonly mostAttempts: number;
  /** Of the one that waits longest of those that know why. */
  readonly lastError: string | null;
}

/** The cursors of a stream in its row. */
type StoredCursors = Readonly<Record<string, CursorReport & { readonly since?: number }>>;

/**
 * Knows which streams there are, in no particular order: what sweeps and rebuilds go by, since the platform cannot list
 * objects. A stream is registered *before* its first event, so that none can exist that is not found; one that was
 * registered and never written does no harm.
 */
export class DirectoryObject extends DurableObject<unknown> {
  readonly #sql: SqlStorage;

  constructor(context: DurableObjectState, env: unknown) {
    super(context, env);
    this.#sql = context.storage.sql;
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS streams (stream TEXT PRIMARY KEY) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS behind (
        stream TEXT PRIMARY KEY, since INTEGER NOT NULL, reported_at INTEGER NOT NULL, cursors TEXT NOT NULL
      ) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS cold (
        stream TEXT PRIMARY KEY, segments INTEGER NOT NULL, events INTEGER NOT NULL, bytes INTEGER NOT NULL, damage TEXT
      ) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS rotation (id INTEGER PRIMARY KEY CHECK (id = 1), after TEXT NOT NULL);
    `);
  }

  /** Adds a stream; once is enough. */
  register(stream: string): void {
    this.#sql.exec('INSERT OR IGNORE INTO streams (stream) VALUES (?)', stream);
  }

  /** Whether a stream was added. */
  has(stream: string): boolean {
    return this.#sql.exec('SELECT 1 FROM streams WHERE stream = ?', stream).toArray().length > 0;
  }

  /** Streams in the order of their names, after one. */
  list(after: string, limit: number): string[] {
    return this.#sql
      .exec<{ stream: string }>('SELECT stream FROM streams WHERE stream > ? ORDER BY stream LIMIT ?', after, limit)
      .toArray()
      .map((row) => row.stream);
  }

  /** How many streams there are. */
  count(): number {
    return this.#sql.exec<{ n: number }>('SELECT count(*) AS n FROM streams').one().n;
  }

  /** Notes that a stream is behind. */
  noteBehind(stream: string, cursors: Readonly<Record<string, CursorReport>>): void {
    const now = Date.now();
    const [row] = this.#sql
      .exec<{ since: number; cursors: string }>('SELECT since, cursors FROM behind WHERE stream = ?', stream)
      .toArray();
    const before: StoredCursors = row ? JSON.parse(row.cursors) : {};
    const since = (name: string) => (row && before[name] ? (before[name].since ?? row.since) : now);
    const stored: StoredCursors = Object.fromEntries(
      Object.entries(cursors).map(([name, cursor]) => [name, { ...cursor, since: since(name) }]),
    );
    this.#sql.exec(
      `INSERT INTO behind (stream, since, reported_at, cursors) VALUES (?, ?, ?, ?)
       ON CONFLICT (stream) DO UPDATE SET reported_at = excluded.reported_at, cursors = excluded.cursors`,
      stream,
      now,
      now,
      JSON.stringify(stored),
    );
  }

  /** Notes that a stream has caught up. */
  noteCaughtUp(stream: string): void {
    this.#sql.exec('DELETE FROM behind WHERE stream = ?', stream);
  }

  /** The streams that are behind, longest first. */
  behind(limit: number): StreamBehind[] {
    return this.#sql
      .exec<{ stream: string; since: number; cursors: string }>(
        'SELECT stream, since, cursors FROM behind ORDER BY since LIMIT ?',
        limit,
      )
      .toArray()
      .map(({ stream, since, cursors }) => {
        const stored: StoredCursors = JSON.parse(cursors);
        const shown = Object.entries(stored).map(([name, cursor]) => [
          name,
          { ...cursor, since: new Date(cursor.since ?? since).toISOString() },
        ]);
        return { stream, since: new Date(since).toISOString(), cursors: Object.fromEntries(shown) };
      });
  }

  /** How far the destinations are behind that any stream is behind with. */
  behindByDestination(): DestinationBehind[] {
    // An error goes behind its time, so that the least of them is that of the longest wait.
    return this.#sql
      .exec<{ destination: string; streams: number; since: number; mostAttempts: number; lastError: string | null }>(
        `SELECT destination, count(*) AS streams, min(since) AS since, max(attempts) AS mostAttempts,
           substr(min(format('%015d', since) || error), 16) AS lastError
         FROM (
           SELECT key AS destination, coalesce(value ->> 'since', since) AS since, value ->> 'attempts' AS attempts,
             value ->> 'lastError' AS error
           FROM behind, json_each(behind.cursors)
         )
         GROUP BY destination`,
      )
      .toArray()
      .map((row) => ({ ...row, since: new Date(row.since).toISOString() }));
  }

  /** Notes how much of a stream is cold, and what is known to be wrong with it. */
  noteCold(stream: string, { segments, events, bytes }: ColdTotals, damage: Damage | null): void {
    this.#sql.exec(
      'INSERT OR REPLACE INTO cold (stream, segments, events, bytes, damage) VALUES (?, ?, ?, ?, ?)',
      stream,
      segments,
      events,
      bytes,
      damage && JSON.stringify(damage),
    );
  }

  /** How much of all streams is cold, and how many of them are known to be damaged. */
  coldTotals(): ColdTotals & { readonly streams: number; readonly damaged: number } {
    return this.#sql
      .exec<{ streams: number; segments: number; events: number; bytes: number; damaged: number }>(
        `SELECT count(*) AS streams, coalesce(sum(segments), 0) AS segments, coalesce(sum(events), 0) AS events,
           coalesce(sum(bytes), 0) AS bytes, count(damage) AS damaged
         FROM cold`,
      )
      .one();
  }

  /** The first damage of each stream that is known to have some. */
  damaged(limit: number): Damage[] {
    return this.#sql
      .exec<{ damage: string }>('SELECT damage FROM cold WHERE damage IS NOT NULL ORDER BY stream LIMIT ?', limit)
      .toArray()
      .map(({ damage }) => JSON.parse(damage));
  }

  /**
   * The streams to wake now: those that stand still, and the next few in turn. A stream that stands still is left to its
   * alarm again from then on, so that some that cannot be woken do not keep the others from their turn.
   */
  sweep(): string[] {
    const now = Date.now();
    // What was reported later than now was so before the clock was put back, as its alarm may have been set.
    const standing = this.#sql
      .exec<{ stream: string }>(
        'SELECT stream FROM behind WHERE reported_at NOT BETWEEN ? AND ? ORDER BY reported_at LIMIT ?',
        now - STANDSTILL_MS,
        now,
        FAILING,
      )
      .toArray()
      .map((row) => row.stream);
    for (const stream of standing) this.#sql.exec('UPDATE behind SET reported_at = ? WHERE stream = ?', now, stream);
    const [place] = this.#sql.exec<{ after: string }>('SELECT after FROM rotation WHERE id = 1').toArray();
    const turn = this.list(place?.after ?? '', ROTATION);
    // Past the last stream it begins again; nothing is written while there are too few to take turns.
    const after = turn.length < ROTATION ? '' : (turn.at(-1) ?? '');
    if (after !== (place?.after ?? '')) {
      this.#sql.exec('INSERT OR REPLACE INTO rotation (id, after) VALUES (1, ?)', after);
    }
    return [...new Set([...standing, ...turn])];
  }
}
