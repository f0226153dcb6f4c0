import { z } from 'zod';
import { isAdministrator, isAuditor } from '../../../actors/access.ts';
import type { Principal } from '../../../actors/principal.ts';
import { envelopeSchema } from '../../../events/envelope.ts';
import { type FeedQuery, feedEnd, readFeed as findInFeed } from '../../../projections/feed.ts';
import { identify } from '../../auth/identify.ts';
import { findContextId } from '../contexts.ts';
import type { AuthenticatedExchange } from '../exchange.ts';
import { problems } from '../operations.ts';
import { invalid, isProblem, type Problem } from '../problem.ts';
import { offsetOf, readInteger, readMoment, readOffset, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { eventsOf } from './events.ts';
import { feedStream, type Part } from './stream.ts';

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 500;
/** Seconds after which a caller may try again when the read models do not answer. */
const RETRY_AFTER_S = 5;

const time = z.string().meta({ description: 'A time with its zone', examples: ['2026-01-31T12:00:00Z'] });
const ACTOR = /^act_\w{1,40}$/;
const TYPE = /^[a-z][a-z_]{0,63}$/;

/** GET /v1/events */
export const readFeed: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/events',
  access: 'feed.read',
  operation: {
    operationId: 'readFeed',
    tags: ['history'],
    summary: 'Read or follow the events of all contexts that you may read',
    description:
      'In the order in which they came in, which keeps that of each context: a page as a JSON array, or server-sent ' +
      'events that go on and resume from Last-Event-ID (Accept). At least once: after a rebuild of the read models ' +
      'everything comes again, so take an event by its id once. An event shows a moment after it happened. Of a context ' +
      'that was shared with you later, what came before is in its own history.',
    requestParams: {
      query: z.object({
        offset: z
          .string()
          .optional()
          .meta({ description: '-1 (the default), now, or a Stream-Next-Offset of the feed' }),
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT).meta({ description: 'Events in a page at most' }),
        context: z.string().optional().meta({ description: 'Only of this context (its id or ChittyID)' }),
        type: z
          .string()
          .regex(TYPE)
          .optional()
          .meta({ examples: ['context_updated'] }),
        actor: z.string().regex(ACTOR).optional().meta({ description: 'Only what this actor did' }),
        from: time.optional(),
        to: time.optional(),
      }),
      header: z.object({
        'Last-Event-ID': z.string().optional().meta({ description: 'For server-sent events: the last id seen' }),
      }),
    },
    responses: {
      200: {
        description: 'Events',
        headers: z.object({
          'Stream-Next-Offset': z.string().meta({ description: 'Where the next page begins' }),
          'Stream-Up-To-Date': z.literal('true').optional().meta({
            description: 'There was nothing newer. Without it there may be more, also when the page is empty',
          }),
        }),
        content: {
          'application/json': { schema: z.array(envelopeSchema) },
          'text/event-stream': { schema: z.string() },
        },
      },
      ...problems(400, 401, 403, 404, 503),
    },
  },
  async handle(exchange) {
    const given = readQuery(exchange.request, ['offset', 'limit', 'context', 'type', 'actor', 'from', 'to']);
    if (isProblem(given)) return given;
    const limit = given.limit === undefined ? LIMIT_DEFAULT : readInteger('limit', given.limit, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    const lastEventId = exchange.request.headers.get('Last-Event-ID');
    const wantsStream = exchange.request.headers.get('Accept')?.includes('text/event-stream') ?? false;
    const offset =
      wantsStream && lastEventId !== null
        ? readOffset('Last-Event-ID', lastEventId)
        : readOffset('offset', given.offset ?? '-1');
    if (isProblem(offset)) return offset;
    const filters = await readFilters(exchange, given);
    if (isProblem(filters)) return filters;
    const { env, requestId } = exchange;
    try {
      const end = await feedEnd(env.DB);
      const after = offset === 'now' ? end : offset;
      if (after > end) return { problem: 'ahead-of-stream', detail: 'This offset was not given out here. Begin anew.' };
      if (wantsStream) return feedStream(exchange, after, (from) => followingPart(exchange, filters, from));
      const { events, position, isUpToDate } = await part(exchange, exchange.principal, filters, after, limit);
      return jsonText(exchange, 200, `[${events.map(({ text }) => text).join(',')}]`, {
        'Stream-Next-Offset': offsetOf(position),
        ...(isUpToDate && { 'Stream-Up-To-Date': 'true' }),
      });
    } catch (error) {
      console.error(JSON.stringify({ level: 'error', requestId, message: String(error) }));
      return {
        problem: 'read-model-unavailable',
        detail: 'The feed does not answer at the moment. Every context’s own history does.',
        headers: { 'Retry-After': String(RETRY_AFTER_S) },
      };
    }
  },
};

type Filters = Omit<FeedQuery, 'readableBy' | 'among'>;

/** The next part of the feed that somebody may read. */
async function part(
  { env }: AuthenticatedExchange,
  principal: Principal,
  filters: Filters,
  after: number,
  limit: number,
): Promise<Part> {
  const readsAll = isAdministrator(principal) || isAuditor(principal);
  const restriction = { readableBy: readsAll ? null : principal.subject, among: principal.contexts };
  const { runs, ...rest } = await findInFeed(env.DB, { ...filters, ...restriction }, after, limit);
  const { context: _, ...wanted } = filters;
  const all = await eventsOf(env, principal, runs, wanted);
  if (all.length <= limit) return { ...rest, events: all };
  const events = all.slice(0, limit);
  return { events, position: events.at(-1)?.position ?? after, isUpToDate: false };
}

/** The next part for those who follow; null when their credential has ended, which is looked at each time. */
async function followingPart(exchange: AuthenticatedExchange, filters: Filters, after: number): Promise<Part | null> {
  const principal = await identify(exchange);
  return isProblem(principal) ? null : part(exchange, principal, filters, after, LIMIT_DEFAULT);
}

type Given = Readonly<Partial<Record<'context' | 'type' | 'actor' | 'from' | 'to', string>>>;

async function readFilters({ env }: AuthenticatedExchange, given: Given): Promise<Filters | Problem> {
  const { type, actor } = given;
  if (type !== undefined && !TYPE.test(type)) return invalid('type', 'must be a type of event');
  if (actor !== undefined && !ACTOR.test(actor)) return invalid('actor', 'must be the id of an actor');
  const from = readTime('from', given.from);
  if (isProblem(from)) return from;
  const to = readTime('to', given.to);
  if (isProblem(to)) return to;
  const context = given.context === undefined ? undefined : await findContextId(env, given.context);
  if (context === null) return { problem: 'not-found', detail: 'There is no context with this id.' };
  return {
    ...(type !== undefined && { type }),
    ...(actor !== undefined && { actor }),
    ...(context !== undefined && { context }),
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
  };
}

function readTime(name: string, text: string | undefined): string | undefined | Problem {
  if (text === undefined) return undefined;
  const moment = readMoment(name, text);
  if (isProblem(moment)) return moment;
  return 'time' in moment ? moment.time : invalid(name, 'must be a time with its zone such as 2026-01-31T12:00:00Z');
}
