import { z } from 'zod';
import { type Connection, call, type Operation } from './call.ts';
import { type CallResult, forEachService, isTurnedAway, type ServiceName } from './failure.ts';
import type { CallRequest } from './request.ts';
import type { ServiceStatus } from './service-health.ts';
import { SingleFlight } from './single-flight.ts';

/** How long what was found is remembered. */
const FRESH_MS = 30_000;

/** A ChittyID that exists: the question whether it does is harmless. */
const KNOWN_CHITTY_ID = '03-1-USA-5537-P-2602-0-38';

/** The id of a thing that does not exist: being told so shows that the service works. */
const NOTHING = 'chittyconnect-probe';

/** A question to a service, and what must be in the answer. */
interface Probe {
  readonly operation: Operation<unknown>;
  readonly request: CallRequest;
}

const asking = (answer: z.ZodType) =>
  ({ name: 'probe', method: 'POST', answer, isIdempotent: true, mayCarryError: true }) as const;
const reading = (answer: z.ZodType) => ({ name: 'probe', method: 'GET', answer }) as const;
const list = z.array(z.unknown());

/** None of the documented operations is a health check, so each service is asked for what it is there for. */
const PROBES: Readonly<Record<ServiceName, Probe>> = {
  id: {
    operation: asking(z.looseObject({ valid: z.boolean() })),
    request: { path: ['v1', 'validate'], body: { chittyid: KNOWN_CHITTY_ID } },
  },
  auth: {
    operation: asking(z.looseObject({ valid: z.boolean() })),
    request: { path: ['api', 'verify'], body: { token: NOTHING } },
  },
  registry: { operation: reading(z.looseObject({ services: list })), request: { path: ['api', 'services'] } },
  dna: { operation: reading(z.looseObject({ id: z.string() })), request: { path: ['api', 'dna', NOTHING] } },
  verify: {
    operation: asking(z.union([z.looseObject({ valid: z.boolean() }), z.looseObject({ status: z.string() })])),
    request: { path: ['api', 'verify', 'chittyid'], body: { chittyid: KNOWN_CHITTY_ID } },
  },
  certify: {
    operation: reading(z.looseObject({ id: z.string() })),
    request: { path: ['api', 'certificates', NOTHING] },
  },
  chronicle: {
    operation: reading(z.union([list, z.looseObject({ entries: list })])),
    request: { path: ['api', 'entries'], query: { limit: 1 } },
  },
};

/** A service's health: `degraded` answers, but not us (a wrong token, too many calls); `unknown` was not asked in time. */
export interface ProbedService extends ServiceStatus {
  readonly status: 'up' | 'degraded' | 'down' | 'unknown';
  /** How long this answer took, in milliseconds; null when nothing was sent. */
  readonly latencyMs: number | null;
  /** What is wrong, for a person; null when nothing is. */
  readonly detail: string | null;
}

/** The health of all services. */
export interface EcosystemHealth {
  /** ISO 8601. */
  readonly checkedAt: string;
  readonly services: Readonly<Record<ServiceName, ProbedService>>;
}

type Connections = Readonly<Record<ServiceName, Connection>>;

/** The last look at all services, in the memory of an isolate. */
export class ProbeCache {
  readonly #flight = new SingleFlight<EcosystemHealth>();
  #last: { readonly health: EcosystemHealth; readonly at: number } | null = null;

  /** The health of all services, not older than 30 seconds. Answers within `timeoutMs`, whatever they do. */
  async get(connections: Connections, timeoutMs: number): Promise<EcosystemHealth> {
    if (this.#last && Date.now() - this.#last.at < FRESH_MS) return this.#last.health;
    const found = await this.#flight.run(async () => {
      const health = await probeServices(connections, timeoutMs);
      this.#last = { health, at: Date.now() };
      return health;
    }, timeoutMs);
    return found ?? unprobed(connections);
  }
}

async function probeServices(connections: Connections, timeoutMs: number): Promise<EcosystemHealth> {
  const probe = (service: ServiceName) => probeService(connections[service], PROBES[service], timeoutMs);
  const [id, auth, registry, dna, verify, certify, chronicle] = await Promise.all([
    probe('id'),
    probe('auth'),
    probe('registry'),
    probe('dna'),
    probe('verify'),
    probe('certify'),
    probe('chronicle'),
  ]);
  const services = { id, auth, registry, dna, verify, certify, chronicle };
  return { checkedAt: new Date().toISOString(), services };
}

/** Goes through the circuit breaker like any call: a service that is left alone is not probed, or probed to test it. */
async function probeService(connection: Connection, probe: Probe, timeoutMs: number): Promise<ProbedService> {
  const startedAt = Date.now();
  const options = { timeoutMs, budgetMs: timeoutMs, attemptsMax: 1 };
  const result = await call(connection, probe.operation, probe.request, options);
  const isSent = result.ok || !['circuit-open', 'configuration', 'invalid-request'].includes(result.failure.kind);
  return {
    ...connection.health.status,
    ...judge(result),
    latencyMs: isSent ? Date.now() - startedAt : null,
  };
}

function judge(result: CallResult<unknown>): Pick<ProbedService, 'status' | 'detail'> {
  if (result.ok) return { status: 'up', detail: null };
  const { failure } = result;
  if (isTurnedAway(failure)) return { status: 'degraded', detail: failure.detail };
  if (failure.status === 404) return { status: 'up', detail: null };
  return { status: 'down', detail: failure.detail };
}

function unprobed(connections: Connections): EcosystemHealth {
  const look = (service: ServiceName): ProbedService => ({
    ...connections[service].health.status,
    status: 'unknown',
    latencyMs: null,
    detail: 'It was not asked in time.',
  });
  return { checkedAt: new Date().toISOString(), services: forEachService(look) };
}
