import { ColdHistory } from '../../actors/cold-history.ts';
import { EventLog, tablesOf } from '../../actors/log.ts';

/** A log of which nothing was ever moved, as it stands in a database. */
export function hotLog(sql: SqlStorage): { readonly log: EventLog; readonly cold: ColdHistory } {
  const { events, segments } = tablesOf(sql);
  const nobody = { stream: () => '', version: () => 0, rootOf: () => '' };
  const cold = new ColdHistory(sql, segments, nobody, null);
  return { log: new EventLog(sql, events, cold), cold };
}
