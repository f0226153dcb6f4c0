import { SELF } from 'cloudflare:test';
import { env } from 'cloudflare:workers';

/** Where the Worker under test answers. */
export const BASE = 'https://connect.test';

/** A request to the API as its first administrator, unless the headers say otherwise. */
export function api(path: string, init: RequestInit & { json?: unknown } = {}): Promise<Response> {
  const { json, ...rest } = init;
  const headers = new Headers(rest.headers);
  if (!headers.has('Authorization') && !headers.has('X-API-Key')) {
    headers.set('Authorization', `Bearer ${env.BOOTSTRAP_API_KEY}`);
  }
  if (json !== undefined && !headers.has('Content-Type')) headers.set('Content-Type', 'application/json');
  const body = json === undefined ? rest.body : JSON.stringify(json);
  return SELF.fetch(BASE + path, { ...rest, headers, ...(body !== undefined && { body }) });
}

/** A context as the API gives it. */
export interface ContextJson {
  id: string;
  name: string;
  version: number;
  [member: string]: unknown;
}

/** Creates a context. */
export async function createContext(fields: object = {}): Promise<ContextJson> {
  const response = await api('/v1/contexts', { method: 'POST', json: { name: 'A context', ...fields } });
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  return response.json();
}
