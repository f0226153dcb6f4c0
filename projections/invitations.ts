import type { D1Database } from '@cloudflare/workers-types';

/** The open invitations of a context, as they were at a version of it. */
export interface ContextInvitations {
  /** The context's id. */
  readonly context: string;
  readonly version: number;
  /** A JSON array of the invitations as clients get them. */
  readonly invitations: string;
}

/** A place in a list of invitations: after this one. */
export interface InvitationPosition {
  readonly sentAt: string;
  readonly id: string;
}

/**
 * Writes the open invitations of contexts, in the place of those that were there. The context itself is written first
 * (`projectContexts`): its row tells what is out of date, so that any order of arrival ends in the same rows.
 */
export async function projectInvitations(db: D1Database, states: readonly ContextInvitations[]): Promise<void> {
  if (states.length === 0) return;
  const isCurrent = 'NOT EXISTS (SELECT 1 FROM contexts WHERE id = ?1 AND version > ?2)';
  await db.batch(
    states.flatMap(({ context, version, invitations }) => [
      db.prepare(`DELETE FROM invitations WHERE context = ?1 AND ${isCurrent}`).bind(context, version),
      db
        .prepare(
          `INSERT INTO invitations (context, id, actor, sent_at, expires_at, body)
           SELECT ?1, value ->> 'id', value ->> 'actor', value ->> 'sentAt', value ->> 'expiresAt', value
           FROM json_each(?3) WHERE ${isCurrent}`,
        )
        .bind(context, version, invitations),
    ]),
  );
}

/**
 * The invitations that wait for an actor's answer as JSON texts, newest first.
 *
 * @param among the contexts that the credential is good for; null for all
 * @param now ISO 8601; what has expired by then is left out
 */
export async function invitationsOf(
  db: D1Database,
  actor: string,
  among: readonly string[] | null,
  now: string,
  limit: number,
  after: InvitationPosition | null,
): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT body FROM invitations
       WHERE actor = ?1 AND expires_at > ?2 AND (?3 IS NULL OR context IN (SELECT value FROM json_each(?3)))
         AND (?4 IS NULL OR (sent_at, id) < (?4, ?5))
       ORDER BY sent_at DESC, id DESC LIMIT ?6`,
    )
    .bind(actor, now, among && JSON.stringify(among), after?.sentAt ?? null, after?.id ?? null, limit)
    .all<{ body: string }>();
  return results.map(({ body }) => body);
}

/** Empties the table, to be filled again from the logs. */
export async function clearInvitations(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM invitations').run();
}
