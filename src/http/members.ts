import { readBody } from './body.ts';
import {
  changeHeaders,
  contextResponse,
  idempotencyParameter,
  ifMatchParameter,
  jsonBody,
  problems,
} from './operations.ts';
import { changePart, endPart, PATCH_TYPES, pathPart } from './parts.ts';
import { isProblem } from './problem.ts';
import type { AuthenticatedRoute } from './route.ts';
import { changeRoleBody, transferBody } from './sharing-schemas.ts';

const PATH = '/v1/contexts/:id/members/:actor';

const conditions = { header: idempotencyParameter.extend(ifMatchParameter.shape) };

/** PATCH /v1/contexts/{id}/members/{actor} */
export const changeRole: AuthenticatedRoute = {
  method: 'PATCH',
  path: PATH,
  access: 'context.share',
  operation: {
    operationId: 'changeRole',
    tags: ['sharing'],
    summary: 'Give a member another role',
    description: 'Owners only. It holds at once. The last owner stays one.',
    requestParams: conditions,
    requestBody: jsonBody(changeRoleBody, ...PATCH_TYPES),
    responses: {
      200: contextResponse('The context with its members', changeHeaders),
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const body = await readBody(exchange, changeRoleBody, PATCH_TYPES);
    if (isProblem(body)) return body;
    return changePart(exchange, { type: 'changeRole', actor: pathPart(exchange, 'actor'), role: body.role });
  },
};

/** DELETE /v1/contexts/{id}/members/{actor} */
export const removeMember: AuthenticatedRoute = {
  method: 'DELETE',
  path: PATH,
  // Also one's own membership, which nobody has to be an owner to end.
  access: 'context.leave',
  operation: {
    operationId: 'removeMember',
    tags: ['sharing'],
    summary: 'Remove a member',
    description:
      'Owners; anybody their own membership, which is leaving. To who is removed the context does not exist from then ' +
      'on; what they watch is closed with 4403.',
    requestParams: conditions,
    responses: {
      204: { description: 'They are no member any more', headers: changeHeaders },
      ...problems(400, 401, 403, 404, 409, 412, 422),
    },
  },
  handle(exchange) {
    const actor = pathPart(exchange, 'actor');
    const isOneself = actor === exchange.principal.subject;
    return endPart(exchange, isOneself ? { type: 'leave' } : { type: 'removeMember', actor });
  },
};

/** POST /v1/contexts/{id}/leave */
export const leaveContext: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/contexts/:id/leave',
  access: 'context.leave',
  operation: {
    operationId: 'leaveContext',
    tags: ['sharing'],
    summary: 'Leave a context',
    description: 'The last owner cannot: a context always has one.',
    requestParams: conditions,
    responses: {
      204: { description: 'You are no member any more', headers: changeHeaders },
      ...problems(400, 401, 403, 404, 409, 412, 422),
    },
  },
  handle(exchange) {
    return endPart(exchange, { type: 'leave' });
  },
};

/** POST /v1/contexts/{id}/transfer */
export const transferOwnership: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/contexts/:id/transfer',
  access: 'context.share',
  operation: {
    operationId: 'transferOwnership',
    tags: ['sharing'],
    summary: 'Hand a context over to another member',
    description:
      'Owners only. `owner` of the context is then that member; the one before stays an owner, or gets `formerRole`.',
    requestParams: conditions,
    requestBody: jsonBody(transferBody),
    responses: {
      200: contextResponse('The context with its new owner', changeHeaders),
      ...problems(400, 401, 403, 404, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const body = await readBody(exchange, transferBody);
    if (isProblem(body)) return body;
    return changePart(exchange, { type: 'transferOwnership', ...body });
  },
};
