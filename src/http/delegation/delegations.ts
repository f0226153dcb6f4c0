import { z } from 'zod';
import { isRefusal } from '../../../actors/decider.ts';
import type { DelegationRecord } from '../../../actors/delegation-record.ts';
import { SYSTEM } from '../../../actors/principal.ts';
import { delegatorOf } from '../../../events/delegation.ts';
import { accessView } from '../../auth/access-views.ts';
import { actorObject, executeOn } from '../actors/address.ts';
import type { AuthenticatedExchange } from '../exchange.ts';
import { problems } from '../operations.ts';
import { invalid, isProblem, type Problem, problemOf } from '../problem.ts';
import { readOptionalInteger, readQuery } from '../query.ts';
import { empty, jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { bodyOf } from './delegate.ts';
import { delegationBody } from './schemas.ts';

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 50;

const PATH = '/v1/delegate/:id';

type Body = z.infer<typeof delegationBody>;

/** GET /v1/delegate */
export const listDelegations: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/delegate',
  access: 'delegation.list',
  operation: {
    operationId: 'listDelegations',
    tags: ['delegation'],
    summary: 'What you have handed on, or what was handed to you, newest first',
    description:
      'What has expired is not listed, nor is what you have revoked. What was handed to you is here a moment later. A page ' +
      'may have fewer than `limit`, while `nextCursor` leads on.',
    requestParams: {
      query: z.object({
        role: z.enum(['given', 'received']).default('given'),
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT),
        cursor: z.string().optional().meta({ description: 'nextCursor of the page before' }),
      }),
    },
    responses: {
      200: {
        description: 'Delegations',
        content: {
          'application/json': {
            schema: z.strictObject({ items: z.array(delegationBody), nextCursor: z.string().nullable() }),
          },
        },
      },
      ...problems(400, 401, 403),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['role', 'limit', 'cursor']);
    if (isProblem(query)) return query;
    const { role = 'given', cursor } = query;
    if (role !== 'given' && role !== 'received') return invalid('role', 'must be given or received');
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    if (cursor !== undefined && delegatorOf(cursor) === null) {
      return invalid('cursor', 'must be the nextCursor of the page before; start without one');
    }
    const list = role === 'given' ? given : received;
    const page = await list(exchange, cursor ?? null, limit);
    if (isProblem(page)) return page;
    return jsonText(exchange, 200, JSON.stringify({ items: page.items.map(bodyOf), nextCursor: page.nextCursor }));
  },
};

/** A part of a list, and where the next one begins; null when there is none. */
interface Page {
  readonly items: readonly DelegationRecord[];
  readonly nextCursor: string | null;
}

async function given(exchange: AuthenticatedExchange, cursor: string | null, limit: number): Promise<Page | Problem> {
  const records = await actorObject(exchange, exchange.principal.actor).delegations(exchange.principal);
  if ('refused' in records) return problemOf(records);
  // Ids that were derived from an Idempotency-Key do not sort by time.
  const byId = records.toSorted((a, b) => (a.id < b.id ? 1 : -1));
  const items = byId.filter(({ id }) => cursor === null || id < cursor).slice(0, limit);
  return {
    items,
    nextCursor: cursorAfter(
      items.map(({ id }) => id),
      limit,
    ),
  };
}

async function received(
  exchange: AuthenticatedExchange,
  cursor: string | null,
  limit: number,
): Promise<Page | Problem> {
  const { principal } = exchange;
  const ids = await actorObject(exchange, principal.actor).receivedDelegations(principal, cursor, limit);
  if ('refused' in ids) return problemOf(ids);
  const records = await Promise.all(
    ids.map((id) => actorObject(exchange, delegatorOf(id) ?? principal.actor).delegation(principal, id)),
  );
  const items = records.filter((record): record is DelegationRecord => !isRefusal(record));
  // One that cannot be read is left out, and must not end the list.
  return { items, nextCursor: cursorAfter(ids, limit) };
}

function cursorAfter(ids: readonly string[], limit: number): string | null {
  return ids.length === limit ? (ids.at(-1) ?? null) : null;
}

/** GET /v1/delegate/{id} */
export const readDelegation: AuthenticatedRoute = {
  method: 'GET',
  path: PATH,
  access: 'delegation.read',
  operation: {
    operationId: 'readDelegation',
    tags: ['delegation'],
    summary: 'Look at a delegation, with the chain up to the one whose rights these are',
    description:
      'For those between whom the rights passed, and administrators; also when it has ended. The `credential` of an event ' +
      'that was caused with a delegated token is the id of the delegation.',
    responses: {
      200: { description: 'The delegation', content: { 'application/json': { schema: delegationBody } } },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const place = addressed(exchange);
    if (isProblem(place)) return place;
    const record = await actorObject(exchange, place.by).delegation(exchange.principal, place.id);
    if (isRefusal(record)) return problemOf(record);
    return jsonText(exchange, 200, JSON.stringify(await withChain(exchange, record)));
  },
};

/** DELETE /v1/delegate/{id} */
export const revokeDelegation: AuthenticatedRoute = {
  method: 'DELETE',
  path: PATH,
  access: 'delegation.revoke',
  operation: {
    operationId: 'revokeDelegation',
    tags: ['delegation'],
    summary: 'Take back what was handed on',
    description:
      'By those who gave it or are above them in the chain, by the one who has it, or by an administrator. It and all ' +
      'that was made from it ends within 5 s; what is open is closed.',
    responses: { 204: { description: 'It has ended' }, ...problems(400, 401, 403, 404) },
  },
  async handle(exchange) {
    const place = addressed(exchange);
    if (isProblem(place)) return place;
    const command = { type: 'revokeDelegation', delegation: place.id, withToken: false } as const;
    const reply = await executeOn(exchange, place.by, command);
    return isRefusal(reply) ? problemOf(reply) : empty(exchange, 204);
  },
};

/** The delegation in the path and who made it; no object is asked for an id that cannot be one. */
function addressed({ request }: AuthenticatedExchange): { readonly id: string; readonly by: string } | Problem {
  const query = readQuery(request, []);
  if (isProblem(query)) return query;
  const id = request.params?.id ?? '';
  const by = delegatorOf(id);
  return by === null ? { problem: 'not-found', detail: 'There is no delegation with this id.' } : { id, by };
}

/** Adds how each link above stands, and what follows from that. */
async function withChain(exchange: AuthenticatedExchange, record: DelegationRecord): Promise<Body> {
  const body = bodyOf(record);
  const chain = await Promise.all(
    body.chain.map(async ({ id, by }) => {
      const [link, view] = await Promise.all([
        actorObject(exchange, by).delegation(SYSTEM, id),
        accessView(exchange.env, by),
      ]);
      const status = isRefusal(link) ? 'revoked' : link.status;
      return { id, by, status: view.status === 'active' ? status : 'interrupted' } as const;
    }),
  );
  const [giver, user] = await Promise.all([accessView(exchange.env, body.by), accessView(exchange.env, body.to)]);
  const areActive = giver.status === 'active' && user.status === 'active';
  const isOpen = body.status === 'active' || body.status === 'pending';
  const isWhole = areActive && chain.every(({ status }) => status === 'active');
  return { ...body, chain, status: isOpen && !isWhole ? 'interrupted' : body.status };
}
