import { z } from 'zod';
import { decideAccess, isAdministrator, relationToWebhook } from '../../../actors/access.ts';
import { isRefusal } from '../../../actors/decider.ts';
import { Directory } from '../../../actors/directory.ts';
import type { CommandReply, RefusalReply } from '../../../actors/messages.ts';
import { isId, newId } from '../../../events/id.ts';
import { WEBHOOK_PREFIX } from '../../../events/webhook.ts';
import { listWebhooks as findWebhooks } from '../../../projections/webhooks.ts';
import { allowsLoopback, readAddress } from '../../webhooks/address.ts';
import { webhookRegistry } from '../../webhooks/registry.ts';
import { readBody } from '../body.ts';
import { headersOf, whenVisible } from '../change.ts';
import { etag } from '../conditions.ts';
import { findContextId } from '../contexts.ts';
import { type AuthenticatedExchange, causeOf, type Exchange } from '../exchange.ts';
import {
  changeHeaders,
  idempotencyParameter,
  ifMatchParameter,
  jsonBody,
  locationHeader,
  problems,
} from '../operations.ts';
import { readWait } from '../prefer.ts';
import { invalid, isProblem, type Problem, problemOf } from '../problem.ts';
import { readOptionalInteger, readQuery } from '../query.ts';
import { empty, jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import {
  addressed,
  answer,
  change,
  credentialEnd,
  refuseReading,
  WEBHOOK_PATH,
  WEBHOOKS_PATH,
  webhookObject,
} from './address.ts';
import { createWebhookBody, patchWebhookBody, webhookBody, webhookSummary, webhookWithSecret } from './schemas.ts';
import { newSealedSecret } from './secrets.ts';

/** Webhooks of one actor at most. */
const WEBHOOKS_MAX = 50;

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;

const conditions = { header: idempotencyParameter.extend(ifMatchParameter.shape) };

const NOT_ONES_OWN: Problem = {
  problem: 'forbidden',
  detail: 'Webhooks are made in one’s own name: not by who acts for somebody else.',
};

/** Why the caller has no webhooks, whatever they be; null when they may have some. */
function refuse({ principal }: AuthenticatedExchange, action: 'webhook.create' | 'webhook.list'): Problem | null {
  return decideAccess(principal, action, relationToWebhook(principal, null)) === 'allowed' ? null : NOT_ONES_OWN;
}

/** POST /v1/webhooks */
export const createWebhook: AuthenticatedRoute = {
  method: 'POST',
  path: WEBHOOKS_PATH,
  access: 'webhook.create',
  operation: {
    operationId: 'createWebhook',
    tags: ['webhooks'],
    summary: 'Have events sent to an address',
    description:
      'Everything that happens from now on in the contexts that you are a member of, signed as Standard Webhooks says, ' +
      'for as long as you may read it. The secret is shown once. Needs the scope contexts:read as well; it is good for ' +
      'no more contexts, and no longer, than the credential that makes it.',
    requestBody: jsonBody(createWebhookBody),
    responses: {
      201: {
        description: 'The webhook and its secret',
        headers: changeHeaders.extend(locationHeader.shape),
        content: { 'application/json': { schema: webhookWithSecret } },
      },
      ...problems(400, 401, 403, 409, 413, 415, 503),
    },
  },
  async handle(exchange) {
    const { env, principal, request } = exchange;
    const refusal = refuseReading(exchange) ?? refuse(exchange, 'webhook.create');
    if (refusal) return refusal;
    const wait = readWait(request.headers);
    if (isProblem(wait)) return wait;
    const given = await readBody(exchange, createWebhookBody);
    if (isProblem(given)) return given;
    const url = readUrl(exchange, given.url);
    if (isProblem(url)) return url;
    const contexts = await readContexts(exchange, given.contexts);
    if (isProblem(contexts)) return contexts;
    const id = newId(WEBHOOK_PREFIX, Date.now());
    const secret = await newSealedSecret(exchange, id);
    if (isProblem(secret)) return secret;
    const registry = webhookRegistry(env);
    if (!(await registry.reserve({ id, owner: principal.actor }, WEBHOOKS_MAX))) {
      return { problem: 'limit-reached', detail: `You have ${WEBHOOKS_MAX} webhooks, as many as there can be.` };
    }
    // Before the first event, as every stream.
    await new Directory(env.DIRECTORY).register(`webhook/${id}`);
    // One that is narrowed to nothing gets what its maker's credential is good for.
    const terms = { ...given, url, contexts: contexts ?? (principal.contexts && [...principal.contexts]) };
    const command = { type: 'create' as const, terms, secret: secret.id, expiresAt: await credentialEnd(exchange) };
    const object = webhookObject(exchange, id);
    let reply: CommandReply | RefusalReply | null = null;
    try {
      reply = await object.create({ id, command, principal, cause: causeOf(exchange) }, secret.sealed);
    } finally {
      // Should it have been made though there was no answer, it says so to the registry by itself, before this or after.
      if (reply === null || isRefusal(reply)) await registry.release(id);
    }
    if (isRefusal(reply)) return problemOf(reply);
    const done = await whenVisible(object, reply, wait);
    const headers = { ...headersOf(done), Location: `${WEBHOOKS_PATH}/${id}` };
    return jsonText(exchange, 201, withSecret(reply.body, secret.text), headers);
  },
};

/** A webhook with its secret. @param body JSON text */
function withSecret(body: string, secret: string): string {
  const webhook: object = JSON.parse(body);
  return JSON.stringify({ ...webhook, secret });
}

/** The contexts that a webhook is narrowed to, by their ids. */
async function readContexts({ env }: Exchange, contexts: readonly string[] | null): Promise<string[] | null | Problem> {
  if (contexts === null) return null;
  const ids = await Promise.all(contexts.map((context) => findContextId(env, context)));
  const found = ids.filter((id) => id !== null);
  const missing = ids.indexOf(null);
  return missing < 0 ? [...new Set(found)] : invalid(`/contexts/${missing}`, 'must be the id of a context');
}

function readUrl({ env }: Exchange, text: string): string | Problem {
  const address = readAddress(text, allowsLoopback(env));
  return 'fault' in address ? invalid('/url', address.fault) : address.url;
}

/** GET /v1/webhooks */
export const listWebhooks: AuthenticatedRoute = {
  method: 'GET',
  path: WEBHOOKS_PATH,
  access: 'webhook.list',
  operation: {
    operationId: 'listWebhooks',
    tags: ['webhooks'],
    summary: 'Your webhooks, newest first; everybody’s for administrators',
    description: 'A change shows here a moment after it was made.',
    requestParams: {
      query: z.object({
        status: z.enum(['active', 'disabled']).optional(),
        owner: z.string().optional().meta({ description: 'For administrators: only this actor’s, or `me`' }),
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT),
        cursor: z.string().optional().meta({ description: 'nextCursor of the page before' }),
      }),
    },
    responses: {
      200: {
        description: 'A page of webhooks',
        content: {
          'application/json': {
            schema: z.strictObject({ items: z.array(webhookSummary), nextCursor: z.string().nullable() }),
          },
        },
      },
      ...problems(400, 401, 403, 503),
    },
  },
  async handle(exchange) {
    const { env, principal, request } = exchange;
    const refusal = refuse(exchange, 'webhook.list');
    if (refusal) return refusal;
    const query = readQuery(request, ['status', 'owner', 'limit', 'cursor']);
    if (isProblem(query)) return query;
    const { status, cursor } = query;
    if (status !== undefined && status !== 'active' && status !== 'disabled') {
      return invalid('status', 'must be active or disabled');
    }
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    if (cursor !== undefined && !isId(WEBHOOK_PREFIX, cursor)) {
      return invalid('cursor', 'must be the nextCursor of the page before; start without one');
    }
    const seesAll = principal.contexts === null && isAdministrator(principal);
    const asked = query.owner === 'me' ? principal.actor : query.owner;
    if (!seesAll && asked !== undefined && asked !== principal.actor) {
      return invalid('owner', 'must be me, or left out; administrators may name others');
    }
    const owner = asked ?? (seesAll ? null : principal.actor);
    const found = await findWebhooks(env.DB, {
      owner,
      among: principal.contexts,
      limit: limit + 1,
      ...(status !== undefined && { status }),
      ...(cursor !== undefined && { before: cursor }),
    });
    const items = found.slice(0, limit);
    const nextCursor = found.length > limit ? (items.at(-1)?.id ?? null) : null;
    const bodies = items.map(({ body }) => body).join(',');
    return jsonText(exchange, 200, `{"items":[${bodies}],"nextCursor":${JSON.stringify(nextCursor)}}`);
  },
};

