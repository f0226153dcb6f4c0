import type { D1Database } from '@cloudflare/workers-types';
import type { Envelope } from '../events/envelope.ts';
import { Values } from './values.ts';

/** Positions that are looked through for one page at most, whoever asks: so a page costs no more among millions. */
const WINDOW = 2_000;

/** Where an event stands. */
export interface FeedRow {
  readonly position: number;
  readonly context: string;
  readonly version: number;
}

/** Which events are wanted. */
export interface FeedQuery {
  /** The actor who asks, who gets what is in contexts that they are a member of; null for those who may read all. */
  readonly readableBy: string | null;
  /** The contexts that the credential is good for; null for all. */
  readonly among: readonly string[] | null;
  readonly context?: string;
  readonly type?: string;
  readonly actor?: string;
  /** Events of this time (ISO 8601) or later. */
  readonly from?: string;
  /** Events before this time. */
  readonly to?: string;
}

/** A part of the feed. */
export interface FeedPart {
  readonly rows: readonly FeedRow[];
  /** The position up to which everything was looked through. */
  readonly position: number;
  /** Whether that is the end. */
  readonly isUpToDate: boolean;
}

/**
 * Notes events of one context in the feed; what is there already keeps its place. The context's row must be written
 * before: who may read an event is then known as soon as it can be found.
 */
export async function projectFeed(db: D1Database, events: readonly Envelope[]): Promise<void> {
  if (events.length === 0) return;
  const rows = events.map(({ stream, version, type, time, actor }) => ({
    context: stream.slice(stream.indexOf('/') + 1),
    version,
    type,
    time,
    actor,
  }));
  await db
    .prepare(
      "INSERT OR IGNORE INTO feed (context, version, type, time, actor) SELECT value ->> 'context', value ->> 'version', " +
        "value ->> 'type', value ->> 'time', value ->> 'actor' FROM json_each(?1)",
    )
    .bind(JSON.stringify(rows))
    .run();
}

/** The last position that was ever given, also while the feed is being made anew. */
export async function feedEnd(db: D1Database): Promise<number> {
  return (await db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'feed'").first<number>('seq')) ?? 0;
}

/**
 * The events after a position that somebody may read, as far as the read model knows. Positions are given in the order in
 * which rows become visible, so whoever goes on from the last one misses none.
 */
export async function readFeed(db: D1Database, query: FeedQuery, after: number, limit: number): Promise<FeedPart> {
  const end = await feedEnd(db);
  const last = Math.min(after + WINDOW, end);
  const values = new Values();
  const { readableBy, among, context, type, actor, from, to } = query;
  const conditions = [
    `f.position > ${values.integer(after)}`,
    `f.position <= ${values.integer(last)}`,
    ...(context === undefined ? [] : [`f.context = ${values.add(context)}`]),
    ...(type === undefined ? [] : [`f.type = ${values.add(type)}`]),
    ...(actor === undefined ? [] : [`f.actor = ${values.add(actor)}`]),
    ...(from === undefined ? [] : [`f.time >= ${values.add(from)}`]),
    ...(to === undefined ? [] : [`f.time < ${values.add(to)}`]),
    ...(among === null ? [] : [`f.context IN (SELECT value FROM json_each(${values.add(JSON.stringify(among))}))`]),
    ...(readableBy === null
      ? []
      : [
          "EXISTS (SELECT 1 FROM contexts c, json_each(c.body, '$.members') m WHERE c.id = f.context " +
            `AND m.value ->> 'actor' = ${values.add(readableBy)})`,
        ]),
  ];
  const { results: rows } = await db
    .prepare(
      `SELECT f.position, f.context, f.version FROM feed f WHERE ${conditions.join(' AND ')} ` +
        `ORDER BY f.position LIMIT ${values.integer(limit)}`,
    )
    .bind(...values.list)
    .all<{ position: number; context: string; version: number }>();
  const isFull = rows.length === limit;
  const position = isFull ? (rows.at(-1)?.position ?? after) : last;
  return { rows, position, isUpToDate: !isFull && last >= end };
}

/** Empties the table, to be filled again from the logs. */
export async function clearFeed(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM feed').run();
}
