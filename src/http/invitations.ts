import { z } from 'zod';
import { isActorId } from '../../events/actor.ts';
import { INVITATION_PREFIX } from '../../events/context-sharing.ts';
import { isId } from '../../events/id.ts';
import { type InvitationPosition, invitationsOf } from '../../projections/invitations.ts';
import { accessView } from '../auth/access-views.ts';
import { readBody } from './body.ts';
import type { AuthenticatedExchange } from './exchange.ts';
import {
  changeHeaders,
  contextResponse,
  idempotencyParameter,
  ifMatchParameter,
  jsonBody,
  problems,
} from './operations.ts';
import { changePart, endPart, listed, makePart, newPartId, pathPart, readPart } from './parts.ts';
import { invalid, isProblem, type Problem } from './problem.ts';
import { readOptionalInteger, readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { AuthenticatedRoute } from './route.ts';
import { invitationBody, inviteBody } from './sharing-schemas.ts';

const PATH = '/v1/contexts/:id/invitations';
const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
/** Where a page ended: the time and the id of its last invitation. */
const CURSOR = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z)~(inv_\w{26})$/;

const conditions = { header: idempotencyParameter.extend(ifMatchParameter.shape) };

/** POST /v1/contexts/{id}/invitations */
export const sendInvitation: AuthenticatedRoute = {
  method: 'POST',
  path: PATH,
  access: 'context.share',
  operation: {
    operationId: 'sendInvitation',
    tags: ['sharing'],
    summary: 'Invite somebody to share a context',
    description:
      'Owners only. Until they accept, who is invited sees nothing of the context but its name. A context has at most ' +
      '100 members and 100 open invitations. When who sent it is not an owner any more, the invitation ends.',
    requestParams: conditions,
    requestBody: jsonBody(inviteBody),
    responses: {
      201: {
        description: 'The invitation',
        headers: changeHeaders,
        content: { 'application/json': { schema: invitationBody } },
      },
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const body = await readBody(exchange, inviteBody);
    if (isProblem(body)) return body;
    if (!(await canBeInvited(exchange, body.actor))) {
      return invalid('/actor', 'must be the id of an actor who is here and active (GET /v1/actors?q= finds them)');
    }
    const invitation = await newPartId(exchange, INVITATION_PREFIX);
    if (isProblem(invitation)) return invitation;
    return makePart(exchange, { type: 'invite', invitation, ...body });
  },
};

/** No object is asked about an id that cannot be one, because asking creates it. */
async function canBeInvited({ env }: AuthenticatedExchange, actor: string): Promise<boolean> {
  return isActorId(actor) && (await accessView(env, actor)).status === 'active';
}

/** GET /v1/contexts/{id}/invitations */
export const listContextInvitations: AuthenticatedRoute = {
  method: 'GET',
  path: PATH,
  access: 'context.invitations',
  operation: {
    operationId: 'listContextInvitations',
    tags: ['sharing'],
    summary: 'The invitations to a context that wait for an answer',
    description: 'Owners get all of them; who is invited gets their own.',
    responses: {
      200: {
        description: 'The invitations, oldest first',
        content: { 'application/json': { schema: z.strictObject({ items: z.array(invitationBody) }) } },
      },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const items = await readPart(exchange, undefined, (object) => object.invitations(exchange.principal));
    return isProblem(items) ? items : jsonText(exchange, 200, listed(items));
  },
};

/** POST /v1/contexts/{id}/invitations/{invitation}/accept */
export const acceptInvitation: AuthenticatedRoute = {
  method: 'POST',
  path: `${PATH}/:invitation/accept`,
  access: 'context.answer',
  operation: {
    operationId: 'acceptInvitation',
    tags: ['sharing'],
    summary: 'Become a member of a context',
    description: 'Only who is invited.',
    requestParams: conditions,
    responses: {
      200: contextResponse('The context, which can now be read', changeHeaders),
      ...problems(400, 401, 403, 404, 409, 412, 422),
    },
  },
  handle(exchange) {
    return changePart(exchange, { type: 'acceptInvitation', invitation: pathPart(exchange, 'invitation') });
  },
};

/** POST /v1/contexts/{id}/invitations/{invitation}/decline */
export const declineInvitation: AuthenticatedRoute = {
  method: 'POST',
  path: `${PATH}/:invitation/decline`,
  access: 'context.answer',
  operation: {
    operationId: 'declineInvitation',
    tags: ['sharing'],
    summary: 'Say no to an invitation',
    description: 'Only who is invited. To them the context does not exist after that.',
    requestParams: conditions,
    responses: {
      204: { description: 'It is declined', headers: changeHeaders },
      ...problems(400, 401, 403, 404, 412, 422),
    },
  },
  handle(exchange) {
    return endPart(exchange, { type: 'declineInvitation', invitation: pathPart(exchange, 'invitation') });
  },
};

/** DELETE /v1/contexts/{id}/invitations/{invitation} */
export const withdrawInvitation: AuthenticatedRoute = {
  method: 'DELETE',
  path: `${PATH}/:invitation`,
  access: 'context.share',
  operation: {
    operationId: 'withdrawInvitation',
    tags: ['sharing'],
    summary: 'Withdraw an invitation',
    description: 'Owners only.',
    requestParams: conditions,
    responses: {
      204: { description: 'It is withdrawn', headers: changeHeaders },
      ...problems(400, 401, 403, 404, 412, 422),
    },
  },
  handle(exchange) {
    return endPart(exchange, { type: 'withdrawInvitation', invitation: pathPart(exchange, 'invitation') });
  },
};

/** GET /v1/invitations */
export const listInvitations: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/invitations',
  access: 'invitation.list',
  operation: {
    operationId: 'listInvitations',
    tags: ['sharing'],
    summary: 'The invitations that wait for your answer, newest first',
    description: 'One shows here a moment after it was sent.',
    requestParams: {
      query: z.object({
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT),
        cursor: z.string().optional().meta({ description: 'nextCursor of the page before' }),
      }),
    },
    responses: {
      200: {
        description: 'A page of invitations',
        content: {
          'application/json': {
            schema: z.strictObject({ items: z.array(invitationBody), nextCursor: z.string().nullable() }),
          },
        },
      },
      ...problems(400, 401, 403, 503),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['limit', 'cursor']);
    if (isProblem(query)) return query;
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    const after = query.cursor === undefined ? null : readPosition(query.cursor);
    if (isProblem(after)) return after;
    const { subject, contexts } = exchange.principal;
    const now = new Date().toISOString();
    const found = await invitationsOf(exchange.env.DB, subject, contexts, now, limit + 1, after);
    const items = found.slice(0, limit);
    const nextCursor = found.length > limit ? cursorAfter(items.at(-1) ?? '') : null;
    return jsonText(exchange, 200, `{"items":[${items.join(',')}],"nextCursor":${JSON.stringify(nextCursor)}}`);
  },
};

function cursorAfter(body: string): string {
  const { sentAt, id } = invitationBody.parse(JSON.parse(body));
  return `${sentAt}~${id}`;
}

function readPosition(cursor: string): InvitationPosition | Problem {
  const [, sentAt, id] = CURSOR.exec(cursor) ?? [];
  if (sentAt !== undefined && id !== undefined && isId(INVITATION_PREFIX, id)) return { sentAt, id };
  return invalid('cursor', 'must be the nextCursor of the answer before; start without one');
}
