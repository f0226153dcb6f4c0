import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Actors in the read models that were erased. */
const ERASED = `SELECT count(*) AS actors FROM actors WHERE status = 'deleted' AND body ->> '$.name' = '[erased]'`;

/**
 * Takes out of the files of the read models, whose database is in no use now, what words left there that were erased
 * since: the pages that SQLite does not use or not fully have rows as they were, and so has a write-ahead log, which
 * Workerd leaves behind when it ends.
 */
export function clearLeftovers(dataFolder: string): void {
  const folder = join(dataFolder, 'v3', 'd1');
  for (const name of filesIn(folder)) {
    const file = join(folder, name);
    if (!name.endsWith('.sqlite')) continue;
    try {
      const database = new DatabaseSync(file);
      packAfterErasures(database);
      if (existsSync(`${file}-wal`)) database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      database.close();
    } catch (error) {
      // No reason not to start or to end: what is wrong with the file shows when it is used.
      console.error(`${file} could not be cleared: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/** Writes the whole file anew, when more actors were erased than when that was done last. */
function packAfterErasures(database: DatabaseSync): void {
  const hasActors = database.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'actors'").get();
  if (!hasActors) return;
  const erased = Number(database.prepare(ERASED).get()?.actors);
  // A number in the file's header that SQLite leaves to whoever uses it, and nobody else does.
  const packed = Number(database.prepare('PRAGMA user_version').get()?.user_version);
  if (erased === packed) return;
  database.exec('VACUUM');
  database.exec(`PRAGMA user_version = ${erased}`);
}

/** None where there is no such folder, before the first start. */
function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
}
