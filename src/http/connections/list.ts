import { z } from 'zod';
import { isAdministrator, isAuditor } from '../../../actors/access.ts';
import type { Principal } from '../../../actors/principal.ts';
import { CONNECTION_PREFIX, connectionType } from '../../../events/connection.ts';
import { isId } from '../../../events/id.ts';
import {
  type ConnectionQuery,
  listConnections as findConnections,
  type Onlooker,
} from '../../../projections/connections.ts';
import { findContextId } from '../contexts.ts';
import { problems } from '../operations.ts';
import { invalid, isProblem, type Problem } from '../problem.ts';
import { readOptionalInteger, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { connectionStatus, connectionSummary, typeField } from './schemas.ts';

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
/** Where a page ended: the time and the id of its last connection. */
const CURSOR = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z)~(con_\w{26})$/;

/** GET /v1/connections */
export const listConnections: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/connections',
  access: 'connection.list',
  operation: {
    operationId: 'listConnections',
    tags: ['connections'],
    summary: 'The connections of the contexts that you may read, newest first',
    description: 'A change shows here a moment after it was made.',
    requestParams: {
      query: z.object({
        context: z.string().optional().meta({ description: 'Only those of this context, by its id or ChittyID' }),
        type: typeField.optional(),
        status: connectionStatus.optional().meta({ description: 'All that have not ended when it is left out' }),
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT),
        cursor: z.string().optional().meta({ description: 'nextCursor of the page before' }),
      }),
    },
    responses: {
      200: {
        description: 'A page of connections',
        content: {
          'application/json': {
            schema: z.strictObject({ items: z.array(connectionSummary), nextCursor: z.string().nullable() }),
          },
        },
      },
      ...problems(400, 401, 403, 503),
    },
  },
  async handle(exchange) {
    const given = readQuery(exchange.request, ['context', 'type', 'status', 'limit', 'cursor']);
    if (isProblem(given)) return given;
    const filters = readFilters(given);
    if (isProblem(filters)) return filters;
    // What is no context has no connections.
    const context = given.context === undefined ? undefined : await findContextId(exchange.env, given.context);
    if (context === null) return jsonText(exchange, 200, '{"items":[],"nextCursor":null}');
    const { limit } = filters;
    const found = await findConnections(exchange.env.DB, {
      ...onlookerOf(exchange.principal),
      ...filters,
      limit: limit + 1,
      ...(context !== undefined && { context }),
    });
    const items = found.slice(0, limit);
    const nextCursor = found.length > limit ? cursorAfter(items.at(-1) ?? '') : null;
    return jsonText(exchange, 200, `{"items":[${items.join(',')}],"nextCursor":${JSON.stringify(nextCursor)}}`);
  },
};

/** What the caller may see of the contexts. */
export function onlookerOf(principal: Principal): Onlooker {
  const seesAll = isAdministrator(principal) || isAuditor(principal);
  return { readableBy: seesAll ? null : principal.subject, among: principal.contexts };
}

type Filters = Pick<ConnectionQuery, 'type' | 'status' | 'limit' | 'after'>;

function readFilters(given: { type?: string; status?: string; limit?: string; cursor?: string }): Filters | Problem {
  const type = connectionType.optional().safeParse(given.type);
  if (!type.success) return invalid('type', 'must be words of a-z and 0-9 with _ or - between them, like depends_on');
  const status = connectionStatus.optional().safeParse(given.status);
  if (!status.success) return invalid('status', `must be one of: ${connectionStatus.options.join(', ')}`);
  const limit = readOptionalInteger('limit', given.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
  if (isProblem(limit)) return limit;
  const [, createdAt, id] = CURSOR.exec(given.cursor ?? '') ?? [];
  const isPlace = createdAt !== undefined && id !== undefined && isId(CONNECTION_PREFIX, id);
  if (given.cursor !== undefined && !isPlace) {
    return invalid('cursor', 'must be the nextCursor of the answer before; start without one');
  }
  return {
    limit,
    ...(type.data !== undefined && { type: type.data }),
    ...(status.data !== undefined && { status: status.data }),
    ...(isPlace && { after: { createdAt, id } }),
  };
}

function cursorAfter(body: string): string {
  const { createdAt, id } = connectionSummary.parse(JSON.parse(body));
  return `${createdAt}~${id}`;
}
