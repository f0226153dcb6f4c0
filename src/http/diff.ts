import { z } from 'zod';
import { isRefusal } from '../../actors/decider.ts';
import { diffJson } from '../../events/json-patch.ts';
import { contextId, contextObject } from './contexts.ts';
import { momentParameter, problems } from './operations.ts';
import { invalid, isProblem, problemOf } from './problem.ts';
import { readMoment, readOptionalMoment, readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { AuthenticatedRoute } from './route.ts';

const JSON_PATCH = 'application/json-patch+json';

const jsonPatch = z
  .array(
    z.union([
      z.strictObject({ op: z.enum(['add', 'replace']), path: z.string(), value: z.unknown() }),
      z.strictObject({ op: z.literal('remove'), path: z.string() }),
    ]),
  )
  .meta({ id: 'JsonPatch', description: 'A JSON Patch (RFC 6902)' });

/** GET /v1/contexts/{id}/diff */
export const diffContext: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/contexts/:id/diff',
  access: 'context.history',
  operation: {
    operationId: 'diffContext',
    tags: ['history'],
    summary: 'What changed in a context between two moments',
    description:
      'Applied to the context as it was at `from`, the patch gives the context as it was at `to`, version and ' +
      '`updatedAt` included. `from` may be the later one: the patch then leads back. After the end, a moment is the ' +
      'latest; before the creation, 404. Deleted contexts included.',
    requestParams: {
      query: z.object({
        from: momentParameter('A version, or a time with its zone'),
        to: momentParameter('The same; the present when left out').optional(),
      }),
    },
    responses: {
      200: {
        description: 'The patch; empty when nothing changed',
        headers: z.object({
          'Content-Location': z.string().meta({
            description: 'The same diff by the versions that the moments stand for',
            examples: ['/v1/contexts/ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC/diff?from=1&to=3'],
          }),
        }),
        content: { [JSON_PATCH]: { schema: jsonPatch } },
      },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const id = await contextId(exchange);
    if (isProblem(id)) return id;
    const query = readQuery(exchange.request, ['from', 'to']);
    if (isProblem(query)) return query;
    if (query.from === undefined) return invalid('from', 'is required');
    const from = readMoment('from', query.from);
    if (isProblem(from)) return from;
    const to = readOptionalMoment('to', query.to);
    if (isProblem(to)) return to;
    const object = contextObject(exchange, id);
    const { principal } = exchange;
    const [before, after] = await Promise.all([object.view(principal, from), object.view(principal, to)]);
    if (isRefusal(before)) return problemOf(before);
    if (isRefusal(after)) return problemOf(after);
    const patch = diffJson(JSON.parse(before.body), JSON.parse(after.body));
    return jsonText(exchange, 200, JSON.stringify(patch), {
      'Content-Type': JSON_PATCH,
      'Content-Location': `/v1/contexts/${id}/diff?from=${before.version}&to=${after.version}`,
    });
  },
};
