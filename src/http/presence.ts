import { isRefusal } from '../../actors/decider.ts';
import { contextId, contextObject } from './contexts.ts';
import { problems } from './operations.ts';
import { isProblem, problemOf } from './problem.ts';
import { readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { AuthenticatedRoute } from './route.ts';
import { presenceBody } from './sharing-schemas.ts';

/** GET /v1/contexts/{id}/presence */
export const readPresence: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/contexts/:id/presence',
  access: 'context.watch',
  operation: {
    operationId: 'readPresence',
    tags: ['collaboration'],
    summary: 'Who watches a context now',
    description: 'Over WebSockets and event streams. With `?presence=true` both tell when somebody comes or goes.',
    responses: {
      200: { description: 'Who watches', content: { 'application/json': { schema: presenceBody } } },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const id = await contextId(exchange);
    if (isProblem(id)) return id;
    const present = await contextObject(exchange, id).present(exchange.principal);
    if (isRefusal(present)) return problemOf(present);
    return jsonText(exchange, 200, JSON.stringify({ actors: present.actors, count: present.count }));
  },
};
