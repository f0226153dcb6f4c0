import { API_KEY } from './api-key.ts';

const ADMINISTRATOR = { Authorization: `Bearer ${API_KEY}`, 'Content-Type': 'application/json' };

/** An actor and a key of theirs. */
export interface Identity {
  readonly actor: string;
  readonly key: string;
}

/** Sends JSON and gives what is answered. @throws when it is not 2xx */
export async function call<Answer>(
  url: string,
  method: string,
  body: object,
  credential: string = API_KEY,
): Promise<Answer> {
  const headers = { ...ADMINISTRATOR, Authorization: `Bearer ${credential}` };
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Registers an actor and makes them a key. */
export async function register(url: string, name: string): Promise<Identity> {
  const { id } = await call<{ id: string }>(`${url}/v1/actors`, 'POST', { kind: 'service', name });
  const { key } = await call<{ key: string }>(`${url}/v1/actors/${id}/keys`, 'POST', { name: 'benchmark' });
  return { actor: id, key };
}

/** Sets limits, of which only some are given; they hold when this returns. */
export async function limit(url: string, changes: object): Promise<void> {
  const response = await fetch(`${url}/v1/admin/limits`, { headers: ADMINISTRATOR });
  const limits: object = await response.json();
  await call(`${url}/v1/admin/limits`, 'PUT', { ...limits, ...changes });
}

/** A token by which the last of a chain of actors acts for the first, who hands the rights on through all of them. */
export async function delegate(url: string, [first, ...others]: readonly Identity[]): Promise<string> {
  if (!first) throw new Error('a chain begins with somebody');
  let credential = first.key;
  for (const [depth, { actor }] of others.entries()) {
    // Each link ends before the one above it.
    const ttlSeconds = 3_600 - 60 * depth;
    const body = { to: actor, scopes: ['contexts:read', 'contexts:write', 'delegate'], ttlSeconds };
    ({ token: credential } = await call<{ token: string }>(`${url}/v1/delegate`, 'POST', body, credential));
  }
  return credential;
}
