import { z } from 'zod';
import type { ContextCommand } from '../../actors/context.ts';
import { isRefusal } from '../../actors/decider.ts';
import { Directory } from '../../actors/directory.ts';
import type { RefusalReply } from '../../actors/messages.ts';
import { isChittyId } from '../../events/chitty-id.ts';
import { CONTEXT_PREFIX } from '../../events/context.ts';
import { derivedId, isId, newId } from '../../events/id.ts';
import { findByChittyId } from '../../projections/chitty-ids.ts';
import type { Env } from '../env.ts';
import type { ContextObject } from '../objects.ts';
import { readBody } from './body.ts';
import { type Conditions, conditionsOf, type Done, headersOf, readConditions, whenVisible } from './change.ts';
import { etag, isNotModified, readIdempotencyKey } from './conditions.ts';
import { createContextBody, patchContextBody } from './context-schemas.ts';
import { type AuthenticatedExchange, causeOf, type Exchange } from './exchange.ts';
import type { HistorySource } from './history-source.ts';
import {
  atParameter,
  changeHeaders,
  contextResponse,
  etagHeader,
  idempotencyParameter,
  ifMatchParameter,
  ifNoneMatchParameter,
  jsonBody,
  locationHeader,
  problems,
} from './operations.ts';
import { readWait } from './prefer.ts';
import { invalid, isProblem, type Problem, problemOf } from './problem.ts';
import { readOptionalMoment, readQuery } from './query.ts';
import { empty, jsonText } from './respond.ts';
import type { Answer, AuthenticatedRoute } from './route.ts';
import { treeHeadHeader, treeHeadHeaders } from './tree-head.ts';

/** Where a context is addressed. */
const PATH = '/v1/contexts/:id';

const MERGE_PATCH = 'application/merge-patch+json';

