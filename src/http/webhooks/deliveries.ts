import { z } from 'zod';
import { isRefusal } from '../../../actors/decider.ts';
import { feedEnd } from '../../../projections/feed.ts';
import type { Env } from '../../env.ts';
import { pingOf } from '../../webhooks/message.ts';
import { readBody, readOptionalBody } from '../body.ts';
import { etag } from '../conditions.ts';
import { isInFeed } from '../feed/place.ts';
import { changeHeaders, idempotencyParameter, ifMatchParameter, jsonBody, problems } from '../operations.ts';
import { invalid, isProblem, type Problem, problemOf } from '../problem.ts';
import { foreignOffset, readMoment, readOffset, readOptionalInteger, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import {
  addressed,
  answer,
  change,
  credentialEnd,
  refuseReading,
  requestOf,
  WEBHOOK_PATH,
  webhookId,
  webhookObject,
} from './address.ts';
import { deliveriesBody, enableBody, replayBody, testBody, webhookSummary } from './schemas.ts';

const LIMIT_DEFAULT = 50;
const LIMIT_MAX = 200;

/** In the place of an offset where none ends a replay: behind all that there are. */
const NO_END = Number.MAX_SAFE_INTEGER;

const conditions = { header: idempotencyParameter.extend(ifMatchParameter.shape) };

const webhookResponse = (description: string) => ({
  description,
  headers: changeHeaders,
  content: { 'application/json': { schema: webhookSummary } },
});

/** GET /v1/webhooks/{id}/deliveries */
export const listDeliveries: AuthenticatedRoute = {
  method: 'GET',
  path: `${WEBHOOK_PATH}/deliveries`,
  access: 'webhook.read',
  operation: {
    operationId: 'listDeliveries',
    tags: ['webhooks'],
    summary: 'The last attempts at a delivery, newest first',
    description: 'The last 200 are kept, with how each ended.',
    requestParams: { query: z.object({ limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT) }) },
    responses: {
      200: { description: 'The attempts', content: { 'application/json': { schema: deliveriesBody } } },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['limit']);
    if (isProblem(query)) return query;
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    const id = webhookId(exchange);
    if (isProblem(id)) return id;
    const items = await webhookObject(exchange, id).deliveries(exchange.principal, limit);
    return 'refused' in items ? problemOf(items) : jsonText(exchange, 200, JSON.stringify({ items }));
  },
};

/** POST /v1/webhooks/{id}/test */
export const testWebhook: AuthenticatedRoute = {
  method: 'POST',
  path: `${WEBHOOK_PATH}/test`,
  access: 'webhook.change',
  operation: {
    operationId: 'testWebhook',
    tags: ['webhooks'],
    summary: 'Send a ping, and say how it went',
    description: 'Of the type `ping`, signed as everything else, also while the webhook is disabled. Sent once.',
    requestParams: { header: ifMatchParameter },
    responses: {
      200: {
        description: 'How it went',
        headers: changeHeaders,
        content: { 'application/json': { schema: testBody } },
      },
      ...problems(400, 401, 403, 404, 412, 503),
    },
  },
  async handle(exchange) {
    const id = addressed(exchange);
    if (isProblem(id)) return id;
    const request = requestOf(exchange, id, { type: 'test' as const });
    if (isProblem(request)) return request;
    const pinged = await webhookObject(exchange, id).ping(request, pingOf(id, Date.now()));
    if (isRefusal(pinged)) return problemOf(pinged);
    if (pinged.attempt === null) {
      return { problem: 'not-configured', detail: 'The secrets of this webhook cannot be opened: KEY_ENCRYPTION_KEY.' };
    }
    return jsonText(exchange, 200, JSON.stringify({ attempt: pinged.attempt }), { ETag: etag(pinged.version) });
  },
};

