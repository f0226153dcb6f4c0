import type { Connection } from '../../actors/connection.ts';
import type { Context } from '../../actors/context.ts';
import { isRefusal } from '../../actors/decider.ts';
import { Directory } from '../../actors/directory.ts';
import { SYSTEM } from '../../actors/principal.ts';
import { SYSTEM_ACTOR } from '../../actors/system-actor.ts';
import type { Envelope } from '../../events/envelope.ts';
import { clearActors, projectActor } from '../../projections/actors.ts';
import { clearAudit, projectAudit } from '../../projections/audit.ts';
import { type AuditRow, auditRowsOf } from '../../projections/audit-entries.ts';
import { clearChittyIds, projectChittyIds } from '../../projections/chitty-ids.ts';
import { clearConnections, projectConnection } from '../../projections/connections.ts';
import { clearContexts, projectContexts } from '../../projections/contexts.ts';
import { clearDeadLetters, projectDeadLetter } from '../../projections/dead-letters.ts';
import { clearInstallations, projectInstallation } from '../../projections/installations.ts';
import { type ContextInvitations, clearInvitations, projectInvitations } from '../../projections/invitations.ts';
import { noteEmptied, noteRebuildBegun, noteRebuilt } from '../../projections/rebuild-wanted.ts';
import { clearWebhooks, projectWebhook } from '../../projections/webhooks.ts';
import type { Env } from '../env.ts';
import { auditKeptSince } from './audit-retention.ts';
import { AUDIT_DESTINATION } from './audit-sink.ts';
import { endWhenContextIsDeleted } from './connection-ends.ts';
import { streamObject } from './stream-object.ts';
import { redeliver } from './wake.ts';

/** Streams in one part: as many as a request can ask within the platform's limit of calls. */
const PART_STREAMS = 200;

/** Streams that are read and written together: what their logs begin with is in memory at the same time. */
const TOGETHER = 50;

/** Events of a stream that are written together with those of others; the rest is for the stream to deliver. */
const FIRST_EVENTS = 200;

/** Characters of rows in one query, below D1's 2 MB of UTF-8. */
const QUERY_CHARS = 400_000;

/** How long a stream is waited for that has more to deliver, in milliseconds. */
const REDELIVERY_MS = 20_000;

/** How far a rebuild has come in the directory. */
export interface RebuildPlace {
  /** The id of the rebuild. */
  readonly rebuild: string;
  readonly shard: number;
  /** The stream after which to go on; empty for the first. */
  readonly after: string;
}

/** How far a rebuild has come. */
export interface RebuildPart {
  /** Streams in this part. */
  readonly rebuilt: number;
  /** Streams there are. */
  readonly total: number;
  /** Where the next part begins; null when this was the last. */
  readonly next: RebuildPlace | null;
}

/**
 * One part of a rebuild: fills the read models from the logs of some streams. The first part empties them; changes go on
 * meanwhile.
 *
 * @param place where the part before said that this one begins; null for the first
 */
export async function rebuildPart(env: Env, place: RebuildPlace | null): Promise<RebuildPart> {
  const { rebuild, shard: index, after } = place ?? (await begin(env.DB));
  const shards = new Directory(env.DIRECTORY).shards();
  const streams = (await shards[index]?.list(after, PART_STREAMS)) ?? [];
  for (let from = 0; from < streams.length; from += TOGETHER) {
    await rebuildTogether(env, streams.slice(from, from + TOGETHER));
  }
  const counts = await Promise.all(shards.map((each) => each.count()));
  const isShardDone = streams.length < PART_STREAMS;
  const isDone = isShardDone && index >= shards.length - 1;
  if (isDone) await noteRebuilt(env.DB, rebuild);
  const next = isShardDone
    ? { rebuild, shard: index + 1, after: '' }
    : { rebuild, shard: index, after: streams.at(-1) ?? '' };
  return {
    rebuilt: streams.length,
    total: counts.reduce((sum, count) => sum + count, 0),
    next: isDone ? null : next,
  };
}

/** A whole rebuild, which says in the log how far it is. */
export async function rebuildAll(env: Env): Promise<void> {
  const startedAt = Date.now();
  let done = 0;
  let place: RebuildPlace | null = null;
  do {
    const part: RebuildPart = await rebuildPart(env, place);
    done += part.rebuilt;
    place = part.next;
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    console.log(JSON.stringify({ level: 'info', message: `rebuilt ${done} of ${part.total} streams in ${seconds} s` }));
  } while (place !== null);
}

/** Empties the read models. @returns where to begin */
async function begin(db: D1Database): Promise<RebuildPlace> {
  const rebuild = await noteRebuildBegun(db);
  await clearAll(db);
  await noteEmptied(db, rebuild);
  return { rebuild, shard: 0, after: '' };
}

async function clearAll(db: D1Database): Promise<void> {
  await Promise.all([
    clearActors(db),
    clearAudit(db),
    clearConnections(db),
    clearContexts(db),
    clearChittyIds(db),
    clearDeadLetters(db),
    clearInstallations(db),
    clearInvitations(db),
    clearWebhooks(db),
  ]);
}

/** Writes what lists show of a stream. @param body its present state, as JSON */
type Write = (env: Env, body: string) => Promise<unknown>;

