import { z } from 'zod';
import { isRefusal } from '../../actors/decider.ts';
import { envelopeSchema } from '../../events/envelope.ts';
import { endedStream, eventStream } from '../live/event-stream.ts';
import { durableFraming, eventSource } from '../live/framing.ts';
import { CURSOR } from '../live/stream-cursor.ts';
import { contextSource } from './contexts.ts';
import { NOT_ACCEPTABLE, negotiate } from './event-forms.ts';
import type { AuthenticatedExchange } from './exchange.ts';
import { awaitPage, historyLines, historyPage, locate } from './history-page.ts';
import { atParameter, problems } from './operations.ts';
import { LIMIT_DEFAULT, LIMIT_MAX, limitParameter, offsetParameter, pageHeaders } from './paging.ts';
import { invalid, isProblem, problemOf } from './problem.ts';
import { readFlag, readOptionalInteger, readOptionalMoment, readQuery } from './query.ts';
import { empty } from './respond.ts';
import type { Answer, AuthenticatedRoute } from './route.ts';
import { treeHeadHeaders } from './tree-head.ts';

/** Seconds that a long-poll waits unless the caller says otherwise, and at most. */
const TIMEOUT_DEFAULT_S = 20;
const TIMEOUT_MAX_S = 60;

/** GET /v1/contexts/{id}/events */
export const readHistory: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/contexts/:id/events',
  access: 'context.history',
  takesTicket: true,
  operation: {
    operationId: 'readHistory',
    tags: ['history'],
    summary: 'Read or follow the history of a context',
    description:
      'Accept decides the form: a page as a JSON array (the default), all the rest of the history as NDJSON, or ' +
      'server-sent events that go on as changes are made and resume from Last-Event-ID. Deleted contexts included. ' +
      'With `live` it is the read side of the Durable Streams protocol: see docs/protocol.md.',
    requestParams: {
      query: z.object({
        offset: offsetParameter,
        limit: limitParameter(),
        at: atParameter.shape.at.meta({
          description: 'Where the history ends: a version, or a time with its zone. Not for server-sent events',
        }),
        live: z.enum(['long-poll', 'sse']).optional().meta({
          description: 'Wait for what follows the offset, whatever Accept says: in one page, or as a stream of them',
        }),
        cursor: z.string().regex(CURSOR).optional().meta({ description: 'The Stream-Cursor of the last live answer' }),
        timeout: z
          .int()
          .min(0)
          .max(TIMEOUT_MAX_S)
          .default(TIMEOUT_DEFAULT_S)
          .meta({ description: 'For long-poll: the seconds after which the answer is 204' }),
        ticket: z
          .string()
          .optional()
          .meta({ description: 'A ticket, for an EventSource, which cannot send an Authorization header' }),
        presence: z.enum(['true', 'false']).default('false').meta({
          description: 'With Accept: text/event-stream: whether to be told who else watches, by events without an id',
        }),
      }),
      header: z.object({
        'Last-Event-ID': z
          .string()
          .optional()
          .meta({ description: 'For server-sent events: the id of the last one seen' }),
        'If-None-Match': z.string().optional().meta({ description: 'Answer 304 if the page has this ETag' }),
      }),
    },
    responses: {
      200: {
        description: 'Events, oldest first',
        headers: z.object({
          ...pageHeaders,
          'Stream-Closed': z.literal('true').optional().meta({ description: 'The context is deleted' }),
          'Stream-Cursor': z.string().optional().meta({ description: 'With live=long-poll: for the next request' }),
          ...treeHeadHeaders('Size and root of the tree of the events, when all up to there were answered'),
          ETag: z.string().optional().meta({ description: 'Of a JSON page that does not depend on the present' }),
        }),
        content: {
          'application/json': { schema: z.array(envelopeSchema) },
          'application/x-ndjson': { schema: z.string() },
          'text/event-stream': { schema: z.string() },
        },
      },
      204: { description: 'Nothing came in time; or the context is deleted and everything was seen' },
      304: { description: 'The page is the one that the caller has' },
      ...problems(400, 401, 403, 404, 406),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, [
      'offset',
      'limit',
      'at',
      'live',
      'cursor',
      'timeout',
      'ticket',
      'presence',
    ]);
    if (isProblem(query)) return query;
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    const moment = readOptionalMoment('at', query.at);
    if (isProblem(moment)) return moment;
    const { cursor } = query;
    if (cursor !== undefined && !CURSOR.test(cursor)) return invalid('cursor', 'must be a Stream-Cursor');
    const timeout = readOptionalInteger('timeout', query.timeout, TIMEOUT_DEFAULT_S, 0, TIMEOUT_MAX_S);
    if (isProblem(timeout)) return timeout;
    const form = query.live ?? negotiate(exchange.request.headers.get('Accept'));
    const goesOn = form === 'long-poll' || form === 'sse' || form === 'text/event-stream';
    if (goesOn && moment) return invalid('at', 'is for what ends: a stream that goes on does not end in the past');
    const wantsPresence = readFlag('presence', query.presence);
    if (isProblem(wantsPresence)) return wantsPresence;
    if (wantsPresence && form !== 'text/event-stream') return invalid('presence', 'is for Accept: text/event-stream');
    if (query.live !== undefined && query.offset === undefined) return invalid('offset', 'must be given with live');
    switch (form) {
      case 'application/json': {
        const start = await locate(exchange, contextSource, 'offset', query.offset, moment);
        return isProblem(start) ? start : historyPage(exchange, start, limit, moment);
      }
      case 'application/x-ndjson': {
        const start = await locate(exchange, contextSource, 'offset', query.offset, moment);
        return isProblem(start) ? start : historyLines(exchange, start, moment);
      }
      case 'text/event-stream':
        return follow(exchange, query.offset, wantsPresence);
      case 'long-poll': {
        const start = await locate(exchange, contextSource, 'offset', query.offset);
        // A HEAD waits for nothing.
        const waitS = exchange.request.method === 'HEAD' ? 0 : timeout;
        return isProblem(start) ? start : awaitPage(exchange, start, limit, waitS * 1000, cursor);
      }
      case 'sse':
        return stream(exchange, query.offset, cursor);
      case null:
        return NOT_ACCEPTABLE;
      default:
        return invalid('live', 'must be long-poll or sse');
    }
  },
};

