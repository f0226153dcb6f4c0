import type { D1Database } from '@cloudflare/workers-types';

/** Notes which context a ChittyID belongs to. It never changes, so that a repetition writes nothing. */
export function projectChittyId(db: D1Database, chittyId: string, id: string): Promise<void> {
  return projectChittyIds(db, [{ chittyId, id }]);
}

/** Notes which contexts ChittyIDs belong to, as `projectChittyId` does. */
export async function projectChittyIds(
  db: D1Database,
  owners: readonly { readonly chittyId: string; readonly id: string }[],
): Promise<void> {
  if (owners.length === 0) return;
  await db
    .prepare(
      "INSERT OR IGNORE INTO chitty_ids (chitty_id, id) SELECT value ->> 'chittyId', value ->> 'id' FROM json_each(?)",
    )
    .bind(JSON.stringify(owners))
    .run();
}

/** The id of the context that a ChittyID belongs to, null when none is known. */
export function findByChittyId(db: D1Database, chittyId: string): Promise<string | null> {
  return db.prepare('SELECT id FROM chitty_ids WHERE chitty_id = ?').bind(chittyId).first<string>('id');
}

/** Empties the table, to be filled again from the logs. */
export async function clearChittyIds(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM chitty_ids').run();
}
