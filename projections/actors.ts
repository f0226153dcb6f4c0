import type { D1Database } from '@cloudflare/workers-types';
import { type ActorRecord, recordOf } from '../actors/actor.ts';
import { fold } from './fold.ts';

/** Writes the latest state of an actor, without the credentials; guarded by its version. */
export async function projectActor(db: D1Database, actor: ActorRecord): Promise<void> {
  const { id, version, kind, status, chittyId, createdAt, name } = actor;
  const write = db
    .prepare(
      `INSERT INTO actors (id, version, kind, status, chitty_id, created_at, name, body)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
       ON CONFLICT (id) DO UPDATE SET version = ?2, status = ?4, chitty_id = ?5, name = ?7, body = ?8
       WHERE version < ?2`,
    )
    .bind(id, version, kind, status, chittyId, createdAt, fold(name), JSON.stringify(recordOf(actor)));
  const blank = db
    .prepare(`UPDATE actors SET name = ${blankOf('name')}, body = ${blankOf('body')} WHERE id = ?1 AND version < ?2`)
    .bind(id, version);
  await db.batch([blank, write]);
}

/**
 * As many spaces as a text has bytes. A row that keeps its size is overwritten where it stands; one that does not leaves
 * its bytes in the file, where somebody who was erased could still be read.
 */
function blankOf(column: string): string {
  return `replace(hex(zeroblob(length(CAST(${column} AS BLOB)))), '00', ' ')`;
}

/** The id of the actor that a ChittyID belongs to, null when none is known. */
export function findActorByChittyId(db: D1Database, chittyId: string): Promise<string | null> {
  return db.prepare('SELECT id FROM actors WHERE chitty_id = ?').bind(chittyId).first<string>('id');
}

/** Empties the table, to be filled again from the logs. */
export async function clearActors(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM actors').run();
}
