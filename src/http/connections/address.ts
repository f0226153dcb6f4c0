import type { ConnectionDemand } from '../../../actors/connection-object.ts';
import { isRefusal } from '../../../actors/decider.ts';
import type { CommandReply } from '../../../actors/messages.ts';
import { canonicalText } from '../../../events/canonical.ts';
import { CONNECTION_PREFIX } from '../../../events/connection.ts';
import { sha256Hex } from '../../../events/hash.ts';
import { isId } from '../../../events/id.ts';
import type { ConnectionObject } from '../../objects.ts';
import { etag, readIdempotencyKey, readIfMatch } from '../conditions.ts';
import { type AuthenticatedExchange, causeOf, type Exchange } from '../exchange.ts';
import { readWait } from '../prefer.ts';
import { isProblem, type Problem, problemOf } from '../problem.ts';
import { readQuery } from '../query.ts';

/** Where a connection is addressed. */
export const CONNECTION_PATH = '/v1/connections/:id';

/** The destination that lists and graphs read from. */
const READ_MODEL = 'd1';

/** A reply, and for how many seconds the caller was made to wait as asked, when the change became visible in that time. */
type Done = CommandReply & { readonly waited?: number };

/** The object that is the connection. */
export function connectionObject({ env }: Pick<Exchange, 'env'>, id: string): DurableObjectStub<ConnectionObject> {
  return env.CONNECTIONS.get(env.CONNECTIONS.idFromName(id));
}

/** The id of the connection in the path of a request that takes no query; 404 when it cannot be one. */
export function addressed(exchange: Exchange): string | Problem {
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
  const expectedVersions = readIfMatch(request.headers);
  if (isProblem(expectedVersions)) return expectedVersions;
  const key = readIdempotencyKey(request.headers);
  if (isProblem(key)) return key;
  const wait = readWait(request.headers);
  if (isProblem(wait)) return wait;
  const object = connectionObject(exchange, id);
  const reply = await object.act({
    id,
    command,
    principal,
    cause: causeOf(exchange),
    ...(expectedVersions && { expectedVersions }),
    ...(key !== undefined && {
      idempotency: { key: `${principal.actor} ${key}`, fingerprint: sha256Hex(canonicalText({ ...command })) },
    }),
  });
  if (isRefusal(reply)) return problemOf(reply);
  if (wait === undefined) return reply;
  const isVisible = await object.whenDelivered(READ_MODEL, reply.version, wait * 1000);
  return isVisible ? { ...reply, waited: wait } : reply;
}

/** The headers that tell of a change. */
export function headersOf({ version, replayed, waited }: Done): Record<string, string> {
  return {
    ETag: etag(version),
    ...(replayed && { 'Idempotent-Replayed': 'true' }),
    ...(waited !== undefined && { 'Preference-Applied': `wait=${waited}` }),
  };
}
