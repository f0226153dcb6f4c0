import { z } from 'zod';
import { endOf, type KeyCommand } from '../../../actors/actor-keys.ts';
import { isRefusal } from '../../../actors/decider.ts';
import type { CommandReply, RefusalReply } from '../../../actors/messages.ts';
import { SYSTEM } from '../../../actors/principal.ts';
import { KEY_PREFIX } from '../../../events/actor.ts';
import { isId, newId } from '../../../events/id.ts';
import { freshAccessView } from '../../auth/access-views.ts';
import { newApiKey } from '../../auth/api-key.ts';
import { identifyAgain } from '../../auth/identify.ts';
import { readBody, readOptionalBody } from '../body.ts';
import type { AuthenticatedExchange } from '../exchange.ts';
import { jsonBody, problems } from '../operations.ts';
import { isProblem, type Problem, problemOf } from '../problem.ts';
import { readFlag, readQuery } from '../query.ts';
import { empty, jsonText } from '../respond.ts';
import type { Answer, AuthenticatedRoute } from '../route.ts';
import { ACTOR_PATH, actorId, actorObject, addressed, executeOn } from './address.ts';
import { issuedKeyBody, issueKeyBody, keyBody, revokedKeyBody, rotateKeyBody } from './schemas.ts';

const KEYS_PATH = `${ACTOR_PATH}/keys`;

const NO_SUCH_KEY: Problem = {
  problem: 'not-found',
  detail: 'There is no such key; it may have ended already.',
};

const issuedResponse = (description: string) => ({
  description,
  content: { 'application/json': { schema: issuedKeyBody } },
});

/** POST /v1/actors/{id}/keys */
export const issueKey: AuthenticatedRoute = {
  method: 'POST',
  path: KEYS_PATH,
  access: 'actor.credentials',
  operation: {
    operationId: 'issueKey',
    tags: ['credentials'],
    summary: 'Make an API key',
    description:
      'For oneself; administrators for others as well. It is shown once: only its hash is kept. It is never good for ' +
      'more, or longer, than the credential that makes it. An actor has at most 50.',
    requestBody: jsonBody(issueKeyBody),
    responses: { 201: issuedResponse('The key'), ...problems(400, 401, 403, 404, 409, 413, 415) },
  },
  async handle(exchange) {
    const body = await readBody(exchange, issueKeyBody);
    if (isProblem(body)) return body;
    const actor = await addressed(exchange);
    if (isProblem(actor)) return actor;
    const { key, hash } = newApiKey(actor);
    const { name, ...wanted } = body;
    const id = newId(KEY_PREFIX, Date.now());
    const reply = await makeKey(exchange, actor, {
      type: 'issueKey',
      key: id,
      name,
      hash,
      wanted,
      at: new Date().toISOString(),
    });
    if (isProblem(reply)) return reply;
    return isRefusal(reply) ? problemOf(reply) : shown(exchange, actor, id, key);
  },
};

