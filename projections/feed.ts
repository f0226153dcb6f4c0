import type { D1Database } from '@cloudflare/workers-types';
import type { Envelope } from '../events/envelope.ts';
import { Values } from './values.ts';

/** Positions that are looked through for one page at most, whoever asks: so a page costs no more among millions. */
const WINDOW = 2_000;

/** Events of one context that arrived together, to be given their places. */
export interface FeedBatch {
  readonly context: string;
  readonly first: number;
  readonly last: number;
  readonly types: readonly string[];
  readonly actors: readonly string[];
  /** When the first and the last of them happened (ISO 8601). */
  readonly since: string;
  readonly until: string;
}

/** Events of one context that follow each other in the feed too. */
export interface FeedRun {
  readonly context: string;
  readonly first: number;
  readonly last: number;
  /** The position of the last. */
  readonly position: number;
}

/** What is wanted of events. */
export interface FeedFilter {
  readonly type?: string;
  readonly actor?: string;
  /** Events of this time (ISO 8601) or later. */
  readonly from?: string;
  /** Events before this time. */
  readonly to?: string;
}

/** Which events are wanted. */
export interface FeedQuery extends FeedFilter {
  /** The actor who asks, who gets what is in contexts that they are a member of; null for those who may read all. */
  readonly readableBy: string | null;
  /** The contexts that the credential is good for; null for all. */
  readonly among: readonly string[] | null;
  readonly context?: string;
}

/** A part of the feed. */
export interface FeedPart {
  /** Where there can be something that is wanted: of a run not all may be (`isWanted`). */
  readonly runs: readonly FeedRun[];
  /** The position up to which everything is in them. */
  readonly position: number;
  /** Whether that is the end. */
  readonly isUpToDate: boolean;
}

/** The events of one context, by rising version and without a gap; null where there are none. */
export function feedBatchOf(events: readonly Envelope[]): FeedBatch | null {
  const [first, last] = [events[0], events.at(-1)];
  if (first === undefined || last === undefined) return null;
  return {
    context: first.stream.slice(first.stream.indexOf('/') + 1),
    first: first.version,
    last: last.version,
    types: [...new Set(events.map(({ type }) => type))],
    actors: [...new Set(events.map(({ actor }) => actor))],
    since: first.time,
    until: last.time,
  };
}

/** Whether an event is one that is wanted. */
export function isWanted({ type, actor, time }: Envelope, wanted: FeedFilter): boolean {
  return (
    (wanted.type ?? type) === type &&
    (wanted.actor ?? actor) === actor &&
    (wanted.from === undefined || time >= wanted.from) &&
    (wanted.to === undefined || time < wanted.to)
  );
}

/**
 * Gives a batch its places, which are as many positions as it has events; what has one keeps it, and what does not follow
 * on what is there is left out, to come again with what is missing. The parameter is the batch as JSON. It has to be in
 * one transaction with the context's own row, before it: that row says how far the feed is (`fed`), and who may read the
 * events.
 */
export const ADD_TO_FEED = `INSERT INTO feed (position, context, first, last, types, actors, since, until)
  SELECT coalesce((SELECT max(position) FROM feed), 0) + g.last - coalesce(c.fed, 0),
    g.context, coalesce(c.fed, 0) + 1, g.last, g.types, g.actors, g.since, g.until
  FROM (SELECT ?1 ->> 'context' AS context, ?1 ->> 'first' AS first, ?1 ->> 'last' AS last, ?1 ->> 'types' AS types,
    ?1 ->> 'actors' AS actors, ?1 ->> 'since' AS since, ?1 ->> 'until' AS until) g
  LEFT JOIN contexts c ON c.id = g.context
  WHERE coalesce(c.fed, 0) >= g.first - 1 AND coalesce(c.fed, 0) < g.last`;

/** The last position that was ever given, also while the feed is being made anew. */
export async function feedEnd(db: D1Database): Promise<number> {
  return (await db.prepare('SELECT max(position) AS position FROM feed').first<number | null>('position')) ?? 0;
}

/**
 * The name of these positions as a stream, which that of no other database is: it is drawn when the table is made, and stays
 * when the feed is filled anew.
 */
export async function feedName(db: D1Database): Promise<string> {
  const id = await db.prepare('SELECT id FROM feed_identity').first<string>('id');
  if (id === null) throw new Error('The feed has no identity: a migration is missing');
  return `feed/${id}`;
}

