import { z } from 'zod';
import { type CallOptions, type Connection, call, type Operation } from './call.ts';
import type { CallResult } from './failure.ts';
import type { Discovery, RegistryCache, WaitUntil } from './registry-cache.ts';

const registeredService = z.looseObject({
  id: z.string().min(1),
  name: z.string(),
  type: z.string().optional(),
  baseUrl: z.string().optional(),
  capabilities: z.array(z.string()).default([]),
  /** A word such as `healthy`, a URL, or more. */
  health: z.unknown().optional(),
});

/** A service as the registry knows it. */
export type RegisteredService = z.infer<typeof registeredService>;

/** What a service registers. */
export interface RegisterRequest {
  readonly chittyid: string;
  readonly name: string;
  readonly type: string;
  readonly baseUrl?: string;
  readonly capabilities: readonly string[];
  /** Where its health is read, or what it is. */
  readonly health: unknown;
}

const discoverAnswer = z.looseObject({
  services: z.array(registeredService),
  /** Where the next page begins; missing or null on the last one. */
  nextAfter: z.union([z.string(), z.int()]).nullish(),
});

const discover: Operation<z.infer<typeof discoverAnswer>> = {
  name: 'discover',
  method: 'GET',
  answer: discoverAnswer,
};

/** Pages of the list that are read at most: thousands of services, and a bound on what an isolate remembers. */
const PAGES_MAX = 10;

/** How long all pages together may take: less than others wait for them. */
const DISCOVER_BUDGET_MS = 12_000;

/**
 * What contexts register as. There may be millions of them and nobody discovers them here, so they are asked to be left
 * out; a registry that does not know how gives them, and they are passed over.
 */
const CONTEXT_TYPE = 'context';

/** Asks the registry for all services, page by page. */
async function discoverAll(
  connection: Connection,
  options: CallOptions = {},
): Promise<CallResult<readonly RegisteredService[]>> {
  const deadline = Date.now() + Math.min(options.budgetMs ?? DISCOVER_BUDGET_MS, DISCOVER_BUDGET_MS);
  const services: RegisteredService[] = [];
  let after: string | number | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const request = { path: ['api', 'services'], query: { exclude: CONTEXT_TYPE, after } };
    const budgetMs = Math.max(deadline - Date.now(), 1);
    const found = await call(connection, discover, request, { ...options, budgetMs });
    if (!found.ok) return found;
    services.push(...found.value.services.filter(({ type }) => type !== CONTEXT_TYPE));
    if (found.value.nextAfter === undefined || found.value.nextAfter === null) break;
    after = found.value.nextAfter;
  }
  return { ok: true, value: services };
}

const service: Operation<RegisteredService> = {
  name: 'service',
  method: 'GET',
  answer: z.union([
    z.looseObject({ service: registeredService }).transform((answer) => answer.service),
    registeredService,
  ]),
};

const text = z.string().optional();
const flag = z.boolean().optional();

const registerAnswer = z
  .looseObject({ id: text, chittyid: text, service: z.looseObject({}).optional(), registered: flag, success: flag })
  .refine(
    ({ id, chittyid, service, registered, success }) => Boolean(id ?? chittyid ?? service ?? registered ?? success),
    'does not say that the service was registered',
  );

const register: Operation<z.infer<typeof registerAnswer>> = {
  name: 'register',
  method: 'POST',
  answer: registerAnswer,
  // The service keeps one entry for each ChittyID.
  isIdempotent: true,
};

/** What a registry's client needs beside its connection. */
export interface RegistryDependencies {
  readonly cache: RegistryCache;
  readonly waitUntil: WaitUntil;
  /** The variable CHITTY_REGISTRY_FALLBACK: the list for when the registry cannot be asked and never could. */
  readonly fallback: string | undefined;
}

/** ChittyRegistry: which services there are. */
export function chittyRegistryClient(connection: Connection, { cache, waitUntil, fallback }: RegistryDependencies) {
  const discoverServices = async (options?: CallOptions): Promise<CallResult<Discovery>> => {
    const found = await cache.get(() => discoverAll(connection, options), waitUntil);
    if (found.ok || fallback === undefined || fallback.trim() === '') return found;
    const services = parseFallback(fallback);
    if (services) return { ok: true, value: { services, source: 'fallback', asOf: null } };
    const detail = `${found.failure.detail} CHITTY_REGISTRY_FALLBACK is no help: it is not a JSON list of services.`;
    return { ok: false, failure: { ...found.failure, detail } };
  };
  return {
    /**
     * All services. Remembered for 5 minutes and renewed in the background before that; while the registry fails, the
     * last list it gave, at most a day old; then the configured one.
     */
    discover: discoverServices,
    /** One service, from the registry itself; from the list that is known when it fails. */
    async service(id: string, options?: CallOptions): Promise<CallResult<RegisteredService>> {
      const asked = await call(connection, service, { path: ['api', 'services', id] }, options);
      if (asked.ok || !asked.failure.retryable) return asked;
      const known = await discoverServices(options);
      const found = known.ok ? known.value.services.find((candidate) => candidate.id === id) : undefined;
      return found ? { ok: true, value: found } : asked;
    },
    /** Registers a service under its ChittyID. `discover` shows it when its list is next renewed. */
    register(request: RegisterRequest, options?: CallOptions) {
      const path = ['api', 'services', 'register'];
      return call(connection, register, { path, body: request, chittyId: request.chittyid }, options);
    },
  };
}

/** The last list that was parsed, and its text: it is a variable and hardly ever changes. */
let parsed: { readonly text: string; readonly services: readonly RegisteredService[] | null } | null = null;

/** Reads the configured list. @returns null when it is not one */
function parseFallback(text: string): readonly RegisteredService[] | null {
  if (parsed?.text !== text) parsed = { text, services: readServices(text) };
  return parsed.services;
}

function readServices(text: string): readonly RegisteredService[] | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const list = z.array(registeredService).safeParse(value);
  if (list.success) return list.data;
  const answer = discoverAnswer.safeParse(value);
  return answer.success ? answer.data.services : null;
}