async function follow(
  exchange: AuthenticatedExchange,
  offset: string | undefined,
  wantsPresence: boolean,
): Promise<Answer> {
  const lastEventId = exchange.request.headers.get('Last-Event-ID');
  const start =
    lastEventId === null
      ? await locate(exchange, contextSource, 'offset', offset)
      : await locate(exchange, contextSource, 'Last-Event-ID', lastEventId);
  if (isProblem(start)) return start;
  const history = await start.object.history(exchange.principal, start.after, 1);
  if (isRefusal(history)) return problemOf(history);
  // Tells an EventSource that there is nothing to come back for (WHATWG HTML, section 9.2.3).
  if (history.isClosed && history.events.length === 0) return empty(exchange, 204);
  return eventStream(exchange, start.id, start.after, eventSource(start.offsetOf), wantsPresence);
}

/** As the Durable Streams protocol has it: also where a context that is deleted ends. */
async function stream(
  exchange: AuthenticatedExchange,
  offset: string | undefined,
  cursor: string | undefined,
): Promise<Answer> {
  const start = await locate(exchange, contextSource, 'offset', offset);
  if (isProblem(start)) return start;
  const history = await start.object.history(exchange.principal, start.after, 1);
  if (isRefusal(history)) return problemOf(history);
  const framing = durableFraming(start.offsetOf, cursor);
  if (history.isClosed && history.events.length === 0) return endedStream(exchange, start.after, framing);
  return eventStream(exchange, start.id, start.after, framing);
}
