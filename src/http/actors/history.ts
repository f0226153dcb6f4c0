import { z } from 'zod';
import { envelopeSchema } from '../../../events/envelope.ts';
import { bundleRoute } from '../bundle.ts';
import { negotiate } from '../event-forms.ts';
import { historyLines, historyPage, locate } from '../history-page.ts';
import { atParameter, problems } from '../operations.ts';
import { LIMIT_DEFAULT, LIMIT_MAX, limitParameter, offsetParameter, pageHeaders } from '../paging.ts';
import { isProblem } from '../problem.ts';
import { proofRoute } from '../proofs.ts';
import { readOptionalInteger, readOptionalMoment, readQuery } from '../query.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { treeHeadHeaders } from '../tree-head.ts';
import { ACTOR_PATH, actorSource } from './address.ts';

/** GET /v1/actors/{id}/events */
export const readActorHistory: AuthenticatedRoute = {
  method: 'GET',
  path: `${ACTOR_PATH}/events`,
  access: 'actor.history',
  operation: {
    operationId: 'readActorHistory',
    tags: ['actors', 'history'],
    summary: 'Read the history of an actor',
    description:
      'For oneself, administrators and auditors: what was changed of it, its keys, sessions and delegations, by whom and ' +
      'with which credential. Of secrets it has hashes only. Accept decides the form: a page as a JSON array (the ' +
      'default), or all the rest as NDJSON. Deleted actors included.',
    requestParams: {
      query: z.object({
        offset: offsetParameter,
        limit: limitParameter(),
        at: atParameter.shape.at.meta({ description: 'Where the history ends: a version, or a time with its zone' }),
      }),
      header: z.object({
        'If-None-Match': z.string().optional().meta({ description: 'Answer 304 if the page has this ETag' }),
      }),
    },
    responses: {
      200: {
        description: 'Events, oldest first',
        headers: z.object({
          ...pageHeaders,
          'Stream-Closed': z.literal('true').optional().meta({ description: 'The actor is deleted' }),
          ...treeHeadHeaders('Size and root of the tree of the events, when all up to there were answered'),
          ETag: z.string().optional().meta({ description: 'Of a JSON page that does not depend on the present' }),
        }),
        content: {
          'application/json': { schema: z.array(envelopeSchema) },
          'application/x-ndjson': { schema: z.string() },
        },
      },
      304: { description: 'The page is the one that the caller has' },
      ...problems(400, 401, 403, 404, 406),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['offset', 'limit', 'at']);
    if (isProblem(query)) return query;
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    const moment = readOptionalMoment('at', query.at);
    if (isProblem(moment)) return moment;
    const form = negotiate(exchange.request.headers.get('Accept'));
    // Nothing of an actor is followed live.
    if (form === null || form === 'text/event-stream') {
      return { problem: 'not-acceptable', detail: 'Accept application/json or application/x-ndjson.' };
    }
    const start = await locate(exchange, actorSource, 'offset', query.offset, moment);
    if (isProblem(start)) return start;
    const isPage = form === 'application/json';
    return isPage ? historyPage(exchange, start, limit, moment) : historyLines(exchange, start, moment);
  },
};

/** GET /v1/actors/{id}/proof */
export const readActorProof = proofRoute(
  `${ACTOR_PATH}/proof`,
  'actor.history',
  {
    operationId: 'readActorProof',
    tags: ['actors', 'history'],
    summary: 'Prove that an event is in the history of an actor, or that the history has only grown',
  },
  actorSource,
);

/** GET /v1/actors/{id}/bundle */
export const readActorBundle = bundleRoute(
  `${ACTOR_PATH}/bundle`,
  'actor.history',
  {
    operationId: 'readActorBundle',
    tags: ['actors', 'history', 'log'],
    summary: 'Everything to verify an actor’s history offline',
  },
  actorSource,
);
