import { z } from 'zod';
import { isRefusal } from '../../actors/decider.ts';
import { parsePointer } from '../../events/json-pointer.ts';
import { isPlaceIn, offsetsOf } from '../../events/offset.ts';
import { contextBody } from './context-schemas.ts';
import { contextId, contextObject } from './contexts.ts';
import { momentParameter, problems } from './operations.ts';
import { invalid, isProblem, type Problem, problemOf } from './problem.ts';
import { readOffset, readOptionalInteger, readOptionalMoment, readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { AuthenticatedRoute } from './route.ts';

/** Changes on a page unless the caller says otherwise, and at most. */
const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;

const NO_CURSOR = invalid('cursor', 'must be a nextCursor that was given out here');

const FIELDS = Object.keys(contextBody.shape);

const fieldHistoryPage = z
  .strictObject({
    items: z.array(
      z.strictObject({
        version: z.int().min(1),
        time: z.iso.datetime(),
        type: z.string().meta({ description: 'The type of the event that changed it' }),
        actor: z.string(),
        from: z.unknown().optional().meta({ description: 'What it was; left out when there was nothing' }),
        to: z.unknown().optional().meta({ description: 'What it became; left out when nothing was left' }),
      }),
    ),
    nextCursor: z.string().nullable().meta({ description: 'Asks for the next page; null on the last one' }),
  })
  .meta({ id: 'FieldHistoryPage' });

/** GET /v1/contexts/{id}/history */
export const readFieldHistory: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/contexts/:id/history',
  access: 'context.history',
  operation: {
    operationId: 'readFieldHistory',
    tags: ['history'],
    summary: 'The history of one field of a context',
    description:
      'Every change of the value that the pointer leads to, oldest first, from its first value on. A page looks at a ' +
      'bounded part of the history: it may hold fewer changes than `limit`, none too, although `nextCursor` leads to ' +
      'more. Deleted contexts included.',
    requestParams: {
      query: z.object({
        pointer: z
          .string()
          .meta({ description: 'A JSON Pointer (RFC 6901) into the context', examples: ['/metadata/priority'] }),
        at: momentParameter('Where the history ends: a version, or a time with its zone').optional(),
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT).meta({ description: 'Changes on a page at most' }),
        cursor: z.string().optional().meta({ description: 'nextCursor of the page before; the rest as it was' }),
      }),
    },
    responses: {
      200: { description: 'A page of changes', content: { 'application/json': { schema: fieldHistoryPage } } },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const id = await contextId(exchange);
    if (isProblem(id)) return id;
    const query = readQuery(exchange.request, ['pointer', 'at', 'limit', 'cursor']);
    if (isProblem(query)) return query;
    const tokens = readPointer(query.pointer);
    if (isProblem(tokens)) return tokens;
    const moment = readOptionalMoment('at', query.at);
    if (isProblem(moment)) return moment;
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    const place = readOffset('cursor', query.cursor ?? '-1');
    if (isProblem(place) || place === 'now') return NO_CURSOR;
    const stream = `context/${id}`;
    const isHere = isPlaceIn(place, stream);
    // Who may not read the context must not find out by a cursor from elsewhere that it is there.
    const after = isHere ? place.after : 0;
    const page = await contextObject(exchange, id).fieldHistory(exchange.principal, tokens, after, limit, moment);
    if (isRefusal(page)) return problemOf(page);
    if (!isHere) return NO_CURSOR;
    const nextCursor = page.isComplete ? 'null' : `"${offsetsOf(stream)(page.lastVersion)}"`;
    return jsonText(exchange, 200, `{"items":[${page.changes.join(',')}],"nextCursor":${nextCursor}}`);
  },
};

function readPointer(text: string | undefined): readonly string[] | Problem {
  if (text === undefined) return invalid('pointer', 'is required');
  const tokens = parsePointer(text);
  if (tokens === null) return invalid('pointer', 'must be a JSON Pointer such as /metadata/priority (RFC 6901)');
  const [field] = tokens;
  // A typing error would otherwise look like a field that never had a value.
  if (field !== undefined && FIELDS.includes(field)) return tokens;
  return invalid('pointer', `must begin with a field of a context: ${FIELDS.map((name) => `/${name}`).join(', ')}`);
}
