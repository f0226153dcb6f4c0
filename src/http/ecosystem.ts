import { z } from 'zod';
import { hasChittyOs } from '../chittyos/env.ts';
import { forEachService } from '../chittyos/failure.ts';
import type { EcosystemHealth } from '../chittyos/probes.ts';
import { type ChittyOs, chittyOs } from '../chittyos/services.ts';
import { within } from '../chittyos/single-flight.ts';
import type { Env } from '../env.ts';
import { Cached } from '../metrics/cached.ts';
import { problems } from './operations.ts';
import { isProblem } from './problem.ts';
import { readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { AuthenticatedRoute } from './route.ts';

/** How long all checks may take: two seconds are promised, and the answer itself takes a moment. */
const CHECK_MAX_MS = 1_900;

/** Characters of what the database says. */
const DETAIL_CHARS = 300;

/** What is known of ChittyOS; null when there is none. */
export function servicesOf(env: Env): Pick<ChittyOs, 'probeAll' | 'status'> | null {
  return hasChittyOs(env) ? chittyOs(env) : null;
}

const status = z.enum(['up', 'degraded', 'down', 'unknown']);
const time = z.iso.datetime();
const latency = z.number().nullable().meta({ description: 'Of this check, in ms; null when nothing was sent' });
const detail = z.string().nullable().meta({ description: 'What is wrong' });

const serviceHealth = z.strictObject({
  status: status.meta({ description: 'degraded: it answers, and turns us away or says it is not well' }),
  latencyMs: latency,
  breaker: z.enum(['closed', 'open', 'half-open']).meta({ description: 'open: it has failed and is left alone' }),
  lastSuccessAt: time.nullable().meta({ description: 'Of any call by the isolate that answers' }),
  lastFailure: z.strictObject({ at: time, kind: z.string(), detail: z.string() }).nullable(),
  lastLatencyMs: z.number().nullable(),
  detail,
});

const databaseHealth = z.strictObject({
  status,
  latencyMs: latency,
  lastSuccessAt: time.nullable(),
  detail,
});
type DatabaseHealth = z.infer<typeof databaseHealth>;

const ecosystemBody = z
  .strictObject({
    status: z
      .enum(['up', 'degraded', 'down'])
      .meta({ description: 'up: everything is; down: nothing that was checked answers; degraded: all else' }),
    configured: z.boolean().meta({ description: 'Whether there is a ChittyOS' }),
    checkedAt: time,
    database: databaseHealth,
    services: z.record(z.string(), serviceHealth),
  })
  .meta({ id: 'Ecosystem' });

/** GET /v1/health/ecosystem */
export const ecosystem: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/health/ecosystem',
  access: 'health.read',
  operation: {
    operationId: 'ecosystem',
    tags: ['service'],
    summary: 'How the services around this one are',
    description:
      'Each ChittyOS service and the database of the read models, asked something harmless at most every 30 s; a ' +
      'service that calls have failed to reach since is down at once. It answers 200 whatever it finds, within 2 s.',
    responses: {
      200: { description: 'What was found', content: { 'application/json': { schema: ecosystemBody } } },
      ...problems(400, 401, 403),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const { env } = exchange;
    const services = servicesOf(env);
    const [database, found] = await Promise.all([checkDatabase(env.DB), services?.probeAll(CHECK_MAX_MS) ?? null]);
    const latest = services && found ? withLatest(found, services) : {};
    const body: z.infer<typeof ecosystemBody> = {
      status: overall([database.status, ...Object.values(latest).map((service) => service.status)]),
      configured: services !== null,
      checkedAt: found?.checkedAt ?? new Date().toISOString(),
      database,
      services: latest,
    };
    return jsonText(exchange, 200, JSON.stringify(body));
  },
};

/** What was found, with what the calls since then have shown: that costs nothing, and is newer. */
function withLatest(
  { services }: EcosystemHealth,
  clients: Pick<ChittyOs, 'status'>,
): Record<string, z.infer<typeof serviceHealth>> {
  const latest = clients.status();
  return forEachService((service) => {
    const { status, latencyMs, detail } = services[service];
    const { breaker, lastFailure } = latest[service];
    const isLeftAlone = breaker === 'open' && status === 'up';
    return {
      status: isLeftAlone ? 'down' : status,
      latencyMs,
      ...latest[service],
      detail: isLeftAlone ? (lastFailure?.detail ?? detail) : detail,
    };
  });
}

function overall(statuses: readonly z.infer<typeof status>[]): 'up' | 'degraded' | 'down' {
  if (statuses.every((each) => each === 'up')) return 'up';
  return statuses.every((each) => each === 'down') ? 'down' : 'degraded';
}

/** What is remembered of a database. */
interface DatabaseMemory {
  readonly cache: Cached<DatabaseHealth>;
  lastSuccessAt: string | null;
}

const databases = new WeakMap<D1Database, DatabaseMemory>();

async function checkDatabase(db: D1Database): Promise<DatabaseHealth> {
  const memory: DatabaseMemory = databases.get(db) ?? { cache: new Cached(), lastSuccessAt: null };
  databases.set(db, memory);
  const found = await memory.cache.get(() => queryDatabase(db, memory), CHECK_MAX_MS);
  return (
    found ?? {
      status: 'unknown',
      latencyMs: null,
      lastSuccessAt: memory.lastSuccessAt,
      detail: 'It was not asked in time.',
    }
  );
}

/** Never rejects, and ends a little before the one who waits for it would give up. */
async function queryDatabase(db: D1Database, memory: DatabaseMemory): Promise<DatabaseHealth> {
  const startedAt = Date.now();
  const answer = (problem: string | null): DatabaseHealth => {
    if (problem === null) memory.lastSuccessAt = new Date().toISOString();
    return {
      status: problem === null ? 'up' : 'down',
      latencyMs: Date.now() - startedAt,
      lastSuccessAt: memory.lastSuccessAt,
      detail: problem?.slice(0, DETAIL_CHARS) ?? null,
    };
  };
  try {
    const rows = await within(db.prepare('SELECT 1').all(), CHECK_MAX_MS - 100);
    return answer(rows ? null : 'It did not answer in time.');
  } catch (error) {
    return answer(error instanceof Error ? error.message : String(error));
  }
}
