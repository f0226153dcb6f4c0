import { vi } from 'vitest';
import { as, expectJson, type KeyHolder, keyHolder } from './actors.ts';
import type { ContextJson } from './api.ts';

/** A delegation with its token, as it is given. */
export interface DelegationJson {
  id: string;
  by: string;
  to: string;
  subject: string;
  token: string;
  scopes: string[];
  contexts: string[] | null;
  notBefore: string;
  expiresAt: string;
  maxUses: number | null;
  uses: number;
  status: string;
  chain: { id: string; by: string; status?: string }[];
  [member: string]: unknown;
}

/** Asks for a delegation. */
export function askDelegation(credential: string, json: object, headers: HeadersInit = {}): Promise<Response> {
  return as(credential, '/v1/delegate', { method: 'POST', json, headers });
}

/** Makes a delegation. */
export async function delegate(
  credential: string,
  to: string,
  scopes: readonly string[],
  more: object = {},
): Promise<DelegationJson> {
  return expectJson(await askDelegation(credential, { to, scopes, ...more }), 201);
}

/** A delegation as it is now. */
export async function readDelegation(credential: string, id: string): Promise<DelegationJson> {
  return expectJson(await as(credential, `/v1/delegate/${id}`), 200);
}

/** Sends a form, as clients of OAuth do. */
export function sendForm(credential: string, path: string, fields: Record<string, string>): Promise<Response> {
  return as(credential, path, { method: 'POST', body: new URLSearchParams(fields) });
}

/** Three who can hand rights on, and a context of the first. */
export async function world(): Promise<{ ann: KeyHolder; ben: KeyHolder; cem: KeyHolder; context: ContextJson }> {
  const [ann, ben, cem] = await Promise.all([keyHolder({ name: 'Ann' }), keyHolder(), keyHolder()]);
  return { ann, ben, cem, context: await contextOf(ann.key) };
}

/** Creates a context with a credential. */
export async function contextOf(key: string): Promise<ContextJson> {
  return expectJson(await as(key, '/v1/contexts', { method: 'POST', json: { name: 'A context' } }), 201);
}

/** The status of reading a context with a credential. */
export async function statusOf(credential: string, id: string): Promise<number> {
  return (await as(credential, `/v1/contexts/${id}`)).status;
}

/** Asks for the end of a delegation. */
export function revoke(credential: string, id: string): Promise<Response> {
  return as(credential, `/v1/delegate/${id}`, { method: 'DELETE' });
}

/** Checks that something holds once as much time has passed as is promised at most, which nobody has to wait for. */
export async function within5s(check: () => Promise<void>): Promise<void> {
  vi.setSystemTime(Date.now() + 5_000);
  try {
    await check();
  } finally {
    vi.useRealTimers();
  }
}
