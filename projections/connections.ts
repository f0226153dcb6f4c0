import type { D1Database } from '@cloudflare/workers-types';
import type { Connection } from '../actors/connection.ts';
import { quote } from './search-tiers.ts';
import { token } from './terms.ts';
import { Values } from './values.ts';

/** Who looks: what they may see is what has an end that they may read. */
export interface Onlooker {
  /** The actor who asks, who sees what they are a member of; null for those who see everything. */
  readonly readableBy: string | null;
  /** The contexts that the credential is good for; null for all. */
  readonly among: readonly string[] | null;
}

/** Which connections are wanted. */
export interface ConnectionQuery extends Onlooker {
  /** One of the ends. */
  readonly context?: string;
  readonly type?: string;
  /** All that have not ended when it is left out. */
  readonly status?: Connection['status'];
  readonly limit: number;
  /** Where the page before ended. */
  readonly after?: { readonly createdAt: string; readonly id: string };
}

/** Writes the latest state of a connection; guarded by its version. */
export async function projectConnection(db: D1Database, connection: Connection): Promise<void> {
  const { id, version, from, to, type, direction, status, createdAt } = connection;
  // One that is asked for anew may have its ends the other way round; the indexed columns stay as they are.
  const [first, second] = direction === 'undirected' && to < from ? [to, from] : [from, to];
  await db
    .prepare(
      `INSERT INTO connections (id, version, from_id, to_id, type, status, created_at, body)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
       ON CONFLICT (id) DO UPDATE SET version = ?2, status = ?6, body = ?8 WHERE version < ?2`,
    )
    .bind(id, version, first, second, type, status, createdAt, JSON.stringify(connection))
    .run();
}

/** A page of the connections that somebody may see as JSON texts, newest first. */
export async function listConnections(db: D1Database, query: ConnectionQuery): Promise<string[]> {
  const { context, type, status, limit, after } = query;
  const values = new Values();
  const conditions = [
    status === undefined ? "k.status <> 'disconnected'" : `k.status = ${values.add(status)}`,
    ...(type === undefined ? [] : [`k.type = ${values.add(type)}`]),
    ...(after ? [`(k.created_at, k.id) < (${values.add(after.createdAt)}, ${values.add(after.id)})`] : []),
  ];
  // Each way in begins with an index on one end; both together have every connection once.
  const atEitherEnd = (ids: string) => [`k.from_id IN (${ids})`, `k.to_id IN (${ids})`];
  if (context !== undefined) conditions.push(...visible(query, values));
  const ids = context === undefined ? readableContexts(query, values) : values.add(context);
  const sources = ids === null ? ['TRUE'] : atEitherEnd(ids);
  const parts = sources.map(
    (source) => `SELECT k.created_at, k.id FROM connections k WHERE ${[source, ...conditions].join(' AND ')}`,
  );
  const page = `${parts.join(' UNION ')} ORDER BY 1 DESC, 2 DESC LIMIT ${values.integer(limit)}`;
  const { results } = await db
    .prepare(
      `SELECT k.body FROM (${page}) p CROSS JOIN connections k ON k.id = p.id ORDER BY p.created_at DESC, p.id DESC`,
    )
    .bind(...values.list)
    .all<{ body: string }>();
  return results.map(({ body }) => body);
}

/** A subquery for the ids of the contexts that somebody may read, deleted ones included; null for all of them. */
function readableContexts({ readableBy, among }: Onlooker, values: Values): string | null {
  const listed = among && `SELECT value FROM json_each(${values.add(JSON.stringify(among))})`;
  if (readableBy === null) return listed;
  const isAmong = listed === null ? '' : `AND c.id IN (${listed})`;
  return `SELECT c.id FROM contexts_fts CROSS JOIN contexts c ON c.rowid = contexts_fts.rowid
    WHERE contexts_fts MATCH ${values.add(quote(token('reader', readableBy)))} ${isAmong}`;
}

/** The same as a condition on a connection `k`, for where few have to be looked at. */
function visible({ readableBy, among }: Onlooker, values: Values): string[] {
  if (readableBy === null && among === null) return [];
  const isMember = `EXISTS (SELECT 1 FROM json_each(c.body, '$.members') WHERE value ->> 'actor' = `;
  const conditions = [
    'c.id IN (k.from_id, k.to_id)',
    ...(readableBy === null ? [] : [`${isMember}${values.add(readableBy)})`]),
    ...(among === null ? [] : [`c.id IN (SELECT value FROM json_each(${values.add(JSON.stringify(among))}))`]),
  ];
  return [`EXISTS (SELECT 1 FROM contexts c WHERE ${conditions.join(' AND ')})`];
}

/** The ids of a context's connections that have not ended, in order. @param after the id that the last part ended with */
export async function livingConnectionsOf(
  db: D1Database,
  context: string,
  after: string,
  limit: number,
): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT id FROM connections WHERE from_id = ?1 AND id > ?2 AND status <> 'disconnected'
       UNION SELECT id FROM connections WHERE to_id = ?1 AND id > ?2 AND status <> 'disconnected'
       ORDER BY id LIMIT ?3`,
    )
    .bind(context, after, limit)
    .all<{ id: string }>();
  return results.map(({ id }) => id);
}

/** Empties the table, to be filled again from the logs. */
export async function clearConnections(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM connections').run();
}
