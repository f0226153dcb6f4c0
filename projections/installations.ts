import type { D1Database } from '@cloudflare/workers-types';
import type { Installation } from '../actors/installation.ts';

/** Which installations are wanted. */
export interface InstallationFilters {
  readonly status: Installation['status'] | null;
  /** The login of the account, in any case. */
  readonly account: string | null;
}

/** Writes the latest state of an installation. One that is not newer than what is there changes nothing. */
export async function projectInstallation(db: D1Database, installation: Installation): Promise<void> {
  const { id, version, status, account, createdAt } = installation;
  await db
    .prepare(
      `INSERT INTO installations (id, version, status, account, created_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
       ON CONFLICT (id) DO UPDATE SET version = ?2, status = ?3, account = ?4, body = ?6 WHERE version < ?2`,
    )
    .bind(id, version, status, account.login.toLowerCase(), createdAt, JSON.stringify(installation))
    .run();
}

/** A page of installations as JSON texts by id, newest first. @param before the id that the last page ended with */
export async function listInstallations(
  db: D1Database,
  { status, account }: InstallationFilters,
  limit: number,
  before: string | null,
): Promise<{ id: string; body: string }[]> {
  const { results } = await db
    .prepare(
      `SELECT id, body FROM installations
       WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR account = ?2)
         AND (?3 IS NULL OR (created_at, id) < (SELECT created_at, id FROM installations WHERE id = ?3))
       ORDER BY created_at DESC, id DESC LIMIT ?4`,
    )
    .bind(status, account?.toLowerCase() ?? null, before, limit)
    .all<{ id: string; body: string }>();
  return results;
}

/** Empties the table, to be filled again from the logs. */
export async function clearInstallations(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM installations').run();
}
