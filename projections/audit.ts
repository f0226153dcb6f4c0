import type { D1Database } from '@cloudflare/workers-types';
import { SYSTEM_ACTOR } from '../actors/system-actor.ts';
import { firstUlidOf } from '../events/ulid.ts';
import { type AuditRow, minuteOf } from './audit-entries.ts';

/** Entries that one statement removes at most. */
const REMOVED_AT_ONCE = 1_000;

const COLUMNS =
  'id, time, actor, subject, credential, stream, action, outcome, origin, command_id, correlation_id, detail, ' +
  'last_version, last_time, occurrences';

/**
 * Writes entries, all in one statement. One that is there already stays as it is, unless it has come to be more events:
 * so the last that is known of it stays, in whatever order it comes. What then changes is in no index.
 */
export async function projectAudit(db: D1Database, rows: readonly AuditRow[]): Promise<void> {
  if (rows.length === 0) return;
  const values = COLUMNS.split(', ').map((name) => `value ->> '${name}'`);
  await db
    .prepare(
      `INSERT INTO audit (${COLUMNS}) SELECT ${values.join(', ')} FROM json_each(?1) WHERE true
       ON CONFLICT (id) DO UPDATE SET
         last_version = excluded.last_version, last_time = excluded.last_time, occurrences = excluded.occurrences
       WHERE excluded.last_version > coalesce(audit.last_version, 0)`,
    )
    .bind(JSON.stringify(rows))
    .run();
}

/** What must be so of an entry; what is left out does not matter. */
export interface AuditFilter {
  readonly actor?: string;
  readonly subject?: string;
  readonly stream?: string;
  readonly credential?: string;
  readonly action?: string;
  readonly outcome?: AuditRow['outcome'];
  /** Nothing that was hidden from whoever asked for it. */
  readonly withoutHidden?: true;
}

/** Which entries are wanted. */
export interface AuditQuery extends AuditFilter {
  /** Of which all that is wanted must be one; null for all there are. */
  readonly among: readonly AuditFilter[] | null;
  /** What was at this time (ISO 8601) or later: of several events, the last of them. */
  readonly from?: string;
  /** Entries with ids before this one. */
  readonly before?: string;
  /** Whether what the service does by itself is wanted. */
  readonly withSystem: boolean;
  readonly limit: number;
}

/**
 * Entries, newest first. Each of the alternatives in `among` is looked for by an index of its own, so that the first page
 * takes as long among millions as among hundreds.
 */
export async function listAudit(db: D1Database, query: AuditQuery): Promise<AuditRow[]> {
  const bindings: (string | number)[] = [];
  const bound = (value: string | number) => {
    bindings.push(value);
    return `?${bindings.length}`;
  };
  const limit = bound(query.limit);
  const isNarrow = [query, ...(query.among ?? [])].some(({ actor, subject, stream }) => actor ?? subject ?? stream);
  const common = [
    ...conditions(query, bound, isNarrow),
    ...(query.from === undefined ? [] : since(query.from, bound)),
    ...(query.before === undefined ? [] : [`id < ${bound(query.before)}`]),
    ...(query.withSystem ? [] : [`actor <> '${SYSTEM_ACTOR}'`]),
  ];
  const parts = (query.among ?? [{}]).map((filter) => {
    const all = [...conditions(filter, bound), ...common];
    const where = all.length > 0 ? `WHERE ${all.join(' AND ')}` : '';
    return `SELECT * FROM (SELECT ${COLUMNS} FROM audit ${where} ORDER BY id DESC LIMIT ${limit})`;
  });
  const sql = parts.length === 1 ? `${parts[0]}` : `${parts.join(' UNION ')} ORDER BY id DESC LIMIT ${limit}`;
  const { results } = await db
    .prepare(sql)
    .bind(...bindings)
    .all<{ [Column in keyof AuditRow]: AuditRow[Column] }>();
  return results;
}

/** Ids tell when an entry began; it ended within the same minute. */
function since(from: string, bound: (value: string) => string): string[] {
  const firstId = firstUlidOf(Date.parse(minuteOf(from)));
  return [`id >= ${bound(firstId)}`, `coalesce(last_time, time) >= ${bound(from)}`];
}

/** @param isNarrow whether an index finds few enough already: what one actor was refused is not looked for among all refusals */
function conditions(filter: AuditFilter, bound: (value: string) => string, isNarrow = false): string[] {
  const { actor, subject, stream, credential, action, outcome, withoutHidden } = filter;
  return [
    // As the index says it, so that it is used.
    ...(actor === undefined ? [] : [`actor = ${bound(actor)}`]),
    ...(actor === undefined || actor === SYSTEM_ACTOR ? [] : [`actor <> '${SYSTEM_ACTOR}'`]),
    ...(subject === undefined ? [] : [`subject = ${bound(subject)}`]),
    ...(stream === undefined ? [] : [`stream = ${bound(stream)}`]),
    ...(credential === undefined ? [] : [`credential = ${bound(credential)}`]),
    ...(action === undefined ? [] : [`action = ${bound(action)}`]),
    ...(outcome === undefined ? [] : [`${isNarrow ? '+' : ''}outcome = '${outcome}'`]),
    ...(withoutHidden ? ["detail ->> 'reason' IS NOT 'hidden'"] : []),
  ];
}

/** Removes the oldest entries from before a time (ISO 8601). @returns whether there may be more */
export async function removeAuditBefore(db: D1Database, time: string): Promise<boolean> {
  const { meta } = await db
    .prepare('DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < ?1 ORDER BY id LIMIT ?2)')
    .bind(firstUlidOf(Date.parse(time)), REMOVED_AT_ONCE)
    .run();
  return meta.changes === REMOVED_AT_ONCE;
}

/** Empties the table, to be filled again from the logs. */
export async function clearAudit(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM audit').run();
}
