import { z } from 'zod';
import { isAdministrator, isAuditor } from '../../actors/access.ts';
import type { Principal } from '../../actors/principal.ts';
import { countSealed } from '../../events/personal.ts';
import type { ContextFilters } from '../../projections/context-filters.ts';
import {
  type ContextPage,
  type ContextQuery,
  listContexts as findInList,
  searchContexts as findInSearch,
} from '../../projections/context-query.ts';
import { fingerprint, readCursor, writeCursor } from '../../projections/cursor.ts';
import { fold } from '../../projections/fold.ts';
import { spansOf } from '../../projections/highlights.ts';
import { contextBody } from './context-schemas.ts';
import type { AuthenticatedExchange } from './exchange.ts';
import { problems } from './operations.ts';
import { spans } from './paging.ts';
import { invalid, isProblem, type Problem } from './problem.ts';
import { readOptionalInteger, readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { Answer, AuthenticatedRoute } from './route.ts';

/** Contexts on a page unless the caller says otherwise, and at most. */
const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
/** Characters (Unicode code points) of a search text. */
const TEXT_MAX = 200;
/** Characters of an owner, a system or a tool to filter by: none that exists is longer. */
const FILTER_MAX = 200;
const TEXT_FILTERS = ['owner', 'system', 'tool'] as const;
const TIME_FILTERS = ['createdAfter', 'createdBefore', 'updatedAfter', 'updatedBefore'] as const;
const LIST_PARAMETERS = [...TEXT_FILTERS, 'status', ...TIME_FILTERS, 'limit', 'cursor'] as const;
const SEARCH_PARAMETERS = ['q', 'highlight', ...LIST_PARAMETERS] as const;

type ListParameters = Readonly<Partial<Record<(typeof LIST_PARAMETERS)[number], string>>>;

const time = (what: string) => z.iso.datetime({ offset: true }).optional().meta({ description: what });
const label = (what: string) => z.string().min(1).max(FILTER_MAX).optional().meta({ description: what });

const listParameters = z.object({
  owner: label('Only those of this actor'),
  system: label('Only those that name this system'),
  tool: label('Only those that name this tool'),
  status: z.enum(['active', 'deleted']).default('active'),
  createdAfter: time('Created at this time or later'),
  createdBefore: time('Created before this time'),
  updatedAfter: time('Last changed at this time or later'),
  updatedBefore: time('Last changed before this time'),
  limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT).meta({ description: 'Contexts on a page at most' }),
  cursor: z.string().optional().meta({ description: 'nextCursor of the page before; the rest of the query as it was' }),
});

const pageShape = {
  items: z.array(contextBody),
  nextCursor: z.string().nullable().meta({ description: 'Asks for the next page; null on the last one' }),
};

const listPage = z.strictObject(pageShape).meta({ id: 'ContextPage' });

const searchPage = z
  .strictObject({
    ...pageShape,
    highlights: z
      .record(z.string(), z.strictObject({ name: spans, description: spans }))
      .optional()
      .meta({
        description:
          'By id: the parts of name and description that fit, as [start, end) in UTF-16 code units, which are the ' +
          'indices of strings in JavaScript and Java. Positions and not marked text, so that nothing a context holds can ' +
          'pass for markup: cut the text there and set each piece as text.',
      }),
  })
  .meta({ id: 'ContextSearchPage' });

/** GET /v1/contexts */
export const listContexts: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/contexts',
  access: 'context.list',
  operation: {
    operationId: 'listContexts',
    tags: ['contexts'],
    summary: 'List contexts, newest first',
    description: 'A change shows here a moment after it was made.',
    requestParams: { query: listParameters },
    responses: {
      200: { description: 'A page of contexts', content: { 'application/json': { schema: listPage } } },
      ...problems(400, 401, 403, 503),
    },
  },
  async handle(exchange) {
    const given = readQuery(exchange.request, LIST_PARAMETERS);
    if (isProblem(given)) return given;
    const request = readRequest('list', exchange.principal, given, {});
    if (isProblem(request)) return request;
    return answer(exchange, request, () => findInList(exchange.env.DB, request.query));
  },
};

/** GET /v1/contexts/search */
export const searchContexts: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/contexts/search',
  access: 'context.list',
  operation: {
    operationId: 'searchContexts',
    tags: ['contexts'],
    summary: 'Search contexts, best first',
    description:
      'Finds contexts that have every term of q in their name, owner, systems, tools or description: parts of words ' +
      'from three characters, shorter terms as whole words, in any order, whatever their case and accents. Best first: ' +
      'the name is q, begins with it, has the terms as words, has them, or other fields do; then newest first. Where ' +
      'nothing fits, one mistyped letter is forgiven. There are no operators: every character means itself.',
    requestParams: {
      query: listParameters.extend({
        q: z
          .string()
          .min(1)
          .meta({ description: `Not blank, at most ${TEXT_MAX} characters`, examples: ['plan'] }),
        highlight: z
          .enum(['true', 'false'])
          .default('false')
          .meta({ description: 'Whether to tell what fitted where' }),
      }),
    },
    responses: {
      200: { description: 'A page of contexts', content: { 'application/json': { schema: searchPage } } },
      ...problems(400, 401, 403, 503),
    },
  },
  async handle(exchange) {
    const given = readQuery(exchange.request, SEARCH_PARAMETERS);
    if (isProblem(given)) return given;
    const { q, highlight = 'false', ...rest } = given;
    if (q === undefined) return invalid('q', 'is required');
    if ([...q].length > TEXT_MAX) return invalid('q', `must have at most ${TEXT_MAX} characters`);
    if (fold(q) === '') return invalid('q', 'must not be blank');
    if (highlight !== 'true' && highlight !== 'false') return invalid('highlight', 'must be true or false');
    const request = readRequest('search', exchange.principal, rest, { q: fold(q) });
    if (isProblem(request)) return request;
    const find = () => findInSearch(exchange.env.DB, q, request.query);
    return answer(exchange, request, find, highlight === 'true' ? highlightsText : undefined);
  },
};

