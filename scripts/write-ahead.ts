import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/**
 * Empties the write-ahead logs of the read models, whose database is in no use now: what is in their files has been
 * carried over. Workerd ends without doing so, and a log keeps the rows as they were, with words that were erased since.
 */
export function emptyWriteAheadLogs(dataFolder: string): void {
  const folder = join(dataFolder, 'v3', 'd1');
  for (const name of filesIn(folder)) {
    const log = join(folder, name);
    if (!name.endsWith('.sqlite-wal') || statSync(log).size === 0) continue;
    try {
      const database = new DatabaseSync(log.slice(0, -'-wal'.length));
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      database.close();
    } catch (error) {
      // No reason not to start or to end: what is wrong with the file shows when it is used.
      console.error(`${log} could not be emptied: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/** None where there is no such folder, before the first start. */
function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
}
