import { noSuchEnds } from '../../../actors/connection.ts';
import { isRefusal } from '../../../actors/decider.ts';
import { CONNECTION_PREFIX } from '../../../events/connection.ts';
import { derivedId } from '../../../events/id.ts';
import { readBody, readOptionalBody } from '../body.ts';
import { headersOf } from '../change.ts';
import { etag, isNotModified } from '../conditions.ts';
import { findContextId } from '../contexts.ts';
import type { AuthenticatedExchange } from '../exchange.ts';
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
import { isProblem, problemOf } from '../problem.ts';
import { readOptionalMoment, readQuery } from '../query.ts';
import { empty, jsonText } from '../respond.ts';
import type { Answer, AuthenticatedRoute } from '../route.ts';
import { CONNECTION_PATH, changeConnection, connectionId, connectionObject, demandOf } from './address.ts';
import { connectionBody, createConnectionBody, heartbeatBody } from './schemas.ts';

const conditions = { header: idempotencyParameter.extend(ifMatchParameter.shape) };

const connectionResponse = (description: string, headers = changeHeaders) => ({
  description,
  headers,
  content: { 'application/json': { schema: connectionBody } },
});

/** POST /v1/connections */
export const createConnection: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/connections',
  access: 'connection.create',
  operation: {
    operationId: 'createConnection',
    tags: ['connections'],
    summary: 'Connect two contexts',
    description:
      'From a context of which you are an owner or editor, to one that you may read. When you may not change that one, ' +
      'the connection is pending until an owner or editor of it consents; after 7 days without an answer it ends. The ' +
      'same two contexts have one connection of each type and direction: 409 names it in `connection`. One that has ' +
      'ended is begun anew, with the same id.',
    requestParams: { header: idempotencyParameter },
    requestBody: jsonBody(createConnectionBody),
    responses: {
      201: connectionResponse('The connection', changeHeaders.extend(locationHeader.shape)),
      ...problems(400, 401, 403, 404, 409, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const body = await readBody(exchange, createConnectionBody);
    if (isProblem(body)) return body;
    const [from, to] = await Promise.all([body.from, body.to].map((text) => findContextId(exchange.env, text)));
    if (!from || !to) {
      const missing = [...(from ? [] : ['/from']), ...(to ? [] : ['/to'])];
      return problemOf({ ...noSuchEnds(missing), version: 0 });
    }
    const terms = { ...body, from, to };
    const id = idOf(terms);
    const reply = await demandOf(exchange, id, { type: 'request', terms });
    if (isProblem(reply)) {
      return reply.problem === 'already-exists' ? { ...reply, extensions: { connection: id } } : reply;
    }
    return jsonText(exchange, 201, reply.body, { ...headersOf(reply), Location: `/v1/connections/${id}` });
  },
};

/** The id of the one connection that there is between two contexts in this way. */
function idOf({ from, to, type, direction }: { from: string; to: string; type: string; direction: string }): string {
  const ends = direction === 'undirected' ? [from, to].sort() : [from, to];
  return derivedId(CONNECTION_PREFIX, [...ends, type, direction].join(' '));
}

/** GET /v1/connections/{id} */
export const readConnection: AuthenticatedRoute = {
  method: 'GET',
  path: CONNECTION_PATH,
  access: 'connection.read',
  operation: {
    operationId: 'readConnection',
    tags: ['connections'],
    summary: 'Read a connection as it is, or as it was',
    description:
      'Whoever may read a context at one end sees it; the other end is an id to them. Also when it has ended.',
    requestParams: { query: atParameter, header: ifNoneMatchParameter },
    responses: {
      200: connectionResponse('The connection', changeHeaders),
      304: { description: 'It is still the version named in If-None-Match; heartbeats do not count' },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['at']);
    if (isProblem(query)) return query;
    const moment = readOptionalMoment('at', query.at);
    if (isProblem(moment)) return moment;
    const id = connectionId(exchange);
    if (isProblem(id)) return id;
    const view = await connectionObject(exchange, id).read(exchange.principal, moment);
    if (isRefusal(view)) return problemOf(view);
    const notModified = isNotModified(exchange.request.headers, view.version);
    if (isProblem(notModified)) return notModified;
    const headers = { ETag: etag(view.version) };
    return notModified ? empty(exchange, 304, headers) : jsonText(exchange, 200, view.body, headers);
  },
};

/** POST /v1/connections/{id}/consent */
export const consentToConnection: AuthenticatedRoute = {
  method: 'POST',
  path: `${CONNECTION_PATH}/consent`,
  access: 'connection.consent',
  operation: {
    operationId: 'consentToConnection',
    tags: ['connections'],
    summary: 'Say yes to a connection',
    description: 'Owners and editors of the context that it leads to.',
    requestParams: conditions,
    responses: { 200: connectionResponse('The connection'), ...problems(400, 401, 403, 404, 409, 412, 422) },
  },
  handle(exchange) {
    return answer(exchange, 'consent');
  },
};

/** POST /v1/connections/{id}/decline */
export const declineConnection: AuthenticatedRoute = {
  method: 'POST',
  path: `${CONNECTION_PATH}/decline`,
  access: 'connection.consent',
  operation: {
    operationId: 'declineConnection',
    tags: ['connections'],
    summary: 'Say no to a connection',
    description: 'Owners and editors of the context that it leads to. It can be asked for again.',
    requestParams: conditions,
    responses: { 200: connectionResponse('The connection'), ...problems(400, 401, 403, 404, 409, 412, 422) },
  },
  handle(exchange) {
    return answer(exchange, 'decline');
  },
};

async function answer(exchange: AuthenticatedExchange, type: 'consent' | 'decline'): Promise<Answer> {
  const reply = await changeConnection(exchange, { type });
  return isProblem(reply) ? reply : jsonText(exchange, 200, reply.body, headersOf(reply));
}

/** POST /v1/connections/{id}/heartbeat */
export const sendHeartbeat: AuthenticatedRoute = {
  method: 'POST',
  path: `${CONNECTION_PATH}/heartbeat`,
  access: 'connection.change',
  operation: {
    operationId: 'sendHeartbeat',
    tags: ['connections'],
    summary: 'Say that a connection lives, or that it fails',
    description:
      'Owners and editors of either end. Without a heartbeat for `idleAfterSeconds` an active connection is idle; one ' +
      'that is idle or failed ends after 24 hours without any. Only changes of its status are events; of a failure the ' +
      'first reason is kept until it is over.',
    requestParams: conditions,
    requestBody: { ...jsonBody(heartbeatBody), required: false },
    responses: { 200: connectionResponse('The connection'), ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422) },
  },
  async handle(exchange) {
    const body = await readOptionalBody(exchange, heartbeatBody);
    if (isProblem(body)) return body;
    const reply = await changeConnection(exchange, { type: 'heartbeat', failure: body.reason ?? null });
    return isProblem(reply) ? reply : jsonText(exchange, 200, reply.body, headersOf(reply));
  },
};

/** DELETE /v1/connections/{id} */
export const disconnect: AuthenticatedRoute = {
  method: 'DELETE',
  path: CONNECTION_PATH,
  access: 'connection.disconnect',
  operation: {
    operationId: 'disconnect',
    tags: ['connections'],
    summary: 'End a connection, or take back that one was asked for',
    description:
      'Owners and editors of either end. It ends by itself as well, so that one which has ended already is no error: ' +
      '204, and nothing is written.',
    requestParams: conditions,
    responses: {
      204: { description: 'It has ended', headers: changeHeaders },
      ...problems(400, 401, 403, 404, 412, 422),
    },
  },
  async handle(exchange) {
    const reply = await changeConnection(exchange, { type: 'disconnect' });
    return isProblem(reply) ? reply : empty(exchange, 204, headersOf(reply));
  },
};
