import { ACTIONS, type Action, hasScope } from '../../actors/access.ts';
import { type Principal, SCOPES } from '../../actors/principal.ts';
import { sha256Hex } from '../../events/hash.ts';
import type { Env } from '../env.ts';
import { isProblem, type Problem } from '../http/problem.ts';
import { BOOTSTRAP_ACTOR } from './bootstrap-actor.ts';
import { equalInConstantTime } from './constant-time.ts';
import { authenticateKey } from './stored-keys.ts';
import { whenKnown } from './when-known.ts';

/** Characters of a credential at most; longer ones are not even hashed. */
const CREDENTIAL_MAX = 4096;

/**
 * Credentials that were found right, with the hash they have: the next request with the same one need not be hashed. One
 * that is wrong is never kept, so nothing can be guessed against it.
 */
const verified = new Map<string, string>();

/** Credentials that are remembered before all are forgotten. */
const VERIFIED_MAX = 1_000;

/** The hash of a configured key, by the key: computed once per isolate. */
const hashOfKey = new Map<string, string>();

/** The one answer to a missing, malformed or wrong credential, so that it tells nothing about which it was. */
const UNAUTHORIZED: Problem = {
  problem: 'unauthorized',
  detail: 'Send a valid API key as "Authorization: Bearer <key>" or "X-API-Key: <key>".',
  headers: { 'WWW-Authenticate': 'Bearer realm="chittyconnect"' },
};

/**
 * Finds out who makes a request, from `Authorization: Bearer` (RFC 6750) or `X-API-Key`. The one place where
 * credentials are looked at: a new kind of credential is another branch here, and nothing behind it changes.
 */
export function authenticate(request: Request, env: Env): Principal | Problem | Promise<Principal | Problem> {
  const credential = presentedCredential(request.headers);
  if (credential === null) return UNAUTHORIZED;
  if (isBootstrapKey(credential, env)) return FIRST_ADMINISTRATOR;
  return whenKnown(authenticateKey(env, credential), (principal) => principal ?? UNAUTHORIZED);
}

function isBootstrapKey(credential: string, env: Env): boolean {
  const expected = bootstrapKeyHash(env);
  if (expected === null) return false;
  if (verified.get(credential) === expected) return true;
  if (!equalInConstantTime(sha256Hex(credential), expected)) return false;
  if (verified.size >= VERIFIED_MAX) verified.clear();
  verified.set(credential, expected);
  return true;
}

/** Whom the bootstrap key stands for. */
const FIRST_ADMINISTRATOR: Principal = {
  actor: BOOTSTRAP_ACTOR,
  subject: BOOTSTRAP_ACTOR,
  capabilities: ['administrator'],
  scopes: SCOPES,
  contexts: null,
  credential: { kind: 'bootstrap-key', id: 'bootstrap-key' },
  chain: [],
  expiresAt: null,
};

/** Why a credential is not good for an action, whatever it would be done to (RFC 6750, section 3.1); null when it is. */
export function refuseScope(principal: Principal, action: Action): Problem | null {
  if (hasScope(principal, action)) return null;
  const { scope } = ACTIONS[action];
  return {
    problem: 'insufficient-scope',
    detail: `This needs a credential with the scope ${scope}.`,
    headers: { 'WWW-Authenticate': `Bearer realm="chittyconnect", error="insufficient_scope", scope="${scope}"` },
  };
}

/**
 * Tells whether a request may read the metrics: with the key that is only for them, or as anybody who is known.
 *
 * @returns why it may not, null when it may
 */
export async function mayReadMetrics(request: Request, env: Env): Promise<Problem | null> {
  const credential = presentedCredential(request.headers);
  const key = env.METRICS_API_KEY?.trim();
  if (credential !== null && key && equalInConstantTime(sha256Hex(credential), hashOf(key))) return null;
  const principal = await authenticate(request, env);
  return isProblem(principal) ? principal : refuseScope(principal, 'admin.read');
}

/** The credential that a request carries; null when there is none, or when it names two. */
function presentedCredential(headers: Headers): string | null {
  const authorization = headers.get('Authorization');
  const apiKey = headers.get('X-API-Key');
  const bearer = authorization === null ? undefined : /^Bearer +([\x21-\x7e]+)$/i.exec(authorization)?.[1];
  if (authorization !== null && (bearer === undefined || apiKey !== null)) return null;
  const credential = bearer ?? apiKey;
  return credential === null || credential === '' || credential.length > CREDENTIAL_MAX ? null : credential;
}

function bootstrapKeyHash(env: Env): string | null {
  if (env.BOOTSTRAP_API_KEY_SHA256) return env.BOOTSTRAP_API_KEY_SHA256.trim().toLowerCase();
  return env.BOOTSTRAP_API_KEY ? hashOf(env.BOOTSTRAP_API_KEY) : null;
}

function hashOf(key: string): string {
  const known = hashOfKey.get(key) ?? sha256Hex(key);
  hashOfKey.set(key, known);
  return known;
}
