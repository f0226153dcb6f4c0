import { z } from 'zod';
import { isRefusal } from '../../../actors/decider.ts';
import { envelopeSchema } from '../../../events/envelope.ts';
import { momentParameter, problems } from '../operations.ts';
import { LIMIT_DEFAULT, LIMIT_MAX, limitParameter, offsetParameter, pageHeaders } from '../paging.ts';
import { isProblem, problemOf } from '../problem.ts';
import { offsetOf, readOffset, readOptionalInteger, readOptionalMoment, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { CONNECTION_PATH, connectionId, connectionObject } from './address.ts';

/** GET /v1/connections/{id}/events */
export const readConnectionHistory: AuthenticatedRoute = {
  method: 'GET',
  path: `${CONNECTION_PATH}/events`,
  access: 'connection.read',
  operation: {
    operationId: 'readConnectionHistory',
    tags: ['connections'],
    summary: 'What has happened to a connection',
    description: 'For whoever may read a context at one end, also when it has ended.',
    requestParams: {
      query: z.object({
        offset: offsetParameter,
        limit: limitParameter(),
        at: momentParameter('Where the history ends: a version, or a time with its zone').optional(),
      }),
    },
    responses: {
      200: {
        description: 'Events, oldest first',
        headers: z.object(pageHeaders),
        content: { 'application/json': { schema: z.array(envelopeSchema) } },
      },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['offset', 'limit', 'at']);
    if (isProblem(query)) return query;
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    const moment = readOptionalMoment('at', query.at);
    if (isProblem(moment)) return moment;
    const offset = query.offset === undefined ? 0 : readOffset('offset', query.offset);
    if (isProblem(offset)) return offset;
    const id = connectionId(exchange);
    if (isProblem(id)) return id;
    const object = connectionObject(exchange, id);
    const end = offset === 'now' ? await object.read(exchange.principal, moment) : { version: offset };
    if (isRefusal(end)) return problemOf(end);
    const page = await object.readHistory(exchange.principal, end.version, limit, moment);
    if (isRefusal(page)) return problemOf(page);
    return jsonText(exchange, 200, `[${page.events.join(',')}]`, {
      'Stream-Next-Offset': offsetOf(page.lastVersion),
      ...(page.isUpToDate && { 'Stream-Up-To-Date': 'true' }),
    });
  },
};
