import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Miniflare } from 'miniflare';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrate } from '../../scripts/migrate.ts';
import { ROOT, temporaryFolder } from '../support/server.ts';

/** The migration that comes last, whatever there is. */
const LAST = '9999_last.sql';
/** What it does: to a table that there is, and beside it. Whatever it ends with, this much goes well. */
const CHANGES = `
  ALTER TABLE contexts ADD COLUMN colour TEXT;
  CREATE TABLE colours (name TEXT PRIMARY KEY) WITHOUT ROWID;
  INSERT INTO colours (name) VALUES ('red');
  UPDATE contexts SET colour = 'red', version = version + 1;
  DROP TABLE installations;
`;
const FAULTS = [
  ['a statement that the data does not fit', "INSERT INTO colours (name) VALUES ('red');"],
  ['a table that is not there', 'DELETE FROM shades;'],
  ['what is no SQL', 'ALTER TABEL contexts ADD COLUMN shade TEXT;'],
] as const;

let temporary: ReturnType<typeof temporaryFolder>;
let folder: string;
let miniflare: Miniflare;
let database: Awaited<ReturnType<Miniflare['getD1Database']>>;

beforeEach(async () => {
  temporary = temporaryFolder('migration');
  folder = join(temporary.path, 'migrations');
  mkdirSync(folder);
  cpSync(join(ROOT, 'projections', 'migrations'), folder, { recursive: true });
  const script = 'export default {}';
  miniflare = new Miniflare({ modules: true, script, d1Databases: ['DB'], d1Persist: join(temporary.path, 'd1') });
  database = await miniflare.getD1Database('DB');
  await migrate(database, folder);
  await addContext('ctx_a');
});

afterEach(async () => {
  await miniflare.dispose();
  temporary.remove();
});

async function addContext(id: string): Promise<void> {
  await database
    .prepare(
      `INSERT INTO contexts (id, version, status, created_at, updated_at, updated_hour, terms, search, body)
       VALUES (?, 1, 'active', '', '', 0, '', '', '{}')`,
    )
    .bind(id)
    .run();
}

async function rows(sql: string): Promise<Record<string, unknown>[]> {
  return (await database.prepare(sql).all()).results;
}

/** Everything that the schema is made of, and what was applied. */
async function schema(): Promise<unknown> {
  return [
    await rows('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name'),
    await rows('SELECT id, name FROM d1_migrations ORDER BY id'),
  ];
}

describe('a migration that fails', () => {
  it.each(FAULTS)('by %s leaves the old schema working, and is applied once it is mended', async (_by, fault) => {
    const before = await schema();
    writeFileSync(join(folder, LAST), CHANGES + fault);
    // Also when it is tried again, as the next start does.
    for (let attempt = 1; attempt <= 2; attempt++) {
      await expect(migrate(database, folder)).rejects.toThrow();
      expect(await schema()).toEqual(before);
    }
    // What was there answers as before, and takes what comes.
    await addContext('ctx_b');
    expect(await rows('SELECT id, version FROM contexts ORDER BY id')).toEqual([
      { id: 'ctx_a', version: 1 },
      { id: 'ctx_b', version: 1 },
    ]);
    expect(await rows('SELECT count(*) AS count FROM installations')).toEqual([{ count: 0 }]);

    writeFileSync(join(folder, LAST), CHANGES);
    await migrate(database, folder);
    expect(await rows('SELECT id, version, colour FROM contexts ORDER BY id')).toEqual([
      { id: 'ctx_a', version: 2, colour: 'red' },
      { id: 'ctx_b', version: 2, colour: 'red' },
    ]);
    const applied = (await rows('SELECT name FROM d1_migrations ORDER BY id')).map(({ name }) => name);
    expect(applied).toEqual([...readdirSync(folder).sort()]);
  });
});
