import { SELF } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { api, BASE } from './api.ts';

/** An actor as the API gives it to administrators. */
export interface ActorJson {
  id: string;
  name: string;
  status: string;
  version: number;
  capabilities: string[];
  [member: string]: unknown;
}

/** A key as it is shown once. */
export interface IssuedKeyJson {
  id: string;
  key: string;
  scopes: string[];
  contexts: string[] | null;
  expiresAt: string | null;
  successor: string | null;
  lastUsedAt: string | null;
  [member: string]: unknown;
}

/** What starting a session gives. */
export interface SessionJson {
  id: string;
  accessToken: string;
  refreshToken: string;
  csrfToken: string;
  [member: string]: unknown;
}

/** An actor with a key. */
export interface KeyHolder {
  readonly id: string;
  readonly keyId: string;
  readonly key: string;
}

/** A request with this credential and no other. */
export function as(credential: string, path: string, init: RequestInit & { json?: unknown } = {}): Promise<Response> {
  return api(path, { ...init, headers: { Authorization: `Bearer ${credential}`, ...asRecord(init.headers) } });
}

/** A request with exactly these headers. */
export function plain(path: string, init: RequestInit = {}): Promise<Response> {
  return SELF.fetch(BASE + path, init);
}

function asRecord(headers: RequestInit['headers']): Record<string, string> {
  return Object.fromEntries(new Headers(headers));
}

/** The answer's body, when it has the status. */
export async function expectJson<Body>(response: Response, status: number): Promise<Body> {
  const text = await response.text();
  if (response.status !== status) throw new Error(`${response.status} instead of ${status}: ${text}`);
  return JSON.parse(text);
}

/** Registers an actor. */
export async function registerActor(fields: object = {}): Promise<ActorJson> {
  return expectJson(await api('/v1/actors', { method: 'POST', json: { kind: 'person', name: 'Ada', ...fields } }), 201);
}

/** Makes a key, as the first administrator unless a credential is given. */
export async function issueKey(
  actor: string,
  fields: object = {},
  credential: string = String(env.BOOTSTRAP_API_KEY),
): Promise<IssuedKeyJson> {
  const json = { name: 'a key', ...fields };
  return expectJson(await as(credential, `/v1/actors/${actor}/keys`, { method: 'POST', json }), 201);
}

/** Registers an actor and makes a key for them. */
export async function keyHolder(actor: object = {}, key: object = {}): Promise<KeyHolder> {
  const { id } = await registerActor(actor);
  const issued = await issueKey(id, key);
  return { id, keyId: issued.id, key: issued.key };
}

/** Starts a session. */
export async function startSession(key: string, json?: object): Promise<SessionJson> {
  return expectJson(await as(key, '/v1/sessions', { method: 'POST', ...(json && { json }) }), 201);
}
