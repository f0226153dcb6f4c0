import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/**
 * The files of a stopped server, as whoever has the machine can open them. Where Miniflare keeps what is told here and
 * nowhere else.
 */

const OBJECTS = join('v3', 'do');
const BUCKETS = join('v3', 'r2');
const LOG_BUCKET = 'chittyconnect-log';
const HISTORY_BUCKET = 'chittyconnect-history';
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

/** The database of a context whose whole history is in it. */
export function contextFile(dataFolder: string, id: string): string {
  return objectFile(dataFolder, id, 'version = 1');
}

/** The database of a context. */
export function objectFile(dataFolder: string, id: string, which = 'TRUE'): string {
  return streamFile(dataFolder, 'ContextObject', `context/${id}`, which);
}

/** The database of an actor. */
export function actorFile(dataFolder: string, id: string): string {
  return streamFile(dataFolder, 'ActorObject', `actor/${id}`, 'TRUE');
}

function streamFile(dataFolder: string, objects: string, stream: string, which: string): string {
  const file = databasesIn(join(dataFolder, OBJECTS, `chittyconnect-${objects}`)).find((candidate) =>
    withDatabase(candidate, (database) => {
      if (!hasTable(database, 'events')) return false;
      const query = `SELECT 1 FROM events WHERE ${which} AND event ->> '$.stream' = ? LIMIT 1`;
      return database.prepare(query).get(stream) !== undefined;
    }),
  );
  if (file === undefined) throw new Error(`There is no file of ${stream}`);
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
  return filesIn(dataFolder, LOG_BUCKET);
}

/** Where the segments of cold history are, by their names. */
export function segmentFiles(dataFolder: string): Map<string, string> {
  return filesIn(dataFolder, HISTORY_BUCKET);
}

/** The files of a bucket by their keys. All buckets' indexes are in one folder; only its own lead to files in its own. */
function filesIn(dataFolder: string, bucket: string): Map<string, string> {
  const indexes = databasesIn(join(dataFolder, BUCKETS, 'miniflare-R2BucketObject'));
  const rows = indexes.flatMap((index) =>
    withDatabase(index, (database) => database.prepare('SELECT key, blob_id FROM _mf_objects').all()),
  );
  const files = rows.map(({ key, blob_id }): [string, string] => [
    String(key),
    join(dataFolder, BUCKETS, bucket, 'blobs', String(blob_id)),
  ]);
  return new Map(files.filter(([, file]) => existsSync(file)));
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
