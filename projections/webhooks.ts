import type { D1Database } from '@cloudflare/workers-types';
import type { Webhook } from '../actors/webhook.ts';
import { Values } from './values.ts';

/** Which webhooks are wanted; those that were deleted never are. */
export interface WebhookQuery {
  /** Null for everybody's. */
  readonly owner: string | null;
  /** Only those that get nothing but these contexts; null for all. */
  readonly among: readonly string[] | null;
  readonly status?: Webhook['status'];
  readonly limit: number;
  /** The id that the page before ended with. */
  readonly before?: string;
}

/** Writes the latest state of a webhook; guarded by its version. */
export async function projectWebhook(db: D1Database, webhook: Webhook): Promise<void> {
  const { id, version, owner, status } = webhook;
  await db
    .prepare(
      `INSERT INTO webhooks (id, version, owner, status, body) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (id) DO UPDATE SET version = ?2, status = ?4, body = ?5 WHERE version < ?2`,
    )
    .bind(id, version, owner, status, JSON.stringify(webhook))
    .run();
}

/** A page of webhooks, newest first. */
export async function listWebhooks(db: D1Database, query: WebhookQuery): Promise<{ id: string; body: string }[]> {
  const values = new Values();
  const { owner, among, status, limit, before } = query;
  const conditions = [
    "status <> 'deleted'",
    ...(owner === null ? [] : [`owner = ${values.add(owner)}`]),
    ...(status === undefined ? [] : [`status = ${values.add(status)}`]),
    ...(before === undefined ? [] : [`id < ${values.add(before)}`]),
    ...(among === null
      ? []
      : [
          "json_type(body, '$.contexts') = 'array'",
          `NOT EXISTS (SELECT 1 FROM json_each(body, '$.contexts') c WHERE c.value NOT IN
            (SELECT value FROM json_each(${values.add(JSON.stringify(among))})))`,
        ]),
  ];
  const { results } = await db
    .prepare(
      `SELECT id, body FROM webhooks WHERE ${conditions.join(' AND ')} ORDER BY id DESC LIMIT ${values.integer(limit)}`,
    )
    .bind(...values.list)
    .all<{ id: string; body: string }>();
  return results;
}

/** The members of the contexts that have something in the feed after one position, up to another. */
export async function readersOf(db: D1Database, after: number, upTo: number): Promise<ReadonlySet<string>> {
  const { results } = await db
    .prepare(
      `SELECT DISTINCT m.value ->> 'actor' AS actor
       FROM (SELECT DISTINCT context FROM feed WHERE position > ?1 AND position <= ?2) f
       JOIN contexts c ON c.id = f.context, json_each(c.body, '$.members') m`,
    )
    .bind(after, upTo)
    .all<{ actor: string }>();
  return new Set(results.map(({ actor }) => actor));
}

/** Empties the table, to be filled again from the logs. */
export async function clearWebhooks(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM webhooks').run();
}