/** POST /v1/contexts */
export const createContext: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/contexts',
  access: 'context.create',
  operation: {
    operationId: 'createContext',
    tags: ['contexts'],
    summary: 'Create a context',
    description:
      'With an Idempotency-Key the context’s id is derived from the caller and the key, so that a creation that is ' +
      'tried again makes no second context, however late it comes.',
    requestParams: { header: idempotencyParameter },
    requestBody: jsonBody(createContextBody),
    responses: {
      201: contextResponse('The new context', changeHeaders.extend(locationHeader.shape)),
      ...problems(400, 401, 403, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const key = readIdempotencyKey(exchange.request.headers);
    if (isProblem(key)) return key;
    const wait = readWait(exchange.request.headers);
    if (isProblem(wait)) return wait;
    const body = await readBody(exchange, createContextBody);
    if (isProblem(body)) return body;
    const { subject, actor } = exchange.principal;
    if (body.owner !== undefined && body.owner !== subject) {
      return invalid('/owner', `must be your own id, ${subject}; leave it out and it is`);
    }
    // A key is the caller's own, also among several who act in one subject's name.
    const caller = actor === subject ? subject : `${actor}/${subject}`;
    const id = key === undefined ? newId(CONTEXT_PREFIX, Date.now()) : derivedId(CONTEXT_PREFIX, `${caller} ${key}`);
    // Before the first event, so that no stream can exist that sweeps and rebuilds do not find.
    await new Directory(exchange.env.DIRECTORY).register(`context/${id}`);
    const data = { ...body, owner: subject };
    const reply = await execute(exchange, id, { type: 'create', data }, { key }, wait);
    if (isRefusal(reply)) return problemOf(reply);
    return changeResponse(exchange, reply, 201, { Location: `/v1/contexts/${id}` });
  },
};

const readHeaders = z.object({
  ETag: etagHeader,
  ...treeHeadHeaders('Size and root of the tree of its events, when this is the present'),
});

const formParameter = z.object({
  form: z.enum(['opened', 'sealed']).default('opened').meta({
    description:
      'Whether people’s words are shown, or encrypted as the events have them: what a replay is compared with',
  }),
});

/** GET /v1/contexts/{id} */
export const readContext: AuthenticatedRoute = {
  method: 'GET',
  path: PATH,
  access: 'context.read',
  operation: {
    operationId: 'readContext',
    tags: ['contexts'],
    summary: 'Read a context as it is, or as it was',
    description:
      'After the end, `at` gives the latest; before the creation, 404. Beside the ETag of the present stands the head of ' +
      'the tree of its events: whoever keeps it can have it proved later that nothing before was changed.',
    requestParams: { query: atParameter.extend(formParameter.shape), header: ifNoneMatchParameter },
    responses: {
      200: contextResponse('The context', readHeaders),
      304: { description: 'It is still the version named in If-None-Match' },
      ...problems(400, 401, 403, 404, 410),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['at', 'form']);
    if (isProblem(query)) return query;
    const moment = readOptionalMoment('at', query.at);
    if (isProblem(moment)) return moment;
    const { form = 'opened' } = query;
    if (form !== 'opened' && form !== 'sealed') return invalid('form', 'must be opened or sealed');
    const id = await contextId(exchange);
    if (isProblem(id)) return id;
    const view = await contextObject(exchange, id).view(exchange.principal, moment, form);
    if (isRefusal(view)) return problemOf(view);
    if (view.isClosed) {
      const { updatedAt }: { updatedAt: string } = JSON.parse(view.body);
      const problem = gone(id, view.version, updatedAt);
      return { ...problem, headers: { ...problem.headers, ...treeHeadHeader(view.treeHead) } };
    }
    const notModified = isNotModified(exchange.request.headers, view.version);
    if (isProblem(notModified)) return notModified;
    const headers = { ETag: etag(view.version), ...treeHeadHeader(view.treeHead) };
    return notModified ? empty(exchange, 304, headers) : jsonText(exchange, 200, view.body, headers);
  },
};

/** PATCH /v1/contexts/{id} */
export const patchContext: AuthenticatedRoute = {
  method: 'PATCH',
  path: PATH,
  access: 'context.update',
  operation: {
    operationId: 'patchContext',
    tags: ['contexts'],
    summary: 'Change a context',
    description: 'A patch that changes nothing writes nothing and answers with the same ETag.',
    requestParams: { header: idempotencyParameter.extend(ifMatchParameter.shape) },
    requestBody: jsonBody(patchContextBody, MERGE_PATCH, 'application/json'),
    responses: {
      200: contextResponse('The context after the change', changeHeaders),
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const data = await readBody(exchange, patchContextBody, [MERGE_PATCH, 'application/json']);
    if (isProblem(data)) return data;
    return change(exchange, { type: 'update', data }, (reply) => changeResponse(exchange, reply, 200));
  },
};

/** DELETE /v1/contexts/{id} */
export const deleteContext: AuthenticatedRoute = {
  method: 'DELETE',
  path: PATH,
  access: 'context.delete',
  operation: {
    operationId: 'deleteContext',
    tags: ['contexts'],
    summary: 'Delete a context',
    description: 'It leaves a tombstone. Its history stays readable and it can be restored.',
    requestParams: { header: idempotencyParameter.extend(ifMatchParameter.shape) },
    responses: {
      204: { description: 'It is deleted', headers: changeHeaders },
      ...problems(400, 401, 403, 404, 409, 412, 422),
    },
  },
  handle(exchange) {
    return change(exchange, { type: 'delete' }, (reply) => empty(exchange, 204, headersOf(reply)));
  },
};

/** POST /v1/contexts/{id}/restore */
export const restoreContext: AuthenticatedRoute = {
  method: 'POST',
  path: `${PATH}/restore`,
  access: 'context.restore',
  operation: {
    operationId: 'restoreContext',
    tags: ['contexts'],
    summary: 'Bring a deleted context back',
    description: 'It is what it was when it was deleted.',
    requestParams: { header: idempotencyParameter.extend(ifMatchParameter.shape) },
    responses: {
      200: contextResponse('The context, active again', changeHeaders),
      ...problems(400, 401, 403, 404, 409, 412, 422),
    },
  },
  handle(exchange) {
    return change(exchange, { type: 'restore' }, (reply) => changeResponse(exchange, reply, 200));
  },
};

/**
 * The id of the context in the path, which may also be named by its ChittyID; 404 when it cannot be one. A ChittyID that
 * no context has gets the id of a context that is not there: what else is wrong with a request is then found in the same
 * order, and does not tell such a one from that of a hidden context.
 */
export async function contextId({ request, env }: Exchange): Promise<string | Problem> {
  const text = request.params?.id ?? '';
  const id = await findContextId(env, text);
  if (id !== null) return id;
  if (isChittyId(text)) return derivedId(CONTEXT_PREFIX, text);
  return { problem: 'not-found', detail: 'There is no context with this id.' };
}

/** The id of the context that a text names, by itself or by its ChittyID; null when it cannot be one. */
export async function findContextId(env: Env, text: string): Promise<string | null> {
  if (isId(CONTEXT_PREFIX, text)) return text;
  return isChittyId(text) ? findByChittyId(env.DB, text) : null;
}

/** The object that is the context. */
export function contextObject({ env }: Exchange, id: string): DurableObjectStub<ContextObject> {
  return env.CONTEXTS.get(env.CONTEXTS.idFromName(id));
}

/** The context in the path as a history. */
export async function contextSource(exchange: Exchange): Promise<HistorySource | Problem> {
  const id = await contextId(exchange);
  return isProblem(id) ? id : { id, stream: `context/${id}`, object: contextObject(exchange, id) };
}

/** Carries out a command on the context in the path, under the conditions in the headers. */
export async function change(
  exchange: AuthenticatedExchange,
  command: ContextCommand,
  respond: (reply: Done) => Response,
): Promise<Answer> {
  const query = readQuery(exchange.request, []);
  if (isProblem(query)) return query;
  const id = await contextId(exchange);
  if (isProblem(id)) return id;
  const conditions = readConditions(exchange.request.headers);
  if (isProblem(conditions)) return conditions;
  const wait = readWait(exchange.request.headers);
  if (isProblem(wait)) return wait;
  const reply = await execute(exchange, id, command, conditions, wait);
  return isRefusal(reply) ? problemOf(reply) : respond(reply);
}

async function execute(
  exchange: AuthenticatedExchange,
  id: string,
  command: ContextCommand,
  conditions: Conditions,
  wait: number | undefined,
): Promise<Done | RefusalReply> {
  const { principal } = exchange;
  const object = contextObject(exchange, id);
  const cause = causeOf(exchange);
  const reply = await object.execute({ id, command, principal, cause, ...conditionsOf(exchange, command, conditions) });
  return isRefusal(reply) ? reply : whenVisible(object, reply, wait);
}

/** The answer to a change: the context, or the part of it that was changed. */
export function changeResponse(
  exchange: Exchange,
  reply: Done,
  status: 200 | 201,
  headers?: Readonly<Record<string, string>>,
): Response {
  return jsonText(exchange, status, reply.body, { ...headersOf(reply), ...headers });
}

/** What is left of a deleted context. */
export function gone(id: string, version: number, deletedAt: string): Problem {
  const path = `/v1/contexts/${id}`;
  return {
    problem: 'gone',
    detail: `The context was deleted at ${deletedAt}. Its history can still be read; POST ${path}/restore brings it back.`,
    headers: { ETag: etag(version) },
    extensions: { tombstone: { id, version, deletedAt, history: `${path}/events` } },
  };
}