/** The last position, and the one before the next that is not empty: after a rebuild all that were given before it are. */
async function boundsAfter(db: D1Database, after: number): Promise<{ readonly end: number; readonly start: number }> {
  const bounds = await db
    .prepare(
      'SELECT max(position) AS end, (SELECT position - (last - first) - 1 FROM feed WHERE position > ?1 ' +
        'ORDER BY position LIMIT 1) AS start FROM feed',
    )
    .bind(after)
    .first<{ end: number | null; start: number | null }>();
  return { end: bounds?.end ?? 0, start: bounds?.start ?? after };
}

/** A row as it is found. */
type Found = FeedRun & {
  /** Whether all of it is wanted, 0 or 1, as far as it says itself. */
  readonly isWhole: number;
};

/**
 * Where the events after a position are that somebody may read, as far as the read model knows. Positions are given in
 * the order in which rows become visible, so whoever goes on from the last one misses none.
 *
 * @param limit events that are wanted at most
 */
export async function readFeed(db: D1Database, query: FeedQuery, after: number, limit: number): Promise<FeedPart> {
  const { end, start } = await boundsAfter(db, after);
  const last = Math.min(Math.max(after, start) + WINDOW, end);
  const values = new Values();
  const { readableBy, among, context, type, actor, from, to } = query;
  const lastPosition = values.integer(last);
  const wanted = [
    ...(type === undefined ? [] : [contains('f.types', values.add(type))]),
    ...(actor === undefined ? [] : [contains('f.actors', values.add(actor))]),
    ...(from === undefined ? [] : [`f.until >= ${values.add(from)}`]),
    ...(to === undefined ? [] : [`f.since < ${values.add(to)}`]),
  ];
  const whole = [
    ...(type === undefined ? [] : ['json_array_length(f.types) = 1']),
    ...(actor === undefined ? [] : ['json_array_length(f.actors) = 1']),
    ...(from === undefined ? [] : [`f.since >= ${values.add(from)}`]),
    ...(to === undefined ? [] : [`f.until < ${values.add(to)}`]),
  ];
  const conditions = [
    `f.position > ${values.integer(after)}`,
    // The last may end behind the window.
    `f.position <= (SELECT min(position) FROM feed WHERE position >= ${lastPosition})`,
    'f.first <= f.last',
    ...wanted,
    ...(context === undefined ? [] : [`f.context = ${values.add(context)}`]),
    ...(among === null ? [] : [`f.context IN (SELECT value FROM json_each(${values.add(JSON.stringify(among))}))`]),
    ...(readableBy === null
      ? []
      : [
          "EXISTS (SELECT 1 FROM contexts c, json_each(c.body, '$.members') m WHERE c.id = f.context " +
            `AND m.value ->> 'actor' = ${values.add(readableBy)})`,
        ]),
  ];
  const { results } = await db
    .prepare(
      `SELECT f.position, f.context, f.first, f.last, ${['1', ...whole].join(' AND ')} AS isWhole ` +
        `FROM feed f WHERE ${conditions.join(' AND ')} ORDER BY f.position`,
    )
    .bind(...values.list)
    .all<{ [Column in keyof Found]: Found[Column] }>();
  const runs = enough(results, after, last, limit);
  const position = runs.isCut ? (runs.list.at(-1)?.position ?? last) : last;
  return { runs: runs.list, position, isUpToDate: !runs.isCut && last >= end };
}

/** Of the rows only what is after a position, up to the last one, and no more than what has so many wanted events for sure. */
function enough(
  rows: readonly Found[],
  after: number,
  lastPosition: number,
  limit: number,
): { readonly list: readonly FeedRun[]; readonly isCut: boolean } {
  const list: FeedRun[] = [];
  let sure = 0;
  for (const { isWhole, ...row } of rows) {
    const first = Math.max(row.first, row.last - (row.position - after) + 1);
    const rest = isWhole ? limit - sure : Number.POSITIVE_INFINITY;
    const last = Math.min(row.last - Math.max(0, row.position - lastPosition), first + rest - 1);
    if (last < first) continue;
    list.push({ context: row.context, first, last, position: row.position - (row.last - last) });
    if (isWhole) sure += last - first + 1;
    if (sure >= limit) return { list, isCut: true };
  }
  return { list, isCut: false };
}

function contains(column: string, value: string): string {
  return `EXISTS (SELECT 1 FROM json_each(${column}) WHERE value = ${value})`;
}

/**
 * Empties the table, to be filled again from the logs, but for the last position: none is given twice. They have to be in
 * one transaction with what empties the contexts' own rows, which say how far the feed is.
 */
export const CLEAR_FEED = [
  'DELETE FROM feed WHERE position < (SELECT max(position) FROM feed)',
  "UPDATE feed SET context = '', first = 1, last = 0, types = '[]', actors = '[]', since = '', until = ''",
];
