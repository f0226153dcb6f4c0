import { as, expectJson } from './actors.ts';

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
