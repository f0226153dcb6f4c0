import { z } from 'zod';
import { isRefusal } from '../../../actors/decider.ts';
import { envelopeSchema } from '../../../events/envelope.ts';
import { isPlaceIn, offsetsOf } from '../../../events/offset.ts';
import { momentParameter, problems } from '../operations.ts';
import { LIMIT_DEFAULT, LIMIT_MAX, limitParameter, offsetParameter, pageHeaders } from '../paging.ts';
import { isProblem, problemOf } from '../problem.ts';
import { foreignOffset, readOffset, readOptionalInteger, readOptionalMoment, readQuery } from '../query.ts';
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
    const place = readOffset('offset', query.offset ?? '-1');
    if (isProblem(place)) return place;
    const id = connectionId(exchange);
    if (isProblem(id)) return id;
    const object = connectionObject(exchange, id);
    const stream = `connection/${id}`;
    const isHere = place !== 'now' && isPlaceIn(place, stream);
    const start = isHere ? { version: place.after } : await object.read(exchange.principal, moment);
    if (isRefusal(start)) return problemOf(start);
    if (!isHere && place !== 'now') return foreignOffset('offset');
    const page = await object.readHistory(exchange.principal, start.version, limit, moment);
    if (isRefusal(page)) return problemOf(page);
    return jsonText(exchange, 200, `[${page.events.join(',')}]`, {
      'Stream-Next-Offset': offsetsOf(stream)(page.lastVersion),
      ...(page.isUpToDate && { 'Stream-Up-To-Date': 'true' }),
    });
  },
};
