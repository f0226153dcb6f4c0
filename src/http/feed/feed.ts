import { z } from 'zod';
import { isAdministrator, isAuditor } from '../../../actors/access.ts';
import type { Principal } from '../../../actors/principal.ts';
import { envelopeSchema } from '../../../events/envelope.ts';
import { type FeedPart, type FeedQuery, feedEnd, readFeed as findInFeed } from '../../../projections/feed.ts';
import { FeedTail } from '../../../projections/feed-tail.ts';
import { identifyAgain } from '../../auth/identify.ts';
import type { Env } from '../../env.ts';
import { findContextId } from '../contexts.ts';
import { NOT_ACCEPTABLE, negotiate } from '../event-forms.ts';
import type { AuthenticatedExchange } from '../exchange.ts';
import { problems } from '../operations.ts';
import { LIMIT_DEFAULT, limitParameter, pageHeaders } from '../paging.ts';
import { invalid, isProblem, type Problem } from '../problem.ts';
import { readOptionalInteger, readOptionalTime, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { eventsOf, type UnreadableRun } from './events.ts';
import { feedOffsets, readPosition } from './place.ts';
import { feedLines, feedStream, type Part } from './stream.ts';

const LIMIT_MAX = 500;
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
      'In the order in which they came in, which keeps that of each context. Accept decides the form: a page as a JSON ' +
      'array (the default), all up to the present as NDJSON, or server-sent events that go on and resume from ' +
      'Last-Event-ID. At least once: after a rebuild of the read models ' +
      'everything comes again, so take an event by its id once. An event shows a moment after it happened. Where events ' +
      'cannot be read, the problem says where it goes on after them; in server-sent events one called `unreadable` does. Of a context ' +
      'that was shared with you later, what came before is in its own history.',
    requestParams: {
      query: z.object({
        offset: z
          .string()
          .optional()
          .meta({ description: '-1 (the default), now, or a Stream-Next-Offset of the feed' }),
        limit: limitParameter(LIMIT_MAX),
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
          ...pageHeaders,
          'Stream-Up-To-Date': z.literal('true').optional().meta({
            description: 'There was nothing newer. Without it there may be more, also when the page is empty',
          }),
        }),
        content: {
          'application/json': { schema: z.array(envelopeSchema) },
          'application/x-ndjson': { schema: z.string() },
          'text/event-stream': { schema: z.string() },
        },
      },
      ...problems(400, 401, 403, 404, 406, 503),
    },
  },
  async handle(exchange) {
    const given = readQuery(exchange.request, ['offset', 'limit', 'context', 'type', 'actor', 'from', 'to']);
    if (isProblem(given)) return given;
    const limit = readOptionalInteger('limit', given.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    const { env } = exchange;
    const lastEventId = exchange.request.headers.get('Last-Event-ID');
    const form = negotiate(exchange.request.headers.get('Accept'));
    if (form === null) return NOT_ACCEPTABLE;
    const offset =
      form === 'text/event-stream' && lastEventId !== null
        ? await readPosition(env, 'Last-Event-ID', lastEventId)
        : await readPosition(env, 'offset', given.offset ?? '-1');
    if (isProblem(offset)) return offset;
    const filters = await readFilters(exchange, given);
    if (isProblem(filters)) return filters;
    const tail = tailOf(env);
    const offsetOf = await feedOffsets(env);
    const follow = (after: number) =>
      feedStream(exchange, offsetOf, after, (from) => followingPart(exchange, tail, filters, from));
    // Who comes back to the end, as those who follow do all the time, need not ask where it is.
    if (form === 'text/event-stream' && offset !== 'now' && offset <= (tail.end(Date.now()) ?? -1))
      return follow(offset);
    const end = await feedEnd(env.DB);
    const after = offset === 'now' ? end : offset;
    if (after > end) return { problem: 'ahead-of-stream', detail: 'This offset was not given out here. Begin anew.' };
    if (form === 'text/event-stream') {
      tail.begin(end, Date.now());
      return follow(after);
    }
    if (form === 'application/x-ndjson') {
      return feedLines(exchange, offsetOf, after, end, (from) => nextPart(exchange, filters, from));
    }
    const { events, position, isUpToDate, unreadable } = await part(
      exchange,
      exchange.principal,
      filters,
      after,
      limit,
    );
    if (events.length === 0 && unreadable !== null) return notReadable(unreadable, offsetOf);
    return jsonText(exchange, 200, `[${events.map(({ text }) => text).join(',')}]`, {
      'Stream-Next-Offset': offsetOf(position),
      ...(isUpToDate && { 'Stream-Up-To-Date': 'true' }),
    });
  },
};