/** The types of streams that have rows, but for contexts, which are written many at a time. */
const READ_MODELS: ReadonlyMap<string, Write> = new Map<string, Write>([
  ['actor', ({ DB }, body) => projectActor(DB, JSON.parse(body))],
  ['connection', rebuildConnection],
  ['dead_letter', ({ DB }, body) => projectDeadLetter(DB, JSON.parse(body))],
  ['installation', ({ DB }, body) => projectInstallation(DB, JSON.parse(body))],
  ['webhook', ({ DB }, body) => projectWebhook(DB, JSON.parse(body))],
]);

/** A stream as it is read: its state, and what its log begins with. */
interface Read {
  readonly stream: string;
  /** Its present state as JSON; null when it has none or nothing is shown of it. */
  readonly body: string | null;
  readonly events: readonly Envelope[];
  /** Whether these were all when they were read. */
  readonly isWhole: boolean;
}

/**
 * Writes the present state of these streams into the read models, their first events into the feed and the audit trail,
 * all of them together: a transaction for each stream would take many times as long. Then each stream is told to go on
 * from there, which those have nothing to do for that are shorter and were not changed meanwhile.
 */
async function rebuildTogether(env: Env, streams: readonly string[]): Promise<void> {
  const read = await Promise.all(streams.map((stream) => readStream(env, stream)));
  const contexts: Context[] = [];
  const invitations: ContextInvitations[] = [];
  await Promise.all(
    read.map(async ({ stream, body }) => {
      if (body === null) return;
      const write = READ_MODELS.get(typeOf(stream));
      if (write !== undefined) {
        await write(env, body);
        return;
      }
      const context: Context = JSON.parse(body);
      if (context.owner === SYSTEM_ACTOR) return;
      contexts.push(context);
      if (context.status === 'active') invitations.push(...(await invitationsTo(env, context.id)));
    }),
  );
  const eventsOf = new Map(read.map(({ stream, events }) => [stream.slice(stream.indexOf('/') + 1), events]));
  await projectContexts(env.DB, contexts, eventsOf);
  await projectInvitations(env.DB, invitations);
  await projectChittyIds(
    env.DB,
    contexts.flatMap(({ id, chittyId }) => (chittyId === null ? [] : [{ id, chittyId }])),
  );
  const since = auditKeptSince(env.AUDIT_KEEP_DAYS, Date.now());
  const entries = read
    .flatMap(({ events }) => auditRowsOf(events))
    .filter(({ time }) => since === null || time >= since);
  for (const rows of parts(entries)) await projectAudit(env.DB, rows);
  await Promise.all([
    // Also those that are whole: what they delivered while they had no row has no place in the feed yet.
    ...contexts.map(({ id }) => goOn(env, `context/${id}`, 'd1', eventsOf.get(id) ?? [])),
    ...read.flatMap(({ stream, events, isWhole }) => (isWhole ? [] : [goOn(env, stream, AUDIT_DESTINATION, events)])),
  ]);
}

/** Has a stream deliver what comes after these events. What takes longer than its time it goes on with by itself. */
function goOn(env: Env, stream: string, destination: string, events: readonly Envelope[]): Promise<boolean> {
  return redeliver(env, stream, destination, (events.at(-1)?.version ?? 0) + 1, REDELIVERY_MS);
}

async function readStream(env: Env, stream: string): Promise<Read> {
  const object = streamObject(env, stream);
  // The events before the state, which then has all of them.
  const history = await object?.history(SYSTEM, 0, FIRST_EVENTS);
  const isShown = typeOf(stream) === 'context' || READ_MODELS.has(typeOf(stream));
  // Rows of contexts have no words of people in them; those of actors have.
  const form = typeOf(stream) === 'context' ? 'sealed' : 'opened';
  const view = isShown ? await object?.view(SYSTEM, undefined, form) : undefined;
  const body = view === undefined || isRefusal(view) ? null : view.body;
  if (history === undefined || isRefusal(history)) return { stream, body, events: [], isWhole: false };
  const events = history.events.map((text): Envelope => JSON.parse(text));
  return { stream, body, events, isWhole: history.isUpToDate };
}

function typeOf(stream: string): string {
  return stream.slice(0, stream.indexOf('/'));
}

/** Rows of the audit trail in such numbers as one query takes. */
function* parts(rows: readonly AuditRow[]): Generator<readonly AuditRow[]> {
  let [from, chars] = [0, 0];
  for (const [index, row] of rows.entries()) {
    chars += JSON.stringify(row).length;
    if (chars < QUERY_CHARS) continue;
    yield rows.slice(from, index + 1);
    [from, chars] = [index + 1, 0];
  }
  yield rows.slice(from);
}

async function rebuildConnection(env: Env, body: string): Promise<void> {
  const connection: Connection = JSON.parse(body);
  await projectConnection(env.DB, connection);
  // While its row was not there, nobody could find it whose context was deleted.
  await endWhenContextIsDeleted(env, connection);
}

/** The open invitations to a context, when there are any. */
async function invitationsTo(env: Env, context: string): Promise<ContextInvitations[]> {
  const answer = await env.CONTEXTS.get(env.CONTEXTS.idFromName(context)).invitations(SYSTEM);
  if (isRefusal(answer) || answer.seen === '[]') return [];
  return [{ context, version: answer.version, invitations: answer.seen }];
}
