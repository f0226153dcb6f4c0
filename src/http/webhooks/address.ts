import { isRefusal } from '../../../actors/decider.ts';
import type { CommandReply, CommandRequest, RefusalReply } from '../../../actors/messages.ts';
import type { WebhookCommand } from '../../../actors/webhook.ts';
import { isId } from '../../../events/id.ts';
import { WEBHOOK_PREFIX } from '../../../events/webhook.ts';
import { accessView } from '../../auth/access-views.ts';
import { refuseScope } from '../../auth/authenticate.ts';
import type { WebhookObject } from '../../webhooks/objects.ts';
import { conditionsOf, type Done, headersOf, readConditions, whenVisible } from '../change.ts';
import { type AuthenticatedExchange, causeOf, type Exchange } from '../exchange.ts';
import { readWait } from '../prefer.ts';
import { isProblem, type Problem, problemOf } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { Answer } from '../route.ts';

/** Where webhooks are addressed. */
export const WEBHOOKS_PATH = '/v1/webhooks';
export const WEBHOOK_PATH = `${WEBHOOKS_PATH}/:id`;

/** The object that is the webhook. */
export function webhookObject({ env }: Pick<Exchange, 'env'>, id: string): DurableObjectStub<WebhookObject> {
  return env.WEBHOOKS.get(env.WEBHOOKS.idFromName(id));
}

/** The id of the webhook in the path; 404 when it cannot be one, because asking an object creates it. */
export function webhookId({ request }: Exchange): string | Problem {
  const id = request.params?.id ?? '';
  return isId(WEBHOOK_PREFIX, id) ? id : { problem: 'not-found', detail: 'There is no webhook with this id.' };
}

/** The id of the webhook in the path of a request that takes no query. */
export function addressed(exchange: Exchange): string | Problem {
  const query = readQuery(exchange.request, []);
  return isProblem(query) ? query : webhookId(exchange);
}

/**
 * Why a caller may not have events sent anywhere, whose credential may not even read them; null when it may. Whoever has
 * it can read them there.
 */
export function refuseReading({ principal }: AuthenticatedExchange): Problem | null {
  return refuseScope(principal, 'feed.read');
}

/** What an object is asked to do with a command. */
type Act<Command extends WebhookCommand> = (
  object: DurableObjectStub<WebhookObject>,
  request: CommandRequest<Command>,
) => Promise<CommandReply | RefusalReply>;

/** Has the webhook in the path do something, under the conditions in the headers. */
export async function change<Command extends WebhookCommand>(
  exchange: AuthenticatedExchange,
  command: Command,
  act: Act<Command>,
): Promise<Done | Problem> {
  const id = addressed(exchange);
  if (isProblem(id)) return id;
  const request = requestOf(exchange, id, command);
  if (isProblem(request)) return request;
  const wait = readWait(exchange.request.headers);
  if (isProblem(wait)) return wait;
  const object = webhookObject(exchange, id);
  const reply = await act(object, request);
  return isRefusal(reply) ? problemOf(reply) : whenVisible(object, reply, wait);
}

/** A command on its way to a webhook. */
export function requestOf<Command extends WebhookCommand>(
  exchange: AuthenticatedExchange,
  id: string,
  command: Command,
): CommandRequest<Command> | Problem {
  const conditions = readConditions(exchange.request.headers);
  if (isProblem(conditions)) return conditions;
  const { principal } = exchange;
  return { id, command, principal, cause: causeOf(exchange), ...conditionsOf(exchange, command, conditions) };
}

/** The answer to a change. */
export function answer(exchange: Exchange, reply: Done | Problem, status = 200): Answer {
  return isProblem(reply) ? reply : jsonText(exchange, status, reply.body, headersOf(reply));
}

/** When the caller's credential ends for good (ISO 8601), null when it does not: what it makes ends with it. */
export async function credentialEnd({ env, principal }: AuthenticatedExchange): Promise<string | null> {
  const { credential, actor, expiresAt } = principal;
  if (credential.kind === 'session') {
    // Its access token is replaced all the time.
    const { sessions } = await accessView(env, actor);
    return sessions.find(({ id }) => id === credential.id)?.refreshUntil ?? null;
  }
  return expiresAt === null ? null : new Date(expiresAt).toISOString();
}
