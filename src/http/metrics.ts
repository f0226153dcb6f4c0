import { z } from 'zod';
import { nextUlid } from '../../events/ulid.ts';
import { mayReadMetrics } from '../auth/identify.ts';
import type { Env } from '../env.ts';
import { coldFamilies } from '../metrics/cold.ts';
import { databaseFamily } from '../metrics/database.ts';
import { objectFamilies } from '../metrics/objects.ts';
import { type MetricFamily, OPENMETRICS_TYPE, openMetricsText } from '../metrics/openmetrics.ts';
import { outboxFamilies } from '../metrics/outbox.ts';
import { queueFamily } from '../metrics/queue.ts';
import { requestFamilies } from '../metrics/requests.ts';
import { webhookFamily } from '../metrics/webhooks.ts';
import { servicesOf } from './ecosystem.ts';
import { problems } from './operations.ts';
import { isProblem } from './problem.ts';
import { readQuery } from './query.ts';
import type { SelfAuthenticatingRoute } from './route.ts';

const BREAKER_STATES = ['closed', 'open', 'half-open'] as const;

/** GET /metrics */
export const metrics: SelfAuthenticatingRoute = {
  method: 'GET',
  path: '/metrics',
  access: 'self-authenticating',
  action: 'admin.read',
  operation: {
    operationId: 'metrics',
    tags: ['service'],
    summary: 'Metrics as OpenMetrics 1.0 text',
    description:
      'For the administrator’s key, and for the key in METRICS_API_KEY, which opens nothing else. Counters are in the ' +
      'memory of the isolate that answers: chittyconnect_isolate_info names it.',
    responses: {
      200: { description: 'The metrics', content: { [OPENMETRICS_TYPE]: { schema: z.string() } } },
      ...problems(400, 401, 403),
    },
  },
  async handle(exchange) {
    const refusal = await mayReadMetrics(exchange);
    if (refusal) return refusal;
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const text = openMetricsText([
      isolateFamily(),
      ...requestFamilies(),
      ...objectFamilies(),
      ...(await outboxFamilies(exchange.env)),
      ...(await coldFamilies(exchange.env)),
      queueFamily(),
      breakerFamily(exchange.env),
      databaseFamily(),
      webhookFamily(),
    ]);
    const headers = { 'Content-Type': OPENMETRICS_TYPE, 'Cache-Control': 'no-store', ...exchange.headers };
    return new Response(text, { headers });
  },
};

let isolateId: string | null = null;

/** Tells apart whose counters a scrape got. */
function isolateFamily(): MetricFamily {
  // Not when the module loads: there is neither a clock nor chance then.
  isolateId ??= nextUlid(Date.now());
  return {
    name: 'chittyconnect_isolate',
    type: 'info',
    help: 'The isolate that answered. All counters here are its own and begin with it.',
    samples: [{ suffix: '_info', labels: { isolate: isolateId }, value: 1 }],
  };
}

function breakerFamily(env: Env): MetricFamily {
  const name = 'chittyconnect_circuit_breaker';
  return {
    name,
    type: 'stateset',
    help: 'Circuit breakers of the ChittyOS services as this isolate has them; none when there is no ChittyOS.',
    samples: Object.entries(servicesOf(env)?.status() ?? {}).flatMap(([service, { breaker }]) =>
      BREAKER_STATES.map((state) => ({
        suffix: '',
        labels: { service, [name]: state },
        value: breaker === state ? 1 : 0,
      })),
    ),
  };
}