/** GET /v1/webhooks/{id} */
export const readWebhook: AuthenticatedRoute = {
  method: 'GET',
  path: WEBHOOK_PATH,
  access: 'webhook.read',
  operation: {
    operationId: 'readWebhook',
    tags: ['webhooks'],
    summary: 'Read a webhook, and how its delivery goes',
    description: 'For its owner and administrators. What was deleted is not there any more.',
    responses: {
      200: {
        description: 'The webhook',
        headers: changeHeaders,
        content: { 'application/json': { schema: webhookBody } },
      },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const id = addressed(exchange);
    if (isProblem(id)) return id;
    const view = await webhookObject(exchange, id).read(exchange.principal);
    return isRefusal(view) ? problemOf(view) : jsonText(exchange, 200, view.body, { ETag: etag(view.version) });
  },
};

/** PATCH /v1/webhooks/{id} */
export const patchWebhook: AuthenticatedRoute = {
  method: 'PATCH',
  path: WEBHOOK_PATH,
  access: 'webhook.change',
  operation: {
    operationId: 'patchWebhook',
    tags: ['webhooks'],
    summary: 'Change where events are sent, or which',
    description:
      'By its owner alone. What waits for another attempt goes to the new address as well. With another address or ' +
      'other contexts it ends no later than the credential that changes it. Needs the scope contexts:read.',
    requestParams: conditions,
    requestBody: jsonBody(patchWebhookBody),
    responses: {
      200: {
        description: 'The webhook after the change',
        headers: changeHeaders,
        content: { 'application/json': { schema: webhookSummary } },
      },
      ...problems(400, 401, 403, 404, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const refusal = refuseReading(exchange);
    if (refusal) return refusal;
    const given = await readBody(exchange, patchWebhookBody);
    if (isProblem(given)) return given;
    const url = given.url === undefined ? undefined : readUrl(exchange, given.url);
    if (isProblem(url)) return url;
    const contexts = given.contexts === undefined ? undefined : await readContexts(exchange, given.contexts);
    if (isProblem(contexts)) return contexts;
    const read = { ...given, ...(url !== undefined && { url }), ...(contexts !== undefined && { contexts }) };
    const command = { type: 'change' as const, change: read, credentialEndsAt: null };
    const credentialEndsAt = await credentialEnd(exchange);
    // Not in the command whose repetition is known again: a session goes on when its token is replaced.
    const reply = await change(exchange, command, (object, request) =>
      object.execute({ ...request, command: { ...request.command, credentialEndsAt } }),
    );
    return answer(exchange, reply);
  },
};

/** DELETE /v1/webhooks/{id} */
export const deleteWebhook: AuthenticatedRoute = {
  method: 'DELETE',
  path: WEBHOOK_PATH,
  access: 'webhook.delete',
  operation: {
    operationId: 'deleteWebhook',
    tags: ['webhooks'],
    summary: 'Delete a webhook',
    description: 'By its owner or an administrator, for good. What is under way at that moment may still arrive.',
    requestParams: conditions,
    responses: {
      204: { description: 'It is deleted', headers: changeHeaders },
      ...problems(400, 401, 403, 404, 412, 422),
    },
  },
  async handle(exchange) {
    const reply = await change(exchange, { type: 'delete' as const }, (object, request) => object.end(request));
    if (isProblem(reply)) return reply;
    // At once; its object does so too, should this be lost.
    await webhookRegistry(exchange.env).forget(exchange.request.params?.id ?? '');
    return empty(exchange, 204, headersOf(reply));
  },
};
