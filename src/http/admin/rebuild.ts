import { z } from 'zod';
import type { Connection } from '../../../actors/connection.ts';
import type { Context } from '../../../actors/context.ts';
import { isRefusal } from '../../../actors/decider.ts';
import { Directory } from '../../../actors/directory.ts';
import { SYSTEM } from '../../../actors/principal.ts';
import { SYSTEM_ACTOR } from '../../../actors/system-actor.ts';
import { clearActors, projectActor } from '../../../projections/actors.ts';
import { clearAudit } from '../../../projections/audit.ts';
import { clearChittyIds, projectChittyId } from '../../../projections/chitty-ids.ts';
import { clearConnections, projectConnection } from '../../../projections/connections.ts';
import { clearContexts, projectContexts } from '../../../projections/contexts.ts';
import { clearDeadLetters, projectDeadLetter } from '../../../projections/dead-letters.ts';
import { clearFeed } from '../../../projections/feed.ts';
import { clearInstallations, projectInstallation } from '../../../projections/installations.ts';
import { type ContextInvitations, clearInvitations, projectInvitations } from '../../../projections/invitations.ts';
import { noteRebuilt } from '../../../projections/rebuild-wanted.ts';
import { clearWebhooks, projectWebhook } from '../../../projections/webhooks.ts';
import { AUDIT_DESTINATION } from '../../delivery/audit-sink.ts';
import { endWhenContextIsDeleted } from '../../delivery/connection-ends.ts';
import { streamObject } from '../../delivery/stream-object.ts';
import { redeliver } from '../../delivery/wake.ts';
import type { Env } from '../../env.ts';
import { problems } from '../operations.ts';
import { invalid, isProblem } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';

/** Streams that one request rebuilds: as many as a request can ask within the platform's limit of calls. */
const PAGE_STREAMS = 200;

/** How long a stream is waited for that has much to tell the audit trail, in milliseconds. */
const REDELIVERY_MS = 20_000;

/** A place in the directory: the shard, and the stream after which to go on. */
const CURSOR = /^(\d{1,2})\.([\w/]*)$/;

/** POST /v1/admin/rebuild */
export const rebuildReadModels: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/admin/rebuild',
  access: 'admin.write',
  operation: {
    operationId: 'rebuildReadModels',
    tags: ['administration'],
    summary: 'Throw the read models away and fill them from the logs',
    description:
      'The first call empties them; call again with the `nextCursor` of the answer until it is null. Changes go on ' +
      'meanwhile; until its turn, a context is not found. `npm run rebuild` does all of it.',
    requestParams: { query: z.object({ cursor: z.string().optional() }) },
    responses: {
      200: {
        description: 'How far it is',
        content: {
          'application/json': {
            schema: z.strictObject({
              rebuilt: z.int().meta({ description: 'Streams in this part' }),
              total: z.int().meta({ description: 'Streams there are' }),
              nextCursor: z.string().nullable(),
            }),
          },
        },
      },
      ...problems(400, 401, 403),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['cursor']);
    if (isProblem(query)) return query;
    const shards = new Directory(exchange.env.DIRECTORY).shards();
    const place = CURSOR.exec(query.cursor ?? '0.');
    const shardIndex = Number(place?.[1]);
    const shard = shards[shardIndex];
    if (!place || !shard) return invalid('cursor', 'must be the nextCursor of the answer before');
    if (query.cursor === undefined) {
      const { DB } = exchange.env;
      await Promise.all([
        clearActors(DB),
        clearAudit(DB),
        clearConnections(DB),
        clearContexts(DB),
        clearChittyIds(DB),
        clearDeadLetters(DB),
        clearFeed(DB),
        clearInstallations(DB),
        clearInvitations(DB),
        clearWebhooks(DB),
      ]);
    }
    const streams = await shard.list(place[2] ?? '', PAGE_STREAMS);
    await rebuild(exchange.env, streams);
    const contexts = streams.filter((stream) => stream.startsWith('context/'));
    // What takes longer is gone on with by the streams themselves.
    await Promise.all(contexts.map((stream) => redeliver(exchange.env, stream, 'd1', REDELIVERY_MS)));
    await Promise.all(streams.map((stream) => redeliver(exchange.env, stream, AUDIT_DESTINATION, REDELIVERY_MS)));
    const counts = await Promise.all(shards.map((each) => each.count()));
    const isShardDone = streams.length < PAGE_STREAMS;
    const isDone = isShardDone && shardIndex === shards.length - 1;
    if (isDone) await noteRebuilt(exchange.env.DB);
    const next = isShardDone ? `${shardIndex + 1}.` : `${shardIndex}.${streams.at(-1)}`;
    return jsonText(
      exchange,
      200,
      JSON.stringify({
        rebuilt: streams.length,
        total: counts.reduce((sum, count) => sum + count, 0),
        nextCursor: isDone ? null : next,
      }),
    );
  },
};

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

/** Writes the present state of these streams into the read models. */
async function rebuild(env: Env, streams: readonly string[]): Promise<void> {
  const contexts: Context[] = [];
  const invitations: ContextInvitations[] = [];
  await Promise.all(
    streams.map(async (stream) => {
      const [type = ''] = stream.split('/');
      const write = READ_MODELS.get(type);
      if (write === undefined && type !== 'context') return;
      // Rows of contexts have no words of people in them; those of actors have.
      const body = await presentState(env, stream, type === 'context' ? 'sealed' : 'opened');
      // One that was registered and never written has nothing to show.
      if (body === null) return;
      if (write !== undefined) {
        await write(env, body);
        return;
      }
      const context: Context = JSON.parse(body);
      if (context.owner === SYSTEM_ACTOR) return;
      contexts.push(context);
      if (context.status === 'active') invitations.push(...(await invitationsTo(env, context.id)));
      if (context.chittyId !== null) await projectChittyId(env.DB, context.chittyId, context.id);
    }),
  );
  await projectContexts(env.DB, contexts);
  await projectInvitations(env.DB, invitations);
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

/** The present state of a stream as JSON, null when nothing was ever written there. */
async function presentState(env: Env, stream: string, form: 'opened' | 'sealed'): Promise<string | null> {
  const view = await streamObject(env, stream)?.view(SYSTEM, undefined, form);
  return view === undefined || isRefusal(view) ? null : view.body;
}
