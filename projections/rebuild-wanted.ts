/** The part of a D1 database that is needed here: both Workers and scripts have one. */
interface Database {
  prepare(sql: string): { run(): Promise<unknown>; first(): Promise<unknown> };
}

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

/** Notes that the read models are about to be emptied: until every stream has had its turn, they lack rows. */
export async function noteRebuildBegun(db: Database): Promise<void> {
  await db.prepare("INSERT OR IGNORE INTO rebuild_wanted (reason) VALUES ('rebuild begun')").run();
}

/** Notes that every stream has been through a rebuild. */
export async function noteRebuilt(db: Database): Promise<void> {
  await db.prepare('DELETE FROM rebuild_wanted').run();
}
