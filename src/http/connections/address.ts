import type { ConnectionDemand } from '../../../actors/connection-object.ts';
import { isRefusal } from '../../../actors/decider.ts';
import { CONNECTION_PREFIX } from '../../../events/connection.ts';
import { isId } from '../../../events/id.ts';
import type { ConnectionObject } from '../../objects.ts';
import { conditionsOf, type Done, readConditions, whenVisible } from '../change.ts';
import { type AuthenticatedExchange, causeOf, type Exchange } from '../exchange.ts';
import { readWait } from '../prefer.ts';
import { isProblem, type Problem, problemOf } from '../problem.ts';
import { readQuery } from '../query.ts';

/** Where a connection is addressed. */
export const CONNECTION_PATH = '/v1/connections/:id';

/** The object that is the connection. */
export function connectionObject({ env }: Pick<Exchange, 'env'>, id: string): DurableObjectStub<ConnectionObject> {
  return env.CONNECTIONS.get(env.CONNECTIONS.idFromName(id));
}

/** The id of the connection in the path of a request that takes no query; 404 when it cannot be one. */
function addressed(exchange: Exchange): string | Problem {
  const query = readQuery(exchange.request, []);
  return isProblem(query) ? query : connectionId(exchange);
}

/** The id of the connection in the path; 404 when it cannot be one, because asking an object creates it. */
export function connectionId({ request }: Exchange): string | Problem {
  const id = request.params?.id ?? '';
  return isId(CONNECTION_PREFIX, id) ? id : { problem: 'not-found', detail: 'There is no connection with this id.' };
}

/** Has the connection in the path do something, under the conditions in the headers. */
export function changeConnection(exchange: AuthenticatedExchange, demand: ConnectionDemand): Promise<Done | Problem> {
  const id = addressed(exchange);
  return isProblem(id) ? Promise.resolve(id) : demandOf(exchange, id, demand);
}

/** Has a connection do something, under the conditions in the headers. */
export async function demandOf(
  exchange: AuthenticatedExchange,
  id: string,
  command: ConnectionDemand,
): Promise<Done | Problem> {
  const { principal, request } = exchange;
  const conditions = readConditions(request.headers);
  if (isProblem(conditions)) return conditions;
  const wait = readWait(request.headers);
  if (isProblem(wait)) return wait;
  const object = connectionObject(exchange, id);
  const reply = await object.act({
    id,
    command,
    principal,
    cause: causeOf(exchange),
    ...conditionsOf(exchange, command, conditions),
  });
  return isRefusal(reply) ? problemOf(reply) : whenVisible(object, reply, wait);
}
