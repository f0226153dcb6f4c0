import { z } from 'zod';
import { decideAccess, relationToActor } from '../../../actors/access.ts';
import type { ActorCommand } from '../../../actors/actor.ts';
import { isRefusal } from '../../../actors/decider.ts';
import { Directory } from '../../../actors/directory.ts';
import type { CommandReply } from '../../../actors/messages.ts';
import { CAPABILITIES } from '../../../actors/principal.ts';
import { ACTOR_PREFIX } from '../../../events/actor.ts';
import { derivedId, newId } from '../../../events/id.ts';
import { readBody, readOptionalBody } from '../body.ts';
import { headersOf } from '../change.ts';
import { etag, isNotModified, readIdempotencyKey } from '../conditions.ts';
import type { AuthenticatedExchange, Exchange } from '../exchange.ts';
import {
  atParameter,
  changeHeaders,
  idempotencyParameter,
  ifMatchParameter,
  ifNoneMatchParameter,
  jsonBody,
  locationHeader,
  problems,
} from '../operations.ts';
import { isProblem, type Problem, problemOf } from '../problem.ts';
import { readOptionalMoment, readQuery } from '../query.ts';
import { empty, jsonText } from '../respond.ts';
import type { Answer, AuthenticatedRoute } from '../route.ts';
import { ACTOR_PATH, actorId, actorObject, addressed, changeActor } from './address.ts';
import { actorBody, actorSummaryBody, patchActorBody, registerActorBody, suspendActorBody } from './schemas.ts';

const MERGE_PATCH = 'application/merge-patch+json';

const conditionParameters = idempotencyParameter.omit({ Prefer: true }).extend(ifMatchParameter.shape);

const actorResponse = (description: string, headers: z.ZodObject = changeHeaders) => ({
  description,
  headers,
  content: { 'application/json': { schema: actorBody } },
});

/** POST /v1/actors */
export const registerActor: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/actors',
  access: 'actor.register',
  operation: {
    operationId: 'registerActor',
    tags: ['actors'],
    summary: 'Register a person, a service or an AI agent',
    description:
      'Administrators only. With an Idempotency-Key the actor’s id is derived from the caller and the key, so that a ' +
      'registration that is tried again makes no second actor.',
    requestParams: { header: idempotencyParameter.omit({ Prefer: true }) },
    requestBody: jsonBody(registerActorBody),
    responses: {
      201: actorResponse('The new actor', changeHeaders.extend(locationHeader.shape)),
      ...problems(400, 401, 403, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const { principal, env } = exchange;
    // Asked here as well: nothing is to be found in the directory that nobody may make.
    if (decideAccess(principal, 'actor.register', relationToActor(principal, '', false)) !== 'allowed') {
      return { problem: 'forbidden', detail: 'Only administrators register actors.' };
    }
    const key = readIdempotencyKey(exchange.request.headers);
    if (isProblem(key)) return key;
    const data = await readBody(exchange, registerActorBody);
    if (isProblem(data)) return data;
    const id =
      key === undefined ? newId(ACTOR_PREFIX, Date.now()) : derivedId(ACTOR_PREFIX, `${principal.actor} ${key}`);
    // Before the first event, so that no stream can exist that sweeps and rebuilds do not find.
    await new Directory(env.DIRECTORY).register(`actor/${id}`);
    const reply = await changeActor(exchange, id, { type: 'register', data });
    if (isProblem(reply)) return reply;
    if (isRefusal(reply)) return problemOf(reply);
    return jsonText(exchange, 201, reply.body, { ...headersOf(reply), Location: `/v1/actors/${id}` });
  },
};

/** GET /v1/actors/{id} */
export const readActor: AuthenticatedRoute = {
  method: 'GET',
  path: ACTOR_PATH,
  access: 'actor.find',
  operation: {
    operationId: 'readActor',
    tags: ['actors'],
    summary: 'Read an actor as it is, or as it was',
    description:
      'By its id or its ChittyID; `me` is whoever asks. Oneself and administrators get all of it, others what they ' +
      'need to share with it. A deleted actor stays readable: events name it. As it was (`at`) it is for those who may ' +
      'read its history: themselves, administrators and auditors.',
    requestParams: { query: atParameter, header: ifNoneMatchParameter },
    responses: {
      200: {
        description: 'The actor',
        headers: changeHeaders.pick({ ETag: true }),
        content: { 'application/json': { schema: z.union([actorBody, actorSummaryBody]) } },
      },
      304: { description: 'It is still the version named in If-None-Match' },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['at']);
    if (isProblem(query)) return query;
    const moment = readOptionalMoment('at', query.at);
    if (isProblem(moment)) return moment;
    const id = await actorId(exchange);
    if (isProblem(id)) return id;
    const found = await actorObject(exchange, id).find(exchange.principal, moment);
    if ('refused' in found) return problemOf(found);
    const notModified = isNotModified(exchange.request.headers, found.version);
    if (isProblem(notModified)) return notModified;
    const headers = { ETag: etag(found.version) };
    return notModified ? empty(exchange, 304, headers) : jsonText(exchange, 200, JSON.stringify(found.seen), headers);
  },
};

/** PATCH /v1/actors/{id} */
export const patchActor: AuthenticatedRoute = {
  method: 'PATCH',
  path: ACTOR_PATH,
  access: 'actor.update',
  operation: {
    operationId: 'patchActor',
    tags: ['actors'],
    summary: 'Change an actor’s name or description',
    description: 'For oneself and administrators. A patch that changes nothing writes nothing.',
    requestParams: { header: conditionParameters },
    requestBody: jsonBody(patchActorBody, MERGE_PATCH, 'application/json'),
    responses: { 200: actorResponse('The actor'), ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422) },
  },
  async handle(exchange) {
    const data = await readBody(exchange, patchActorBody, [MERGE_PATCH, 'application/json']);
    if (isProblem(data)) return data;
    return change(exchange, { type: 'update', data }, (reply) => whole(exchange, reply));
  },
};

