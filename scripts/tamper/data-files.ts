import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/**
 * The files of a stopped server, as whoever has the machine can open them. Where Miniflare keeps what is told here and
 * nowhere else.
 */

const OBJECTS = join('v3', 'do');
const TILES = join('v3', 'r2');
const BUCKET = 'chittyconnect-log';
/** What belongs to a database: the file itself, its write-ahead log, and the index of that. */
const PARTS = ['', '-wal', '-shm'] as const;

/** Opens a database for as long as `work` takes. */
export function withDatabase<Result>(file: string, work: (database: DatabaseSync) => Result): Result {
  const database = new DatabaseSync(file);
  try {
    return work(database);
  } finally {
    database.close();
  }
}

function databasesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name))
    .map((name) => join(folder, name));
}

function hasTable(database: DatabaseSync, name: string): boolean {
  return database.prepare('SELECT 1 FROM sqlite_master WHERE name = ?').get(name) !== undefined;
}

/** The database of a context. */
export function contextFile(dataFolder: string, id: string): string {
  const file = databasesIn(join(dataFolder, OBJECTS, 'chittyconnect-ContextObject')).find((candidate) =>
    withDatabase(candidate, (database) => {
      if (!hasTable(database, 'events')) return false;
      const query = "SELECT 1 FROM events WHERE version = 1 AND event ->> '$.stream' = ?";
      return database.prepare(query).get(`context/${id}`) !== undefined;
    }),
  );
  if (file === undefined) throw new Error(`There is no file of ${id}`);
  return file;
}

/** The database of the log. */
export function logFile(dataFolder: string): string {
  const file = databasesIn(join(dataFolder, OBJECTS, 'chittyconnect-TransparencyLogObject')).find((candidate) =>
    withDatabase(candidate, (database) => hasTable(database, 'log')),
  );
  if (file === undefined) throw new Error('There is no file of the log');
  return file;
}

/** Where the log's published files are, by their C2SP tlog-tiles paths. */
export function tileFiles(dataFolder: string): Map<string, string> {
  const [index] = databasesIn(join(dataFolder, TILES, 'miniflare-R2BucketObject'));
  if (index === undefined) throw new Error('There is no bucket');
  const rows = withDatabase(index, (database) => database.prepare('SELECT key, blob_id FROM _mf_objects').all());
  return new Map(
    rows.map(({ key, blob_id }) => [String(key), join(dataFolder, TILES, BUCKET, 'blobs', String(blob_id))]),
  );
}

/** Deletes a database. */
export function removeDatabase(file: string): void {
  for (const part of PARTS) rmSync(file + part, { force: true });
}

/** Puts a database in the place of another. */
export function replaceDatabase(file: string, by: string): void {
  removeDatabase(file);
  for (const part of PARTS) if (existsSync(by + part)) cpSync(by + part, file + part);
}
