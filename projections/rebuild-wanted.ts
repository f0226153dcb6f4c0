import { nextUlid } from '../events/ulid.ts';

interface Statement {
  bind(...values: string[]): Statement;
  run(): Promise<unknown>;
  first(): Promise<unknown>;
}

/** The part of a D1 database that is needed here: both Workers and scripts have one. */
interface Database {
  prepare(sql: string): Statement;
}

/** What the reason that a rebuild leaves while it is under way begins with; its id follows. */
const UNDER_WAY = 'rebuilding ';

/** What the Worker is told, in the place of the time of a schedule, to rebuild the read models now. */
export const REBUILD_NOW = 'rebuild now';

/** Whether lists and search lack rows that have to be written anew; until a rebuild has ended. */
export async function isRebuildWanted(db: Database): Promise<boolean> {
  return (await db.prepare('SELECT 1 FROM rebuild_wanted LIMIT 1').first()) !== null;
}

/** Notes that the read models of streams that are there have been lost. */
export async function noteReadModelsLost(db: Database): Promise<void> {
  await db.prepare("INSERT OR IGNORE INTO rebuild_wanted (reason) VALUES ('read models lost')").run();
}

/**
 * Notes that the read models are about to be emptied: until every stream has had its turn, they lack rows. What was
 * noted before, but by other rebuilds, is done with that.
 *
 * @returns the id of the rebuild
 */
export async function noteRebuildBegun(db: Database): Promise<string> {
  const rebuild = nextUlid(Date.now());
  const reason = UNDER_WAY + rebuild;
  await db.prepare('INSERT INTO rebuild_wanted (reason) VALUES (?)').bind(reason).run();
  await db
    .prepare('DELETE FROM rebuild_wanted WHERE reason NOT BETWEEN ? AND ?')
    .bind(UNDER_WAY, `${UNDER_WAY}~`)
    .run();
  return rebuild;
}

/**
 * Notes that a rebuild has emptied the read models: what earlier ones have written is gone, so that their ends say
 * nothing, and that they were stopped does not matter. Its own note is made again, because a later one that was quicker
 * has taken it for one of those.
 */
export async function noteEmptied(db: Database, rebuild: string): Promise<void> {
  const reason = UNDER_WAY + rebuild;
  await db.prepare('INSERT OR IGNORE INTO rebuild_wanted (reason) VALUES (?)').bind(reason).run();
  await db
    .prepare('DELETE FROM rebuild_wanted WHERE reason BETWEEN ?1 AND ?2 AND reason <> ?2')
    .bind(UNDER_WAY, reason)
    .run();
}

/** Notes that every stream has been through a rebuild. What another one has emptied meanwhile, that one has to fill. */
export async function noteRebuilt(db: Database, rebuild: string): Promise<void> {
  await db
    .prepare('DELETE FROM rebuild_wanted WHERE reason = ?')
    .bind(UNDER_WAY + rebuild)
    .run();
}
