import { env } from 'cloudflare:workers';
import { handleRequest } from '../../embedded/edge.ts';
import type { ServiceName } from '../../embedded/service-names.ts';

/** The token that the services expect in these tests. */
export const TOKEN = 'token-of-the-embedded-tests';

/** A JSON object that a test looks into. */
type Members = Record<string, unknown>;

/** What a call gave. */
export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

/** How a call differs from a good one. */
export interface CallInit {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: BodyInit;
}

/** Sends a request to the embedded services with their token, unless the headers say otherwise. */
export function send(url: string, { json, headers, ...init }: CallInit = {}): Promise<Response> {
  const body = json === undefined ? init.body : JSON.stringify(json);
  const request = new Request(url, {
    method: init.method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      Authorization: `Bearer ${TOKEN}`,
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body }),
  });
  return handleRequest(request, { ...env, CHITTYOS_TOKEN: TOKEN });
}

/** Calls a service by its host and reads the answer. */
export async function call<Body = Members>(
  service: ServiceName | 'embedded',
  path: string,
  init?: CallInit,
): Promise<Answer<Body>> {
  const response = await send(`https://${service}.chitty.cc${path}`, init);
  const { status, headers } = response;
  return { status, headers, body: await response.json<Body>() };
}

/** Calls a service and gives the answer's body; for calls that are only there to set a stage. */
export async function done(service: ServiceName | 'embedded', path: string, init?: CallInit): Promise<Members> {
  const { status, body } = await call(service, path, init);
  if (status >= 300) throw new Error(`${service}${path}: ${status} ${JSON.stringify(body)}`);
  return body;
}

/** All pages of a list, each of at most `limit` items. */
export async function listAll(service: ServiceName, path: string, name: string, limit: number): Promise<Members[]> {
  const all: Members[] = [];
  for (let after: unknown = ''; after !== null; ) {
    const page = await done(service, `${path}?limit=${limit}&after=${encodeURIComponent(String(after))}`);
    const items = page[name];
    if (!Array.isArray(items) || items.length > limit) throw new Error(`no page of ${name}: ${JSON.stringify(page)}`);
    all.push(...items);
    after = page.nextAfter;
  }
  return all;
}

/** Mints an id of an entity type and gives it. */
export async function mint(entity = 'P', headers: Record<string, string> = {}): Promise<string> {
  return String((await done('id', '/v1/mint', { json: { entity }, headers })).id);
}

/** Begins the DNA record of an entity and gives its id. */
export async function initializeDna(chittyid: string, type = 'context'): Promise<string> {
  const genesis = { service: 'chittyconnect', timestamp: '2026-02-01T12:00:00Z', genesisSchemaVersion: '1.0' };
  return String((await done('dna', '/api/initialize', { json: { chittyid, type, metadata: { a: 1 }, genesis } })).id);
}

/** Provisions keys for a context and gives what was answered. */
export function provisionKeys(context: string, headers: Record<string, string> = {}): Promise<Members> {
  const json = { service: 'chittyconnect', context, scopes: ['read', 'write'] };
  return done('auth', '/api/keys/provision', { json, headers });
}