type Filters = Omit<FeedQuery, 'readableBy' | 'among'>;

/** The ends of the feeds that this isolate follows: of one, but in tests. */
const tails = new WeakMap<Env['DB'], FeedTail>();

function tailOf({ DB }: Env): FeedTail {
  const tail = tails.get(DB) ?? new FeedTail();
  tails.set(DB, tail);
  return tail;
}

/** What somebody may read, as far as it narrows the feed. */
function restrictionOf(principal: Principal): Pick<FeedQuery, 'readableBy' | 'among'> {
  const readsAll = isAdministrator(principal) || isAuditor(principal);
  return { readableBy: readsAll ? null : principal.subject, among: principal.contexts };
}

/** The next part of the feed that somebody may read. */
async function part(
  { env }: AuthenticatedExchange,
  principal: Principal,
  filters: Filters,
  after: number,
  limit: number,
): Promise<Part> {
  const found = await findInFeed(env.DB, { ...filters, ...restrictionOf(principal) }, after, limit);
  return partOf(env, principal, filters, found, limit);
}

/** Reads what was found, and leaves out what is not wanted or may not be read (any more). */
async function partOf(
  env: Env,
  principal: Principal,
  { context: _, ...wanted }: Filters,
  { runs, position, isUpToDate }: FeedPart,
  limit: number,
): Promise<Part> {
  const { events: all, upTo, unreadable } = await eventsOf(env, principal, runs, wanted);
  const events = all.slice(0, limit);
  if (events.length < all.length) {
    return { events, position: events.at(-1)?.position ?? position, isUpToDate: false, unreadable: null };
  }
  return { events, position: upTo ?? position, isUpToDate: isUpToDate && upTo === null, unreadable };
}

/** Nothing is left out in silence: whoever pages decides to go on without it. */
function notReadable({ position, reason, isPassing }: UnreadableRun, offsetOf: (position: number) => string): Problem {
  const problem = isPassing ? 'history-unavailable' : 'history-damaged';
  return { problem, detail: `${reason} The rest of the feed goes on after it, at offset=${offsetOf(position)}.` };
}

/** The next part for an answer that goes on; null when their credential has ended, which is looked at each time. */
async function nextPart(exchange: AuthenticatedExchange, filters: Filters, after: number): Promise<Part | null> {
  const principal = await identifyAgain(exchange);
  return isProblem(principal) ? null : part(exchange, principal, filters, after, LIMIT_MAX);
}

/** The next part for those who follow: of what is known here of the end of the feed, for whoever is there already. */
async function followingPart(
  exchange: AuthenticatedExchange,
  tail: FeedTail,
  filters: Filters,
  after: number,
): Promise<Part | null> {
  const { env } = exchange;
  const principal = await identifyAgain(exchange);
  if (isProblem(principal)) return null;
  await tail.refresh(env.DB, Date.now());
  const found = tail.after({ ...filters, ...restrictionOf(principal) }, after, LIMIT_DEFAULT);
  if (found === null) return part(exchange, principal, filters, after, LIMIT_DEFAULT);
  return partOf(env, principal, filters, found, LIMIT_DEFAULT);
}

type Given = Readonly<Partial<Record<'context' | 'type' | 'actor' | 'from' | 'to', string>>>;

async function readFilters({ env }: AuthenticatedExchange, given: Given): Promise<Filters | Problem> {
  const { type, actor } = given;
  if (type !== undefined && !TYPE.test(type)) return invalid('type', 'must be a type of event');
  if (actor !== undefined && !ACTOR.test(actor)) return invalid('actor', 'must be the id of an actor');
  const from = readOptionalTime('from', given.from);
  if (isProblem(from)) return from;
  const to = readOptionalTime('to', given.to);
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
