import { change, changeResponse } from './contexts.ts';
import { changeHeaders, contextResponse, idempotencyParameter, ifMatchParameter, problems } from './operations.ts';
import type { AuthenticatedRoute } from './route.ts';

/** POST /v1/contexts/{id}/provisioning/retry */
export const retryProvisioning: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/contexts/:id/provisioning/retry',
  access: 'context.retry',
  operation: {
    operationId: 'retryProvisioning',
    tags: ['contexts'],
    summary: 'Try the failed provisioning step again at once',
    description: 'When no step has failed, nothing is written. What comes of it shows in `provisioning`.',
    requestParams: { header: idempotencyParameter.extend(ifMatchParameter.shape) },
    responses: {
      200: contextResponse('The context', changeHeaders),
      ...problems(400, 401, 403, 404, 409, 412, 422),
    },
  },
  handle(exchange) {
    return change(exchange, { type: 'retryProvisioning' }, (reply) => changeResponse(exchange, reply, 200));
  },
};
