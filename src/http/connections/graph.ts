import { z } from 'zod';
import { contextGraph } from '../../../projections/context-graph.ts';
import { refuseScope } from '../../auth/authenticate.ts';
import { contextId, contextObject, gone } from '../contexts.ts';
import { problems } from '../operations.ts';
import { isProblem, problemOf } from '../problem.ts';
import { readOptionalInteger, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { onlookerOf } from './list.ts';
import { graphBody } from './schemas.ts';

/** Connections between the middle and the contexts that are shown, at most. */
const DEPTH_MAX = 4;

/** GET /v1/contexts/{id}/graph */
export const readGraph: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/contexts/:id/graph',
  access: 'context.graph',
  operation: {
    operationId: 'readGraph',
    tags: ['connections'],
    summary: 'What a context is connected to, and that in turn',
    description:
      'The contexts that you may read up to `depth` active or idle connections away, whichever way these lead, and all ' +
      'such connections between them: at most 500 contexts, nearest first, and 2,000 connections. What you may not read ' +
      'is not shown and leads nowhere. Needs the scope connections:read as well.',
    requestParams: {
      query: z.object({
        depth: z.int().min(1).max(DEPTH_MAX).default(1).meta({ description: 'Connections away at most' }),
      }),
    },
    responses: {
      200: { description: 'The graph', content: { 'application/json': { schema: graphBody } } },
      ...problems(400, 401, 403, 404, 410, 503),
    },
  },
  async handle(exchange) {
    const { principal, env } = exchange;
    const refusal = refuseScope(principal, 'connection.read');
    if (refusal) return refusal;
    const query = readQuery(exchange.request, ['depth']);
    if (isProblem(query)) return query;
    const depth = readOptionalInteger('depth', query.depth, 1, 1, DEPTH_MAX);
    if (isProblem(depth)) return depth;
    const id = await contextId(exchange);
    if (isProblem(id)) return id;
    const root = await contextObject(exchange, id).graphRoot(principal);
    if ('refused' in root) return problemOf(root);
    const { name, deletedAt } = root.seen;
    if (deletedAt !== null) return gone(id, root.version, deletedAt);
    const graph = await contextGraph(env.DB, { id, name }, depth, onlookerOf(principal));
    return jsonText(exchange, 200, JSON.stringify(graph));
  },
};