/** POST /v1/webhooks/{id}/enable */
export const enableWebhook: AuthenticatedRoute = {
  method: 'POST',
  path: `${WEBHOOK_PATH}/enable`,
  access: 'webhook.change',
  operation: {
    operationId: 'enableWebhook',
    tags: ['webhooks'],
    summary: 'Have a disabled webhook go on',
    description:
      'From where it stood, with everything that came meanwhile; or from now. One that is not disabled stays as it is. ' +
      'Needs the scope contexts:read.',
    requestParams: conditions,
    requestBody: { ...jsonBody(enableBody), required: false },
    responses: { 200: webhookResponse('The webhook'), ...problems(400, 401, 403, 404, 412, 413, 415, 422) },
  },
  async handle(exchange) {
    const refusal = refuseReading(exchange);
    if (refusal) return refusal;
    const body = await readOptionalBody(exchange, enableBody);
    if (isProblem(body)) return body;
    const command = { type: 'enable' as const, from: body.from, expiresAt: null };
    const expiresAt = await credentialEnd(exchange);
    // Not in the command whose repetition is known again: a session goes on when its token is replaced.
    const reply = await change(exchange, command, (object, request) =>
      object.enable({ ...request, command: { ...request.command, expiresAt } }),
    );
    return answer(exchange, reply);
  },
};

/** POST /v1/webhooks/{id}/disable */
export const disableWebhook: AuthenticatedRoute = {
  method: 'POST',
  path: `${WEBHOOK_PATH}/disable`,
  access: 'webhook.change',
  operation: {
    operationId: 'disableWebhook',
    tags: ['webhooks'],
    summary: 'Have nothing more sent for now',
    description: 'What comes meanwhile is sent when it is enabled again. One that is disabled stays as it is.',
    requestParams: conditions,
    responses: { 200: webhookResponse('The webhook'), ...problems(400, 401, 403, 404, 412, 422) },
  },
  async handle(exchange) {
    const reply = await change(exchange, { type: 'pause' as const }, (object, request) => object.execute(request));
    return answer(exchange, reply);
  },
};

/** POST /v1/webhooks/{id}/replay */
export const replayWebhook: AuthenticatedRoute = {
  method: 'POST',
  path: `${WEBHOOK_PATH}/replay`,
  access: 'webhook.change',
  operation: {
    operationId: 'replayWebhook',
    tags: ['webhooks'],
    summary: 'Have a part of the feed sent again',
    description:
      'What you may read now and the webhook gets, of a time or between two offsets of the feed, in its order and with ' +
      'the same webhook-id as before. New events are sent meanwhile as well. Needs the scope contexts:read.',
    requestParams: conditions,
    requestBody: jsonBody(replayBody),
    responses: {
      202: webhookResponse('It is sent from now on'),
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
    },
  },
  async handle(exchange) {
    const refusal = refuseReading(exchange);
    if (refusal) return refusal;
    const body = await readBody(exchange, replayBody);
    if (isProblem(body)) return body;
    const { env } = exchange;
    const from = await readEdge(env, '/from', body.from);
    if (isProblem(from)) return from;
    const to = body.to === undefined ? {} : await readEdge(env, '/to', body.to);
    if (isProblem(to)) return to;
    const end = await feedEnd(env.DB);
    const after = from.offset ?? 0;
    const upTo = to.offset ?? NO_END;
    if (after > end || (to.offset ?? 0) > end) {
      return { problem: 'ahead-of-stream', detail: 'An offset was not given out here. Ask the feed for one.' };
    }
    const isBackwards = after > upTo || (from.time !== undefined && to.time !== undefined && from.time >= to.time);
    if (isBackwards) return invalid('/to', 'must not be before /from');
    const range = { after, upTo, from: from.time ?? null, to: to.time ?? null };
    const command = { type: 'replay' as const, waiting: 0, ...range };
    // Where the feed ends, and how many wait, is not in the command whose repetition is known again.
    const reply = await change(exchange, command, (object, request) =>
      object.replay({ ...request, command: { ...request.command, upTo: Math.min(upTo, end) } }),
    );
    return answer(exchange, reply, 202);
  },
};

/** Reads where a replay begins or ends. */
async function readEdge(
  env: Env,
  pointer: string,
  text: string,
): Promise<{ readonly offset?: number; readonly time?: string } | Problem> {
  const place = readOffset(pointer, text);
  if (!isProblem(place) && place !== 'now') {
    return (await isInFeed(env, place)) ? { offset: place.after } : foreignOffset(pointer);
  }
  const moment = readMoment(pointer, text);
  if (!isProblem(moment) && 'time' in moment) return { time: moment.time };
  return invalid(pointer, 'must be a time with its zone such as 2026-01-31T12:00:00Z, or an offset of the feed');
}
