import type { D1Database } from '@cloudflare/workers-types';
import type { DeadLetter } from '../actors/dead-letter.ts';

/** Writes the latest state of a dead letter, guarded by its version. */
export async function projectDeadLetter(db: D1Database, letter: DeadLetter): Promise<void> {
  await db
    .prepare(
      `INSERT INTO dead_letters (id, version, status, received_at, body) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (id) DO UPDATE SET version = ?2, status = ?3, body = ?5 WHERE version < ?2`,
    )
    .bind(letter.id, letter.version, letter.status, letter.receivedAt, JSON.stringify(letter))
    .run();
}

/** A page of dead letters, newest first. @param before the id that the last page ended with */
export async function listDeadLetters(
  db: D1Database,
  status: DeadLetter['status'] | null,
  limit: number,
  before: string | null,
): Promise<DeadLetter[]> {
  const { results } = await db
    .prepare(
      `SELECT body FROM dead_letters
       WHERE (?1 IS NULL OR status = ?1)
         AND (?2 IS NULL OR (received_at, id) < (SELECT received_at, id FROM dead_letters WHERE id = ?2))
       ORDER BY received_at DESC, id DESC LIMIT ?3`,
    )
    .bind(status, before, limit)
    .all<{ body: string }>();
  return results.map((row): DeadLetter => JSON.parse(row.body));
}

/** Empties the table, to be filled again from the logs. */
export async function clearDeadLetters(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM dead_letters').run();
}
