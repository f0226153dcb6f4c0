import { readBody } from './body.ts';
import { revertContextBody } from './context-schemas.ts';
import { change, changeResponse } from './contexts.ts';
import {
  changeHeaders,
  conflictResponse,
  contextResponse,
  idempotencyParameter,
  ifMatchParameter,
  jsonBody,
  problems,
} from './operations.ts';
import { isProblem } from './problem.ts';
import type { AuthenticatedRoute } from './route.ts';

/** POST /v1/contexts/{id}/revert */
export const revertContext: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/contexts/:id/revert',
  access: 'context.update',
  operation: {
    operationId: 'revertContext',
    tags: ['contexts'],
    summary: 'Bring a context back to what it was',
    description:
      'Name, description, systems, tools and metadata become what they were, by a new event: nothing that happened is ' +
      'taken back. One that changes nothing writes nothing and answers with the same ETag. When the present value of ' +
      'something that would change was written by somebody else since, it is refused (409, `conflict`), and ' +
      '`conflicts` names what, by whom and in which version, up to 20 of them.',
    requestParams: { header: idempotencyParameter.extend(ifMatchParameter.shape) },
    requestBody: jsonBody(revertContextBody),
    responses: {
      200: contextResponse('The context after the change', changeHeaders),
      ...problems(400, 401, 403, 404, 412, 413, 415, 422),
      409: conflictResponse,
    },
  },
  async handle(exchange) {
    const body = await readBody(exchange, revertContextBody);
    if (isProblem(body)) return body;
    return change(exchange, { type: 'revert', ...body }, (reply) => changeResponse(exchange, reply, 200));
  },
};