/** DELETE /v1/actors/{id} */
export const deleteActor: AuthenticatedRoute = {
  method: 'DELETE',
  path: ACTOR_PATH,
  access: 'actor.govern',
  operation: {
    operationId: 'deleteActor',
    tags: ['actors'],
    summary: 'Delete an actor, for good',
    description: 'Administrators only. All keys and sessions end. What the actor owns stays, for administrators.',
    requestParams: { header: conditionParameters },
    responses: {
      204: { description: 'It is deleted', headers: changeHeaders },
      ...problems(400, 401, 403, 404, 409, 412, 422),
    },
  },
  handle(exchange) {
    return change(exchange, { type: 'delete' }, (reply) => empty(exchange, 204, headersOf(reply)));
  },
};

/** POST /v1/actors/{id}/suspend */
export const suspendActor: AuthenticatedRoute = {
  method: 'POST',
  path: `${ACTOR_PATH}/suspend`,
  access: 'actor.govern',
  operation: {
    operationId: 'suspendActor',
    tags: ['actors'],
    summary: 'Suspend an actor',
    description:
      'Administrators only. Within 5 s none of its credentials is good anywhere; what it has open is closed.',
    requestParams: { header: conditionParameters },
    requestBody: { ...jsonBody(suspendActorBody), required: false },
    responses: { 200: actorResponse('The actor'), ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422) },
  },
  async handle(exchange) {
    const body = await readOptionalBody(exchange, suspendActorBody);
    if (isProblem(body)) return body;
    return change(exchange, { type: 'suspend', reason: body.reason }, (reply) => whole(exchange, reply));
  },
};

/** POST /v1/actors/{id}/reinstate */
export const reinstateActor: AuthenticatedRoute = {
  method: 'POST',
  path: `${ACTOR_PATH}/reinstate`,
  access: 'actor.govern',
  operation: {
    operationId: 'reinstateActor',
    tags: ['actors'],
    summary: 'End a suspension',
    description: 'Administrators only. Keys and sessions that were not ended meanwhile are good again.',
    requestParams: { header: conditionParameters },
    responses: { 200: actorResponse('The actor'), ...problems(400, 401, 403, 404, 409, 412, 422) },
  },
  handle(exchange) {
    return change(exchange, { type: 'reinstate' }, (reply) => whole(exchange, reply));
  },
};

/** PUT and DELETE /v1/actors/{id}/capabilities/{capability} */
function capabilityRoute(method: 'PUT' | 'DELETE'): AuthenticatedRoute {
  const isGrant = method === 'PUT';
  return {
    method,
    path: `${ACTOR_PATH}/capabilities/:capability`,
    access: 'actor.govern',
    operation: {
      operationId: isGrant ? 'grantCapability' : 'revokeCapability',
      tags: ['actors'],
      summary: isGrant ? 'Grant a capability' : 'Take a capability away',
      description: 'Administrators only. Once more changes nothing.',
      requestParams: { header: conditionParameters },
      responses: { 200: actorResponse('The actor'), ...problems(400, 401, 403, 404, 409, 412, 422) },
    },
    handle(exchange) {
      const capability = CAPABILITIES.find((each) => each === exchange.request.params?.capability);
      if (capability === undefined) {
        return { problem: 'not-found', detail: `There is no such capability; there are ${CAPABILITIES.join(', ')}.` };
      }
      const type = isGrant ? 'grantCapability' : 'revokeCapability';
      return change(exchange, { type, capability }, (reply) => whole(exchange, reply));
    },
  };
}

export const grantCapability = capabilityRoute('PUT');
export const revokeCapability = capabilityRoute('DELETE');

/** Carries out a command on the actor in the path, under the conditions in the headers. */
async function change(
  exchange: AuthenticatedExchange,
  command: ActorCommand,
  respond: (reply: CommandReply) => Response,
): Promise<Answer> {
  const id: string | Problem = await addressed(exchange);
  if (isProblem(id)) return id;
  const reply = await changeActor(exchange, id, command);
  if (isProblem(reply)) return reply;
  return isRefusal(reply) ? problemOf(reply) : respond(reply);
}

function whole(exchange: Exchange, reply: CommandReply): Response {
  return jsonText(exchange, 200, reply.body, headersOf(reply));
}
