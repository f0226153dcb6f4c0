import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/**
 * Looks at the files that a server left: every database must be whole, and there may be no context but those that are
 * known. A creation that got no answer may have made a context that nobody can name; what is known downstream has it.
 *
 * @param contexts how many contexts there are
 * @returns what is wrong, in words
 */
export function checkFiles(dataFolder: string, contexts: number): string[] {
  const violations: string[] = [];
  const files = readdirSync(dataFolder, { recursive: true, encoding: 'utf8' });
  let logs = 0;
  for (const file of files.filter((name) => /Object[/\\][0-9a-f]{64}\.sqlite$/.test(name))) {
    // Not read-only: a server that was killed leaves a write-ahead log, and that is taken in first.
    const database = new DatabaseSync(join(dataFolder, file));
    const [verdict] = Object.values(database.prepare('PRAGMA integrity_check').get() ?? {});
    if (verdict !== 'ok') violations.push(`${file} is damaged: ${verdict}`);
    if (/-ContextObject[/\\]/.test(file) && hasLog(database)) logs += 1;
    database.close();
  }
  if (logs !== contexts)
    violations.push(`There are ${logs} logs of contexts in ${dataFolder}, and ${contexts} contexts`);
  return violations;
}

/** A creation that was killed before it was written leaves a database without anything in it. */
function hasLog(database: DatabaseSync): boolean {
  return database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'events'").get() !== undefined;
}