/** GET /v1/actors/{id}/keys */
export const listKeys: AuthenticatedRoute = {
  method: 'GET',
  path: KEYS_PATH,
  access: 'actor.read',
  operation: {
    operationId: 'listKeys',
    tags: ['credentials'],
    summary: 'The API keys of an actor that are good, oldest first',
    description: 'For oneself and administrators. The keys themselves are not kept and in no answer.',
    responses: {
      200: {
        description: 'The keys',
        content: { 'application/json': { schema: z.strictObject({ items: z.array(keyBody) }) } },
      },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const actor = await addressed(exchange);
    if (isProblem(actor)) return actor;
    const items = await actorObject(exchange, actor).keys(exchange.principal);
    return 'refused' in items ? problemOf(items) : jsonText(exchange, 200, JSON.stringify({ items }));
  },
};

/** POST /v1/actors/{id}/keys/{key}/rotate */
export const rotateKey: AuthenticatedRoute = {
  method: 'POST',
  path: `${KEYS_PATH}/:key/rotate`,
  access: 'actor.credentials',
  operation: {
    operationId: 'rotateKey',
    tags: ['credentials'],
    summary: 'Put a new API key in the place of one',
    description:
      'The new one has the name and the rights of the old one, which is good for an hour more unless `overlapSeconds` ' +
      'says otherwise. What the old one has open is closed, to be opened again.',
    requestBody: { ...jsonBody(rotateKeyBody), required: false },
    responses: { 201: issuedResponse('The new key'), ...problems(400, 401, 403, 404, 409, 413, 415) },
  },
  async handle(exchange) {
    const body = await readOptionalBody(exchange, rotateKeyBody);
    if (isProblem(body)) return body;
    const actor = await addressed(exchange);
    if (isProblem(actor)) return actor;
    const old = keyId(exchange);
    if (isProblem(old)) return old;
    const { key, hash } = newApiKey(actor);
    const successor = newId(KEY_PREFIX, Date.now());
    const now = Date.now();
    const reply = await makeKey(exchange, actor, {
      type: 'rotateKey',
      key: old,
      successor,
      hash,
      endsAt: new Date(now + body.overlapSeconds * 1000).toISOString(),
      at: new Date(now).toISOString(),
    });
    if (isProblem(reply)) return reply;
    return isRefusal(reply) ? problemOf(reply) : shown(exchange, actor, successor, key);
  },
};

/** DELETE /v1/actors/{id}/keys/{key} */
export const revokeKey: AuthenticatedRoute = {
  method: 'DELETE',
  path: `${KEYS_PATH}/:key`,
  access: 'actor.credentials',
  operation: {
    operationId: 'revokeKey',
    tags: ['credentials'],
    summary: 'Revoke an API key',
    description:
      'Within 5 s it is good nowhere. The sessions that were started with it end, and so does what was delegated with ' +
      'it; what it has open is closed. A key that has taken its place by rotation is good still, and the answer names ' +
      'it: `?successors=true` ends all of those as well, also when the key itself has ended already.',
    requestParams: {
      query: z.object({
        successors: z
          .enum(['true', 'false'])
          .optional()
          .meta({ description: 'Whether the keys that have taken its place end too; left out, false' }),
      }),
    },
    responses: {
      200: {
        description: 'It is revoked, and the keys that took its place are good',
        content: { 'application/json': { schema: revokedKeyBody } },
      },
      204: { description: 'It is revoked, and no key is left that took its place' },
      ...problems(400, 401, 403, 404, 409, 503),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['successors']);
    if (isProblem(query)) return query;
    const withSuccessors = readFlag('successors', query.successors);
    if (isProblem(withSuccessors)) return withSuccessors;
    const actor = await actorId(exchange);
    if (isProblem(actor)) return actor;
    const key = keyId(exchange);
    if (isProblem(key)) return key;
    const reply = await executeOn(exchange, actor, { type: 'revokeKey', key, withSuccessors });
    if (isRefusal(reply) && reply.refused !== 'not-found') return problemOf(reply);
    const left = await successorsLeft(exchange, actor, key);
    if (left === null) return isRefusal(reply) ? problemOf(reply) : REVOKED_AT_LEAST;
    if (isRefusal(reply)) return left.length === 0 ? problemOf(reply) : { ...NO_SUCH_KEY, detail: goesOn(left) };
    return left.length === 0 ? empty(exchange, 204) : jsonText(exchange, 200, JSON.stringify({ successors: left }));
  },
};

/**
 * Has a key made, which stays whatever becomes of who made it. The object of another actor cannot tell whether the
 * caller's credential is good, and until when: so the caller's own is asked, whatever is known of them here.
 */
async function makeKey(
  exchange: AuthenticatedExchange,
  actor: string,
  command: Extract<KeyCommand, { type: 'issueKey' | 'rotateKey' }>,
): Promise<CommandReply | RefusalReply | Problem> {
  const { env, principal } = exchange;
  if (principal.actor === actor) return executeOn(exchange, actor, command);
  const view = await freshAccessView(env, principal.actor);
  const again = await identifyAgain(exchange);
  if (isProblem(again)) return again;
  return executeOn({ ...exchange, principal: again }, actor, { ...command, until: endOf(again, view) });
}

/** What is said when a key was revoked and its actor's history does not answer. */
const REVOKED_AT_LEAST: Problem = {
  problem: 'history-unavailable',
  detail: 'The key is revoked. Whether another has taken its place cannot be told: look at the list of keys.',
};

/** The good keys that have taken a key's place; null when it cannot be told. */
async function successorsLeft(
  exchange: AuthenticatedExchange,
  actor: string,
  key: string,
): Promise<readonly string[] | null> {
  try {
    const successors = await actorObject(exchange, actor).successors(exchange.principal, key);
    return 'refused' in successors ? [] : successors;
  } catch (error) {
    console.error(JSON.stringify({ level: 'error', requestId: exchange.requestId, message: String(error) }));
    return null;
  }
}

/** Of a key that is none any more. */
function goesOn(successors: readonly string[]): string {
  const names = successors.join(', ');
  return `The key has ended already, but what has taken its place is good: ${names}. ?successors=true ends that as well.`;
}

/** The id of the key in the path. */
function keyId({ request }: AuthenticatedExchange): string | Problem {
  const id = request.params?.key ?? '';
  return isId(KEY_PREFIX, id) ? id : NO_SUCH_KEY;
}

/** A new key, this once with the key itself. */
async function shown(exchange: AuthenticatedExchange, actor: string, id: string, key: string): Promise<Answer> {
  // Who may make one may see this one, also with a credential that reads nothing.
  const items = await actorObject(exchange, actor).keys(SYSTEM);
  if ('refused' in items) return problemOf(items);
  const record = items.find((item) => item.id === id);
  // Revoked in the same moment by somebody else.
  if (!record) return NO_SUCH_KEY;
  return jsonText(exchange, 201, JSON.stringify({ ...record, key }));
}
