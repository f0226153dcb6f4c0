import { z } from 'zod';
import { problems } from './operations.ts';
import { jsonText } from './respond.ts';
import type { PublicRoute } from './route.ts';

/** GET /health */
export const health: PublicRoute = {
  method: 'GET',
  path: '/health',
  access: 'public',
  isUnlimited: true,
  operation: {
    operationId: 'health',
    tags: ['service'],
    summary: 'Whether the service answers',
    description: 'It answers 200 as soon as requests are served. It looks at nothing else.',
    security: [],
    responses: {
      200: {
        description: 'It does',
        content: { 'application/json': { schema: z.strictObject({ status: z.literal('ok') }) } },
      },
      ...problems(400),
    },
  },
  handle(exchange) {
    return jsonText(exchange, 200, '{"status":"ok"}');
  },
};
