import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unstable_splitSqlQuery as splitStatements } from 'wrangler';

/** The part of a D1 database that migrating needs. */
interface Database {
  prepare(sql: string): Statement;
  batch(statements: Statement[]): Promise<unknown>;
}

interface Statement {
  bind(...values: unknown[]): Statement;
  run(): Promise<unknown>;
  all<Row>(): Promise<{ results: Row[] }>;
}

/**
 * Applies the numbered migrations that a database has not had, and notes them where `wrangler d1 migrations` does, so
 * that either can go on from the other. Each is one transaction: one that fails leaves the schema as it was. It can be
 * called again when it is not known what became of the last call.
 */
export async function migrate(database: Database, folder: string): Promise<void> {
  const applied = await appliedTo(database);
  const files = readdirSync(folder).filter((name) => name.endsWith('.sql'));
  for (const name of files.sort()) {
    if (applied.has(name)) continue;
    const statements = splitStatements(readFileSync(join(folder, name), 'utf8'));
    await database.batch([
      ...statements.map((sql) => database.prepare(sql)),
      database.prepare('INSERT INTO d1_migrations (name) VALUES (?)').bind(name),
    ]);
  }
}

/** Whether a database is a new one: no migration was ever applied to it. */
export async function isNew(database: Database): Promise<boolean> {
  return (await appliedTo(database)).size === 0;
}

/** The names of the migrations that were applied. */
async function appliedTo(database: Database): Promise<ReadonlySet<string>> {
  await database
    .prepare(
      `CREATE TABLE IF NOT EXISTS d1_migrations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT UNIQUE,
        applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
      )`,
    )
    .run();
  const { results } = await database.prepare('SELECT name FROM d1_migrations').all<{ name: string }>();
  return new Set(results.map((row) => row.name));
}
