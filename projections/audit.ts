import type { D1Database } from '@cloudflare/workers-types';
import { SYSTEM_ACTOR } from '../actors/system-actor.ts';
import type { Envelope } from '../events/envelope.ts';
import type { Json, JsonObject } from '../events/json.ts';

/** An entry of the audit trail as it is kept. */
export interface AuditRow {
  readonly id: string;
  readonly time: string;
  readonly actor: string;
  /** Whose rights were used; null for the actor's own. */
  readonly subject: string | null;
  readonly credential: string | null;
  /** `<stream type>/<id>`: what it was about. */
  readonly stream: string | null;
  /** The type of the event that is the change; what was refused, or read. */
  readonly action: string;
  readonly outcome: 'allowed' | 'refused';
  readonly origin: string | null;
  readonly command_id: string;
  readonly correlation_id: string;
  /** A JSON object. */
  readonly detail: string;
}

/** What the events of audit streams say, with what is not in all of them. */
interface Told {
  readonly stream?: string | null;
  readonly action?: string;
  readonly [member: string]: Json | undefined;
}

/** Ids, which tell who and what an event is about and nothing else. */
const ID = /^[a-z]{3,4}_[0-9A-HJKMNP-TV-Z]{26}(_[0-9A-HJKMNP-TV-Z]{26})?$/;

/** Names of fields that one entry tells, and ids. */
const NAMES_MAX = 50;

const COLUMNS =
  'id, time, actor, subject, credential, stream, action, outcome, origin, command_id, correlation_id, detail';

/**
 * The entry that an event is. Of a change it tells the names of the fields and the ids in it, never a value: those are in
 * the stream, for those who may read it.
 */
export function auditRowOf(envelope: Envelope): AuditRow {
  const { id, time, actor, onBehalfOf, credential, origin, commandId, correlationId, stream, version, type, data } =
    envelope;
  const event = { log: stream, version };
  const common = {
    id,
    time,
    actor,
    subject: onBehalfOf ?? null,
    credential: credential ?? null,
    origin: origin ?? null,
    command_id: commandId,
    correlation_id: correlationId,
  };
  if (!stream.startsWith('audit/')) {
    const detail = { ...event, ...namesIn(data) };
    return { ...common, stream, action: type, outcome: 'allowed', detail: JSON.stringify(detail) };
  }
  const { stream: about = null, action = type, ...rest }: Told = data;
  const outcome = type === 'sensitive_read' ? 'allowed' : 'refused';
  return { ...common, stream: about, action, outcome, detail: JSON.stringify({ ...event, type, ...rest }) };
}

function namesIn(data: JsonObject): { readonly fields: readonly string[]; readonly about: readonly string[] } {
  const entries = Object.entries(data);
  const fields = entries.flatMap(([name, value]) => [name, ...(name === 'change' ? membersOf(value, name) : [])]);
  const about = entries.flatMap(([, value]) => (typeof value === 'string' && ID.test(value) ? [value] : []));
  return { fields: fields.slice(0, NAMES_MAX), about: about.slice(0, NAMES_MAX) };
}

function membersOf(value: Json, name: string): string[] {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? Object.keys(value).map((member) => `${name}.${member}`) : [];
}

/** Writes entries; what is there already stays as it is. All in one statement. */
export async function projectAudit(db: D1Database, rows: readonly AuditRow[]): Promise<void> {
  if (rows.length === 0) return;
  const values = COLUMNS.split(', ').map((name) => `value ->> '${name}'`);
  await db
    .prepare(`INSERT OR IGNORE INTO audit (${COLUMNS}) SELECT ${values.join(', ')} FROM json_each(?1)`)
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
}

/** Which entries are wanted. */
export interface AuditQuery extends AuditFilter {
  /** Of which all that is wanted must be one; null for all there are. */
  readonly among: readonly AuditFilter[] | null;
  /** Ids from this one on, up to before that one. */
  readonly from?: string;
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
    ...(query.from === undefined ? [] : [`id >= ${bound(query.from)}`]),
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

/** @param isNarrow whether an index finds few enough already: what one actor was refused is not looked for among all refusals */
function conditions(filter: AuditFilter, bound: (value: string) => string, isNarrow = false): string[] {
  const { actor, subject, stream, credential, action, outcome } = filter;
  return [
    // As the index says it, so that it is used.
    ...(actor === undefined ? [] : [`actor = ${bound(actor)}`]),
    ...(actor === undefined || actor === SYSTEM_ACTOR ? [] : [`actor <> '${SYSTEM_ACTOR}'`]),
    ...(subject === undefined ? [] : [`subject = ${bound(subject)}`]),
    ...(stream === undefined ? [] : [`stream = ${bound(stream)}`]),
    ...(credential === undefined ? [] : [`credential = ${bound(credential)}`]),
    ...(action === undefined ? [] : [`action = ${bound(action)}`]),
    ...(outcome === undefined ? [] : [`${isNarrow ? '+' : ''}outcome = '${outcome}'`]),
  ];
}

/** Empties the table, to be filled again from the logs. */
export async function clearAudit(db: D1Database): Promise<void> {
  await db.prepare('DELETE FROM audit').run();
}
