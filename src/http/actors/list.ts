import { z } from 'zod';
import { decideAccess, relationToActor } from '../../../actors/access.ts';
import type { ActorRecord } from '../../../actors/actor.ts';
import { summaryOf } from '../../../actors/actor-access.ts';
import { ACTOR_KINDS } from '../../../events/actor.ts';
import { type ActorPage, findActors } from '../../../projections/actor-search.ts';
import { fingerprint, readCursor, writeCursor } from '../../../projections/cursor.ts';
import { fold } from '../../../projections/fold.ts';
import { type Span, spansOf } from '../../../projections/highlights.ts';
import { ensureFirstAdministrator } from '../../auth/first-administrator.ts';
import { problems } from '../operations.ts';
import { spans } from '../paging.ts';
import { invalid, isProblem } from '../problem.ts';
import { readFlag, readOptionalInteger, readOptionalTime, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { actorBody, actorSummaryBody } from './schemas.ts';

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
/** Characters (Unicode code points) of a search text. */
const TEXT_MAX = 200;
const kind = z.enum(ACTOR_KINDS).optional();
const status = z.enum(['active', 'suspended', 'deleted']).optional();

/** Where a page ended, as cursors keep it. */
const positionSchema = z
  .tuple([z.int().min(0).max(9), z.string(), z.string(), z.boolean()])
  .transform(([tier, createdAt, id, isCorrected]) => ({ tier, createdAt, id, isCorrected }));

/** GET /v1/actors */
export const listActors: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/actors',
  access: 'actor.list',
  operation: {
    operationId: 'listActors',
    tags: ['actors'],
    summary: 'List actors, newest first, or find them, best first',
    description:
      'Finds those that have every term of q in their name: parts of words from three characters, shorter ones where a ' +
      'word begins, in any order, whatever their case and accents; or the whole ChittyID. Best first: the name is q, ' +
      'begins with it, has the terms as words, has them; then newest first. Where nothing fits, one mistyped letter is ' +
      'forgiven. There are no operators: every character means itself. Administrators get all of each actor, others of ' +
      'everybody but themselves only what they need to share with them. A change shows a moment later.',
    requestParams: {
      query: z.object({
        q: z
          .string()
          .min(1)
          .optional()
          .meta({ description: `At most ${TEXT_MAX} characters`, examples: ['ada'] }),
        highlight: z
          .enum(['true', 'false'])
          .default('false')
          .meta({ description: 'Whether to tell what of each name fitted' }),
        kind,
        status,
        createdAfter: z.string().optional().meta({ description: 'Created at this time or later' }),
        createdBefore: z.string().optional().meta({ description: 'Created before this time' }),
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
                highlights: z
                  .record(z.string(), z.strictObject({ name: spans }))
                  .optional()
                  .meta({ description: 'By id: the parts of the name that fit, as in a search for contexts' }),
              })
              .meta({ id: 'ActorPage' }),
          },
        },
      },
      ...problems(400, 401, 403, 503),
    },
  },
  async handle(exchange) {
    const given = readQuery(exchange.request, [
      'q',
      'highlight',
      'kind',
      'status',
      'createdAfter',
      'createdBefore',
      'limit',
      'cursor',
    ]);
    if (isProblem(given)) return given;
    const { q: text } = given;
    if (text !== undefined && [...text].length > TEXT_MAX)
      return invalid('q', `must have at most ${TEXT_MAX} characters`);
    if (text !== undefined && fold(text) === '') return invalid('q', 'must not be blank; leave it out to have all');
    const wantedKind = kind.safeParse(given.kind);
    if (!wantedKind.success) return invalid('kind', `must be one of ${ACTOR_KINDS.join(', ')}`);
    const wantedStatus = status.safeParse(given.status);
    if (!wantedStatus.success) return invalid('status', 'must be active, suspended or deleted');
    const limit = readOptionalInteger('limit', given.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    const highlight = readFlag('highlight', given.highlight);
    if (isProblem(highlight)) return highlight;
    const createdAfter = readOptionalTime('createdAfter', given.createdAfter);
    if (isProblem(createdAfter)) return createdAfter;
    const createdBefore = readOptionalTime('createdBefore', given.createdBefore);
    if (isProblem(createdBefore)) return createdBefore;
    const filters = {
      ...(text !== undefined && { text }),
      ...(wantedKind.data && { kind: wantedKind.data }),
      ...(wantedStatus.data && { status: wantedStatus.data }),
      ...(createdAfter !== undefined && { createdAfter }),
      ...(createdBefore !== undefined && { createdBefore }),
    };
    const belongsTo = fingerprint('actors', filters);
    const after = given.cursor === undefined ? undefined : readCursor(belongsTo, given.cursor, positionSchema);
    if (after === null) return invalid('cursor', 'must be the nextCursor that the same query gave; start without one');
    const { env, principal } = exchange;
    await ensureFirstAdministrator(env);
    const page = await findActors(env.DB, { ...filters, limit, ...(after !== undefined && { after }) });
    const items = page.actors.map((actor: ActorRecord) => {
      const relation = relationToActor(principal, actor.id, true);
      return decideAccess(principal, 'actor.read', relation) === 'allowed' ? actor : summaryOf(actor);
    });
    const { next } = page;
    const nextCursor = next && writeCursor(belongsTo, [next.tier, next.createdAt, next.id, next.isCorrected]);
    return jsonText(
      exchange,
      200,
      JSON.stringify({ items, nextCursor, ...(highlight && { highlights: highlightsOf(page) }) }),
    );
  },
};

function highlightsOf({ actors, terms }: ActorPage): Record<string, { readonly name: readonly Span[] }> {
  return Object.fromEntries(actors.map(({ id, name }) => [id, { name: spansOf(name, terms) }]));
}
