import type { D1Database } from '@cloudflare/workers-types';
import { type FeedPart, type FeedQuery, type FeedRun, feedEnd } from './feed.ts';

/** How often it is looked whether the feed has grown, in milliseconds, however many follow it. */
const ASK_MS = 1_000;
/** After how long without a look what is known is given up, in milliseconds: nobody has followed meanwhile. */
const STALE_MS = 10_000;
/** Rows that one look takes up at most. */
const ROWS_MAX = 500;
/** Rows that are kept for those who are a little behind. A row has up to a few kilobytes, most of it who may read it. */
const ROWS_KEPT = 2_000;

/** What arrived of a context together, and who may read it: JSON arrays. Empty, with `first` after `last`, after a rebuild. */
interface Row extends FeedRun {
  readonly types: string;
  readonly actors: string;
  readonly since: string;
  readonly until: string;
  readonly readers: string;
}

const ROWS_AFTER = `SELECT f.position, f.context, f.first, f.last, f.types, f.actors, f.since, f.until,
    coalesce((SELECT json_group_array(m.value ->> 'actor') FROM contexts c, json_each(c.body, '$.members') m
      WHERE c.id = f.context), '[]') AS readers
  FROM feed f WHERE f.position > ?1 ORDER BY f.position LIMIT ?2`;

/**
 * The end of the feed as this isolate knows it, for all who follow it here: they look at what is known, and the first to
 * find that it is a second old asks for what is new. So a thousand of them cost one query a second, and nobody waits for
 * what another request has begun and may not live to end.
 */
export class FeedTail {
  /** All rows with positions after `#from`, up to `#to`. */
  #rows: Row[] = [];
  #from = 0;
  /** Null until it is known where the feed ends. */
  #to: number | null = null;
  /** When somebody last asked, and when the last answer came, in milliseconds since 1970. */
  #askedAt = Number.NEGATIVE_INFINITY;
  #knownAt = Number.NEGATIVE_INFINITY;

  /** Where the feed ended when it was last looked; null when that is too long ago. @param now milliseconds since 1970 */
  end(now: number): number | null {
    return now - this.#knownAt > STALE_MS ? null : this.#to;
  }

  /** Takes up where the feed ends from somebody who has just asked, when nobody here knows. */
  begin(end: number, now: number): void {
    if (this.end(now) !== null) return;
    this.#rows = [];
    this.#from = end;
    this.#to = end;
    this.#askedAt = now;
    this.#knownAt = now;
  }

  /** Asks for what is new, unless somebody has within the last second. @param now milliseconds since 1970 */
  async refresh(db: D1Database, now: number): Promise<void> {
    // A clock that went back says nothing about how long ago it was.
    if (Math.abs(now - this.#askedAt) < ASK_MS) return;
    this.#askedAt = now;
    const from = this.end(now);
    if (from === null) return this.begin(await feedEnd(db), now);
    const { results } = await db.prepare(ROWS_AFTER).bind(from, ROWS_MAX).all<{ [Column in keyof Row]: Row[Column] }>();
    // Another look was faster.
    if (this.#to !== from) return;
    this.#knownAt = now;
    this.#to = results.at(-1)?.position ?? from;
    this.#rows.push(...results);
    const dropped = this.#rows.splice(0, Math.max(0, this.#rows.length - ROWS_KEPT));
    this.#from = dropped.at(-1)?.position ?? this.#from;
    // There may be more at once.
    if (results.length === ROWS_MAX) this.#askedAt = Number.NEGATIVE_INFINITY;
  }

  /**
   * Where the events after a position are that somebody may read, as `readFeed` says it of the whole feed.
   *
   * @param limit events that are looked at, at most
   * @returns null when the position is too far back to be known here
   */
  after(query: FeedQuery, position: number, limit: number): FeedPart | null {
    if (this.#to === null || position < this.#from) return null;
    const runs: FeedRun[] = [];
    let count = 0;
    for (let at = this.#firstAfter(position); at < this.#rows.length; at++) {
      const row = this.#rows[at];
      if (!row || row.first > row.last || !isFor(row, query)) continue;
      const first = Math.max(row.first, row.last - (row.position - position) + 1);
      const last = Math.min(row.last, first + (limit - count) - 1);
      const run = { context: row.context, first, last, position: row.position - (row.last - last) };
      runs.push(run);
      count += last - first + 1;
      if (count >= limit) return { runs, position: run.position, isUpToDate: false };
    }
    return { runs, position: Math.max(position, this.#to), isUpToDate: true };
  }

  /** The index of the first row after a position; nearly all who follow are at the end. */
  #firstAfter(position: number): number {
    let index = this.#rows.length;
    while (index > 0 && (this.#rows[index - 1]?.position ?? 0) > position) index--;
    return index;
  }
}

/** Whether something in a row can be wanted, by one who may read it as far as the read model knows. */
function isFor(row: Row, { readableBy, among, context, type, actor, from, to }: FeedQuery): boolean {
  return (
    (context === undefined || context === row.context) &&
    (among === null || among.includes(row.context)) &&
    (type === undefined || names(row.types, type)) &&
    (actor === undefined || names(row.actors, actor)) &&
    (from === undefined || row.until >= from) &&
    (to === undefined || row.since < to) &&
    (readableBy === null || names(row.readers, readableBy))
  );
}

/** Whether a JSON array of plain words has a word, which takes no parsing: none of them has a quote in it. */
function names(list: string, word: string): boolean {
  return list.includes(`"${word}"`);
}
