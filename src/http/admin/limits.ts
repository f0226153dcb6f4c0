import { z } from 'zod';
import { isRefusal } from '../../../actors/decider.ts';
import { Directory } from '../../../actors/directory.ts';
import type { LimitsRecord } from '../../../actors/limits.ts';
import { DEFAULT_LIMITS, LIMITS_ID, limitsSchema } from '../../../events/limits.ts';
import { noteLimits } from '../../limits/settings.ts';
import { readBody } from '../body.ts';
import { etag, readIfMatch } from '../conditions.ts';
import { type AuthenticatedExchange, causeOf } from '../exchange.ts';
import { ifMatchParameter, jsonBody, problems } from '../operations.ts';
import { isProblem, problemOf } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';

const PATH = '/v1/admin/limits';

const limitsBody = limitsSchema.meta({
  id: 'Limits',
  description: 'How much callers may ask for; a rate is so many requests in so many seconds.',
  examples: [DEFAULT_LIMITS],
});

const limitsResponse = (description: string) => ({
  description,
  headers: z.object({
    ETag: z
      .string()
      .optional()
      .meta({ description: 'The version in quotes; none while nobody has set any', examples: ['"3"'] }),
  }),
  content: { 'application/json': { schema: limitsBody } },
});

/** GET /v1/admin/limits */
export const readLimits: AuthenticatedRoute = {
  method: 'GET',
  path: PATH,
  access: 'admin.read',
  operation: {
    operationId: 'readLimits',
    tags: ['administration'],
    summary: 'The limits that callers have',
    description: 'Until somebody sets others, those that the service comes with.',
    responses: { 200: limitsResponse('The limits'), ...problems(400, 401, 403) },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const view = await limitsObject(exchange).view(exchange.principal);
    if (isRefusal(view)) {
      return view.refused === 'not-found' ? jsonText(exchange, 200, JSON.stringify(DEFAULT_LIMITS)) : problemOf(view);
    }
    const { limits }: LimitsRecord = JSON.parse(view.body);
    return jsonText(exchange, 200, JSON.stringify(limits), { ETag: etag(view.version) });
  },
};

/** PUT /v1/admin/limits */
export const changeLimits: AuthenticatedRoute = {
  method: 'PUT',
  path: PATH,
  access: 'admin.write',
  operation: {
    operationId: 'changeLimits',
    tags: ['administration'],
    summary: 'Set the limits that callers have',
    description:
      'All at once: read them, change what is to be other, send them back with If-Match. They hold everywhere a few ' +
      'seconds later, and every change is an event.',
    requestParams: { header: ifMatchParameter },
    requestBody: jsonBody(limitsBody),
    responses: { 200: limitsResponse('The limits as they are now'), ...problems(400, 401, 403, 412, 413, 415) },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const expectedVersions = readIfMatch(exchange.request.headers);
    if (isProblem(expectedVersions)) return expectedVersions;
    const limits = await readBody(exchange, limitsSchema);
    if (isProblem(limits)) return limits;
    // Before the first event, so that a rebuild of the audit trail finds it.
    await new Directory(exchange.env.DIRECTORY).register(`limits/${LIMITS_ID}`);
    const reply = await limitsObject(exchange).execute({
      id: LIMITS_ID,
      command: { type: 'set', limits },
      principal: exchange.principal,
      cause: causeOf(exchange),
      ...(expectedVersions && { expectedVersions }),
    });
    if (isRefusal(reply)) return problemOf(reply);
    noteLimits(limits);
    return jsonText(exchange, 200, JSON.stringify(limits), { ETag: etag(reply.version) });
  },
};

function limitsObject({ env }: AuthenticatedExchange) {
  return env.LIMITS.get(env.LIMITS.idFromName(LIMITS_ID));
}
