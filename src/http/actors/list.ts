import { z } from 'zod';
import { decideAccess, relationToActor } from '../../../actors/access.ts';
import type { ActorRecord } from '../../../actors/actor.ts';
import { summaryOf } from '../../../actors/actor-access.ts';
import { ACTOR_KINDS, isActorId } from '../../../events/actor.ts';
import { listActors as find } from '../../../projections/actors.ts';
import { fold } from '../../../projections/fold.ts';
import { ensureFirstAdministrator } from '../../auth/first-administrator.ts';
import { problems } from '../operations.ts';
import { invalid, isProblem } from '../problem.ts';
import { readOptionalInteger, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { actorBody, actorSummaryBody } from './schemas.ts';

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
/** Characters (Unicode code points) of a search text. */
const TEXT_MAX = 200;
const kind = z.enum(ACTOR_KINDS).optional();
const status = z.enum(['active', 'suspended', 'deleted']).optional();

/** GET /v1/actors */
export const listActors: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/actors',
  access: 'actor.list',
  operation: {
    operationId: 'listActors',
    tags: ['actors'],
    summary: 'List and find actors, newest first',
    description:
      'By a part of the name, whatever its case and accents, or by the whole ChittyID. Administrators get all of each ' +
      'actor, others of everybody but themselves only what they need to share with them. A change shows a moment later.',
    requestParams: {
      query: z.object({
        q: z
          .string()
          .min(1)
          .optional()
          .meta({ description: `At most ${TEXT_MAX} characters`, examples: ['ada'] }),
        kind,
        status,
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT),
        cursor: z.string().optional().meta({ description: 'nextCursor of the page before; the rest as it was' }),
      }),
    },
    responses: {
      200: {
        description: 'A page of actors',
        content: {
          'application/json': {
            schema: z
              .strictObject({
                items: z.array(z.union([actorBody, actorSummaryBody])),
                nextCursor: z.string().nullable().meta({ description: 'Asks for the next page; null on the last one' }),
              })
              .meta({ id: 'ActorPage' }),
          },
        },
      },
      ...problems(400, 401, 403, 503),
    },
  },
  async handle(exchange) {
    const given = readQuery(exchange.request, ['q', 'kind', 'status', 'limit', 'cursor']);
    if (isProblem(given)) return given;
    const { q: text, cursor: after } = given;
    if (text !== undefined && [...text].length > TEXT_MAX)
      return invalid('q', `must have at most ${TEXT_MAX} characters`);
    if (text !== undefined && fold(text) === '') return invalid('q', 'must not be blank; leave it out to have all');
    const wantedKind = kind.safeParse(given.kind);
    if (!wantedKind.success) return invalid('kind', `must be one of ${ACTOR_KINDS.join(', ')}`);
    const wantedStatus = status.safeParse(given.status);
    if (!wantedStatus.success) return invalid('status', 'must be active, suspended or deleted');
    const limit = readOptionalInteger('limit', given.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    if (after !== undefined && !isActorId(after)) {
      return invalid('cursor', 'must be the nextCursor that the same query gave; start without one');
    }
    const { env, principal } = exchange;
    const query = {
      limit,
      ...(text !== undefined && { text }),
      ...(wantedKind.data && { kind: wantedKind.data }),
      ...(wantedStatus.data && { status: wantedStatus.data }),
      ...(after !== undefined && { after }),
    };
    await ensureFirstAdministrator(env);
    const found = await find(env.DB, query);
    const items = found.map((actor: ActorRecord) => {
      const relation = relationToActor(principal, actor.id, true);
      return decideAccess(principal, 'actor.read', relation) === 'allowed' ? actor : summaryOf(actor);
    });
    const nextCursor = items.length === limit ? (items.at(-1)?.id ?? null) : null;
    return jsonText(exchange, 200, JSON.stringify({ items, nextCursor }));
  },
};
