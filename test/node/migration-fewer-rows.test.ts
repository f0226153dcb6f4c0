import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../support/server.ts';

const FOLDER = join(ROOT, 'projections', 'migrations');
const NAME = '0011_fewer_rows.sql';

/** A database as it was before the migration. */
function olderDatabase(): DatabaseSync {
  const database = new DatabaseSync(':memory:');
  for (const name of readdirSync(FOLDER).sort()) {
    if (name < NAME) database.exec(readFileSync(join(FOLDER, name), 'utf8'));
  }
  return database;
}

function addContext(database: DatabaseSync, id: string, version: number): void {
  database
    .prepare(
      `INSERT INTO contexts (id, version, status, created_at, updated_at, updated_hour, terms, search, body)
       VALUES (?, ?, 'active', '', '', 0, '', '', '{"members":[]}')`,
    )
    .run(id, version);
}

function addToFeed(database: DatabaseSync, context: string, version: number): void {
  database
    .prepare("INSERT INTO feed (context, version, type, time, actor) VALUES (?, ?, 'context_updated', '2026', 'act_a')")
    .run(context, version);
}

function migrate(database: DatabaseSync): void {
  database.exec(readFileSync(join(FOLDER, NAME), 'utf8'));
}

const all = (database: DatabaseSync, sql: string) =>
  database
    .prepare(sql)
    .all()
    .map((row) => ({ ...row }));

describe('the migration to fewer rows', () => {
  it('keeps the places of events in the feed, and how far it is', () => {
    const database = olderDatabase();
    addContext(database, 'ctx_a', 2);
    addContext(database, 'ctx_b', 1);
    // From before there was a feed: what comes next follows on what there is.
    addContext(database, 'ctx_old', 7);
    for (const [context, version] of [
      ['ctx_a', 1],
      ['ctx_b', 1],
      ['ctx_a', 2],
    ] as const) {
      addToFeed(database, context, version);
    }
    migrate(database);
    expect(all(database, 'SELECT position, context, first, last, types, actors FROM feed ORDER BY position')).toEqual([
      { position: 1, context: 'ctx_a', first: 1, last: 1, types: '["context_updated"]', actors: '["act_a"]' },
      { position: 2, context: 'ctx_b', first: 1, last: 1, types: '["context_updated"]', actors: '["act_a"]' },
      { position: 3, context: 'ctx_a', first: 2, last: 2, types: '["context_updated"]', actors: '["act_a"]' },
    ]);
    expect(all(database, 'SELECT id, fed FROM contexts ORDER BY id')).toEqual([
      { id: 'ctx_a', fed: 2 },
      { id: 'ctx_b', fed: 1 },
      { id: 'ctx_old', fed: 7 },
    ]);
  });

  it('knows the last position also where the rows are gone', () => {
    const database = olderDatabase();
    for (const version of [1, 2, 3]) addToFeed(database, 'ctx_a', version);
    database.exec('DELETE FROM feed');
    migrate(database);
    expect(all(database, 'SELECT max(position) AS last FROM feed')).toEqual([{ last: 3 }]);
  });

  it('asks for a rebuild where there are entries of the audit trail, and keeps them until then', () => {
    const empty = olderDatabase();
    migrate(empty);
    expect(all(empty, 'SELECT * FROM rebuild_wanted')).toEqual([]);
    const database = olderDatabase();
    database.exec(`INSERT INTO audit (id, time, actor, action, outcome, command_id, correlation_id, detail)
      VALUES ('01', '2026', 'act_a', 'context_updated', 'allowed', 'c', 'c', '{}')`);
    migrate(database);
    expect(all(database, 'SELECT * FROM rebuild_wanted')).toEqual([{ reason: 'audit entries that could be fewer' }]);
    expect(all(database, 'SELECT id, last_version, occurrences FROM audit')).toEqual([
      { id: '01', last_version: null, occurrences: null },
    ]);
  });
});
