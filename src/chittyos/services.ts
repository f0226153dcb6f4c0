import { inBackground } from '../background.ts';
import type { Connection, Send } from './call.ts';
import { chittyAuthClient } from './chitty-auth.ts';
import { chittyCertifyClient } from './chitty-certify.ts';
import { chittyChronicleClient } from './chitty-chronicle.ts';
import { chittyDnaClient } from './chitty-dna.ts';
import { chittyIdClient } from './chitty-id.ts';
import { chittyRegistryClient } from './chitty-registry.ts';
import { chittyVerifyClient } from './chitty-verify.ts';
import type { ChittyOsEnv } from './env.ts';
import { forEachService, type ServiceName } from './failure.ts';
import { type EcosystemHealth, ProbeCache } from './probes.ts';
import { RegistryCache, type WaitUntil } from './registry-cache.ts';
import { ServiceHealth, type ServiceStatus } from './service-health.ts';

/** Where the services are when nothing else is said, and where the embedded ones answer. */
const DEFAULT_URLS: Readonly<Record<ServiceName, string>> = {
  id: 'https://id.chitty.cc',
  auth: 'https://auth.chitty.cc',
  registry: 'https://registry.chitty.cc',
  dna: 'https://dna.chitty.cc',
  verify: 'https://verify.chitty.cc',
  certify: 'https://certify.chitty.cc',
  chronicle: 'https://chronicle.chitty.cc',
};

/** The names of each service's secret and variable. */
const SETTINGS = {
  id: { token: 'CHITTY_ID_SERVICE_TOKEN', url: 'CHITTY_ID_URL' },
  auth: { token: 'CHITTY_AUTH_SERVICE_TOKEN', url: 'CHITTY_AUTH_URL' },
  registry: { token: 'CHITTY_REGISTRY_TOKEN', url: 'CHITTY_REGISTRY_URL' },
  dna: { token: 'CHITTY_DNA_TOKEN', url: 'CHITTY_DNA_URL' },
  verify: { token: 'CHITTY_VERIFY_TOKEN', url: 'CHITTY_VERIFY_URL' },
  certify: { token: 'CHITTY_CERTIFY_TOKEN', url: 'CHITTY_CERTIFY_URL' },
  chronicle: { token: 'CHITTY_CHRONICLE_TOKEN', url: 'CHITTY_CHRONICLE_URL' },
} as const satisfies Record<ServiceName, { token: keyof ChittyOsEnv; url: keyof ChittyOsEnv }>;

/** What an isolate remembers of the services from one request to the next. Nothing in it is needed to be right. */
export class ServiceMemory {
  readonly #health = new Map<string, ServiceHealth>();
  readonly #registries = new Map<string, RegistryCache>();
  readonly #probes = new Map<string, ProbeCache>();

  /** @param place tells services of one name at different places apart */
  health(place: string): ServiceHealth {
    return remembered(this.#health, place, () => new ServiceHealth());
  }

  registry(place: string): RegistryCache {
    return remembered(this.#registries, place, () => new RegistryCache());
  }

  probes(places: string): ProbeCache {
    return remembered(this.#probes, places, () => new ProbeCache());
  }
}

function remembered<Value>(known: Map<string, Value>, key: string, create: () => Value): Value {
  const value = known.get(key) ?? create();
  known.set(key, value);
  return value;
}

const isolateMemory = new ServiceMemory();

/** What tests replace. */
export interface ChittyOsDependencies {
  /** The network. */
  readonly fetch?: Send;
  readonly memory?: ServiceMemory;
  readonly waitUntil?: WaitUntil;
}

/** A connection, and where it leads. */
interface PlacedConnection extends Connection {
  readonly place: string;
}

/**
 * The clients of all ChittyOS services. Cheap: make one per request or object; what they share is in the isolate.
 */
export function chittyOs(env: ChittyOsEnv, dependencies: ChittyOsDependencies = {}) {
  const { memory = isolateMemory } = dependencies;
  const send: Send = dependencies.fetch ?? ((url, init) => fetch(url, init));
  const connections = forEachService((service) => connect(service, env, send, memory));
  const registry = {
    cache: memory.registry(connections.registry.place),
    waitUntil: dependencies.waitUntil ?? inBackground,
    fallback: env.CHITTY_REGISTRY_FALLBACK,
  };
  const clients = {
    id: chittyIdClient(connections.id),
    auth: chittyAuthClient(connections.auth),
    registry: chittyRegistryClient(connections.registry, registry),
    dna: chittyDnaClient(connections.dna),
    verify: chittyVerifyClient(connections.verify),
    certify: chittyCertifyClient(connections.certify),
    chronicle: chittyChronicleClient(connections.chronicle),
  };
  return {
    ...clients,
    /** What this isolate knows of each service, without asking anybody. */
    status(): Record<ServiceName, ServiceStatus> {
      return forEachService((service) => connections[service].health.status);
    },
    /**
     * Asks every service something harmless, all at once. Answers within `timeoutMs`, whatever they do; what was found
     * is remembered for 30 seconds.
     */
    probeAll(timeoutMs: number): Promise<EcosystemHealth> {
      const places = Object.values(connections).map((connection) => connection.place);
      return memory.probes(places.join(' ')).get(connections, timeoutMs);
    },
  };
}

/** All clients of ChittyOS. */
export type ChittyOs = ReturnType<typeof chittyOs>;

/** With its own token a service is called over the network, without one among the embedded services. */
function connect(service: ServiceName, env: ChittyOsEnv, send: Send, memory: ServiceMemory): PlacedConnection {
  const settings = SETTINGS[service];
  const token = env[settings.token]?.trim();
  if (token) {
    const baseUrl = env[settings.url]?.trim() || DEFAULT_URLS[service];
    const place = `${service} ${baseUrl}`;
    return { service, baseUrl, token, send, place, health: memory.health(place) };
  }
  const { CHITTYOS: embedded, CHITTYOS_TOKEN } = env;
  const embeddedToken = CHITTYOS_TOKEN?.trim() ?? '';
  const place = `${service} embedded`;
  return {
    service,
    baseUrl: DEFAULT_URLS[service],
    token: embeddedToken,
    send: embedded ? (url, init) => embedded.fetch(url, init) : send,
    place,
    health: memory.health(place),
    ...((!embedded || embeddedToken === '') && {
      misconfigured: `Set ${settings.token}, or bind the embedded services as CHITTYOS and set CHITTYOS_TOKEN.`,
    }),
  };
}