/** Where a page ended, as cursors keep it. */
const positionSchema = z
  .tuple([z.int().min(0).max(9), z.int(), z.boolean()])
  .transform(([tier, rowid, isCorrected]) => ({ tier, rowid, isCorrected }));

interface ListRequest {
  readonly query: ContextQuery;
  /** What cursors of this request belong to. */
  readonly fingerprint: string;
}

function readRequest(
  route: string,
  principal: Principal,
  given: ListParameters,
  more: Record<string, string>,
): ListRequest | Problem {
  const filters = readFilters(given);
  if (isProblem(filters)) return filters;
  const limit = readOptionalInteger('limit', given.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
  if (isProblem(limit)) return limit;
  const seesAll = isAdministrator(principal) || isAuditor(principal);
  const readableBy = seesAll ? null : principal.subject;
  const belongsTo = fingerprint(route, {
    ...filters,
    ...more,
    readableBy,
    among: principal.contexts?.join(' ') ?? null,
  });
  const query = { filters, readableBy, among: principal.contexts, limit };
  if (given.cursor === undefined) return { query, fingerprint: belongsTo };
  const after = readCursor(belongsTo, given.cursor, positionSchema);
  if (after === null) return invalid('cursor', 'must be the nextCursor that the same query gave; start without one');
  return { query: { ...query, after }, fingerprint: belongsTo };
}

function readFilters(given: ListParameters): ContextFilters | Problem {
  const { status = 'active' } = given;
  if (status !== 'active' && status !== 'deleted') return invalid('status', 'must be active or deleted');
  const values: { [Name in (typeof TEXT_FILTERS)[number] | (typeof TIME_FILTERS)[number]]?: string } = {};
  for (const name of TEXT_FILTERS) {
    const text = given[name];
    if (text === undefined) continue;
    if (text.trim() === '') return invalid(name, 'must not be blank; leave it out to have all');
    if ([...text].length > FILTER_MAX) return invalid(name, `must have at most ${FILTER_MAX} characters`);
    values[name] = text;
  }
  for (const name of TIME_FILTERS) {
    const text = given[name];
    if (text === undefined) continue;
    const value = readTime(text);
    if (value === null) return invalid(name, 'must be a time with its zone such as 2026-01-31T12:00:00Z');
    values[name] = value;
  }
  return { status, ...values };
}

const timeSchema = z.iso.datetime({ offset: true });

function readTime(text: string): string | null {
  // An unescaped + of a zone arrives as a space.
  const iso = text.replace(' ', '+');
  const milliseconds = timeSchema.safeParse(iso).success ? Date.parse(iso) : Number.NaN;
  return Number.isNaN(milliseconds) ? null : new Date(milliseconds).toISOString();
}

async function answer(
  exchange: AuthenticatedExchange,
  request: ListRequest,
  find: () => Promise<ContextPage>,
  extraText?: (page: ContextPage) => string,
): Promise<Answer> {
  const page = await find();
  const bodies = await openBodies(exchange, page.bodies);
  const nextCursor =
    page.next && writeCursor(request.fingerprint, [page.next.tier, page.next.rowid, page.next.isCorrected]);
  const extra = extraText ? `,"highlights":${extraText(page)}` : '';
  return jsonText(exchange, 200, `{"items":[${bodies.join(',')}],"nextCursor":${JSON.stringify(nextCursor)}${extra}}`);
}

/** The bodies with people's words in them, which the contexts alone can open; one that may not be read any more goes. */
async function openBodies({ env, principal }: AuthenticatedExchange, bodies: readonly string[]): Promise<string[]> {
  const opened = await Promise.all(
    bodies.map((body) => {
      if (countSealed(body) === 0) return body;
      const { id }: z.infer<typeof contextBody> = JSON.parse(body);
      return env.CONTEXTS.get(env.CONTEXTS.idFromName(id)).openedText(principal, body);
    }),
  );
  return opened.filter((body) => body !== null);
}

function highlightsText({ bodies, terms }: ContextPage): string {
  const entries = bodies.map((body) => {
    const { id, name, description }: z.infer<typeof contextBody> = JSON.parse(body);
    return [id, { name: spansOf(name, terms), description: spansOf(description, terms) }];
  });
  return JSON.stringify(Object.fromEntries(entries));
}
