import type { ActorCommand } from '../../../actors/actor.ts';
import { isRefusal } from '../../../actors/decider.ts';
import type { CommandReply, CommandRequest, RefusalReply } from '../../../actors/messages.ts';
import { isActorId } from '../../../events/actor.ts';
import { BOOTSTRAP_ACTOR } from '../../../events/bootstrap-actor.ts';
import { isChittyId } from '../../../events/chitty-id.ts';
import { findActorByChittyId } from '../../../projections/actors.ts';
import { forgetAccessView } from '../../auth/access-views.ts';
import { ensureFirstAdministrator } from '../../auth/first-administrator.ts';
import type { ActorObject } from '../../objects.ts';
import { conditionsOf, readConditions } from '../change.ts';
import { type AuthenticatedExchange, causeOf, type Exchange } from '../exchange.ts';
import type { HistorySource } from '../history-source.ts';
import { isProblem, type Problem } from '../problem.ts';
import { readQuery } from '../query.ts';

/** What stands for oneself in the place of an id. */
const ONESELF = 'me';

/** Where an actor is addressed. */
export const ACTOR_PATH = '/v1/actors/:id';

/**
 * The id of the actor in the path, who may also be named by the ChittyID, or as `me`; 404 when it cannot be one. No
 * object is asked whether it exists, because asking one creates it.
 */
export async function actorId({ request, env, principal }: AuthenticatedExchange): Promise<string | Problem> {
  const given = request.params?.id ?? '';
  const id = given === ONESELF ? principal.actor : given;
  if (id === BOOTSTRAP_ACTOR) await ensureFirstAdministrator(env);
  if (isActorId(id)) return id;
  const found = isChittyId(id) ? await findActorByChittyId(env.DB, id) : null;
  return found ?? { problem: 'not-found', detail: 'There is no actor with this id.' };
}

/** The object that is the actor. */
export function actorObject({ env }: Pick<Exchange, 'env'>, id: string): DurableObjectStub<ActorObject> {
  return env.ACTORS.get(env.ACTORS.idFromName(id));
}

/** The actor in the path as a history. */
export async function actorSource(exchange: AuthenticatedExchange): Promise<HistorySource | Problem> {
  const id = await actorId(exchange);
  return isProblem(id) ? id : { id, stream: `actor/${id}`, object: actorObject(exchange, id) };
}

/** Has an actor's object carry out a command, under the conditions in the headers. */
export async function changeActor(
  exchange: AuthenticatedExchange,
  id: string,
  command: ActorCommand,
): Promise<CommandReply | Problem | RefusalReply> {
  const conditions = readConditions(exchange.request.headers);
  if (isProblem(conditions)) return conditions;
  return executeOn(exchange, id, command, conditionsOf(exchange, command, conditions));
}

/** Has an actor's object carry out a command. */
export async function executeOn(
  exchange: AuthenticatedExchange,
  id: string,
  command: ActorCommand,
  conditions: Pick<CommandRequest<ActorCommand>, 'expectedVersions' | 'idempotency'> = {},
): Promise<CommandReply | RefusalReply> {
  const { principal } = exchange;
  if (id === BOOTSTRAP_ACTOR) await ensureFirstAdministrator(exchange.env);
  const request = { id, command, principal, cause: causeOf(exchange), ...conditions };
  const reply = await actorObject(exchange, id).execute(request);
  // What this isolate knows is out of date; others learn of it within seconds.
  if (!isRefusal(reply)) forgetAccessView(id);
  return reply;
}

/** The actor in the path of a request that takes no query. */
export async function addressed(exchange: AuthenticatedExchange): Promise<string | Problem> {
  const query = readQuery(exchange.request, []);
  return isProblem(query) ? query : actorId(exchange);
}
