import { z } from 'zod';
import { isWithin } from '../within.ts';
import { type Connection, call, type Operation } from './call.ts';
import { type CallResult, forEachService, isTurnedAway, type ServiceName } from './failure.ts';
import type { ServiceStatus } from './service-health.ts';
import { SingleFlight } from './single-flight.ts';

/** How long what was found is remembered. */
const FRESH_MS = 30_000;

/** Characters of what a service says of itself that are shown. */
const STATUS_CHARS = 40;

/** What a service says of itself. */
const healthAnswer = z.looseObject({ status: z.string() });

/**
 * The read that every ChittyOS service has beside its own operations. It is called with the token, so that a wrong one
 * shows here and not only when work is to be done.
 */
const health: Operation<z.infer<typeof healthAnswer>> = { name: 'health', method: 'GET', answer: healthAnswer };

/** Words with which a service says that it is not well. */
const UNWELL = /^(?:degraded|unhealthy|down|error|fail)/i;

/**
 * A service's health: `degraded` answers, but not us (a wrong token, too many calls), or says that it is not well;
 * `unknown` was not asked in time.
 */
interface ProbedService extends ServiceStatus {
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
    if (this.#last && isWithin(FRESH_MS, this.#last.at)) return this.#last.health;
    const found = await this.#flight.run(async () => {
      const health = await probeServices(connections, timeoutMs);
      this.#last = { health, at: Date.now() };
      return health;
    }, timeoutMs);
    return found ?? unprobed(connections);
  }
}

async function probeServices(connections: Connections, timeoutMs: number): Promise<EcosystemHealth> {
  const probe = (service: ServiceName) => probeService(connections[service], timeoutMs);
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
async function probeService(connection: Connection, timeoutMs: number): Promise<ProbedService> {
  const startedAt = Date.now();
  const options = { timeoutMs, budgetMs: timeoutMs, attemptsMax: 1 };
  const result = await call(connection, health, { path: ['health'] }, options);
  const isSent = result.ok || !['circuit-open', 'configuration', 'invalid-request'].includes(result.failure.kind);
  return {
    ...connection.health.status,
    ...judge(result),
    latencyMs: isSent ? Date.now() - startedAt : null,
  };
}

function judge(result: CallResult<z.infer<typeof healthAnswer>>): Pick<ProbedService, 'status' | 'detail'> {
  if (result.ok) {
    const { status } = result.value;
    return UNWELL.test(status)
      ? { status: 'degraded', detail: `It says that it is ${status.slice(0, STATUS_CHARS)}.` }
      : { status: 'up', detail: null };
  }
  const { failure } = result;
  if (isTurnedAway(failure)) return { status: 'degraded', detail: failure.detail };
  // A service that says in JSON that it has no such address is there.
  if (failure.status === 404 && failure.problem) return { status: 'up', detail: null };
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
