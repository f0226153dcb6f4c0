import { ACTIONS, type Action, decideAccess, hasScope, relationToService } from '../../actors/access.ts';
import { type Principal, SCOPES } from '../../actors/principal.ts';
import { sha256Hex } from '../../events/hash.ts';
import type { Env } from '../env.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Problem } from '../http/problem.ts';
import { BOOTSTRAP_ACTOR } from './bootstrap-actor.ts';
import { hashOf, isBootstrapKey } from './bootstrap-key.ts';
import { equalInConstantTime } from './constant-time.ts';
import { CSRF_HEADER, isSameOrigin, readCookie, SESSION_COOKIE } from './cookies.ts';
import { authenticateDelegation } from './delegated-tokens.ts';
import { csrfHashOf } from './refresh-token.ts';
import { authenticateSession } from './session-tokens.ts';
import { authenticateKey } from './stored-keys.ts';
import { looksLikeToken, verifyToken } from './tokens.ts';
import { whenKnown } from './when-known.ts';

/** Characters of a credential at most; longer ones are not even hashed. */
export const CREDENTIAL_MAX = 4096;

/** Methods that change nothing (RFC 9110, section 9.2.1). */
const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

/** The one answer to every credential that is not good, whatever the reason, so that it tells nothing about it. */
export const UNAUTHORIZED: Problem = {
  problem: 'unauthorized',
  detail: 'Send one valid API key or token, as "Authorization: Bearer <key or token>" or "X-API-Key: <key>".',
  headers: { 'WWW-Authenticate': 'Bearer realm="chittyconnect"' },
};

const FROM_ANOTHER_SITE: Problem = {
  problem: 'forbidden',
  detail: `With cookies, send the session’s CSRF token as ${CSRF_HEADER}, from a page of this service.`,
  unsaid: { reason: 'cross-site' },
};

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

/**
 * Finds out who makes a request, from `Authorization: Bearer` (RFC 6750), `X-API-Key` or the cookie of a session. The
 * one place where credentials are looked at: a new kind of credential is another branch here, and nothing behind it
 * changes.
 *
 * @param takesUses whether uses that are counted are taken
 */
export function authenticate(exchange: Exchange, takesUses = true): Principal | Problem | Promise<Principal | Problem> {
  const { request, env } = exchange;
  const cookie = readCookie(request.headers, SESSION_COOKIE);
  const isInHeader = request.headers.has('Authorization') || request.headers.has('X-API-Key');
  if (cookie !== undefined)
    return cookie === null || isInHeader ? UNAUTHORIZED : authenticateCookie(request, env, cookie);
  const credential = presentedCredential(request.headers);
  if (credential === null) return UNAUTHORIZED;
  // A token first: it is long, and hashing it to compare is a good part of what looking it up saves.
  if (!looksLikeToken(credential)) {
    if (isBootstrapKey(credential, env)) return FIRST_ADMINISTRATOR;
    return whenKnown(authenticateKey(env, credential), (principal) => principal ?? UNAUTHORIZED);
  }
  return whenKnown(authenticateToken(exchange, credential, takesUses), (principal) => {
    // The bootstrap key may be any text, also one that looks like a token.
    return principal ?? (isBootstrapKey(credential, env) ? FIRST_ADMINISTRATOR : UNAUTHORIZED);
  });
}

function authenticateToken(
  exchange: Exchange,
  token: string,
  takesUses: boolean,
): Principal | null | Promise<Principal | null> {
  return whenKnown(verifyToken(exchange.env, token), (claims) => {
    if (claims === null) return null;
    if ('chain' in claims) return authenticateDelegation(exchange, claims, takesUses);
    return whenKnown(authenticateSession(exchange.env, claims), (found) => found?.principal ?? null);
  });
}

/**
 * A browser sends cookies along whoever made the page that asks. So a request that changes something has to show what
 * only a page of ours was given, and, as does the opening of a WebSocket, to come from one.
 */
async function authenticateCookie(request: Request, env: Env, cookie: string): Promise<Principal | Problem> {
  const claims = await verifyToken(env, cookie);
  if (claims === null || 'chain' in claims) return UNAUTHORIZED;
  const found = await authenticateSession(env, claims);
  const csrfHash = found?.session.csrfHash;
  if (!found || !csrfHash) return UNAUTHORIZED;
  const isUpgrade = request.headers.has('Upgrade');
  const isSafe = SAFE_METHODS.includes(request.method) && !isUpgrade;
  if (isSafe) return found.principal;
  const token = csrfHashOf(request.headers.get(CSRF_HEADER) ?? '');
  const hasToken = isUpgrade || equalInConstantTime(token, csrfHash);
  return hasToken && isSameOrigin(request, env) ? found.principal : FROM_ANOTHER_SITE;
}

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

const NOT_AN_ADMINISTRATOR: Problem = {
  problem: 'forbidden',
  detail: 'Only administrators may do this, with a credential that is limited to no contexts.',
};

/**
 * Why a caller may not do something, as far as that can be told before it is known to what. What concerns the service
 * itself is decided here for good: there is no object behind it that would ask.
 */
export function refuseAction(principal: Principal, action: Action): Problem | null {
  const outOfScope = refuseScope(principal, action);
  if (outOfScope !== null || (action !== 'admin.read' && action !== 'admin.write')) return outOfScope;
  return decideAccess(principal, action, relationToService(principal)) === 'allowed' ? null : NOT_AN_ADMINISTRATOR;
}

/** Whether a request shows the key that is only for the metrics. */
export function showsMetricsKey({ request, env }: Exchange): boolean {
  const credential = presentedCredential(request.headers);
  const key = env.METRICS_API_KEY?.trim();
  if (credential === null || !key) return false;
  return equalInConstantTime(sha256Hex(credential), hashOf(key));
}

/** The credential in the headers; null when there is none, or when they name two. */
function presentedCredential(headers: Headers): string | null {
  const authorization = headers.get('Authorization');
  const apiKey = headers.get('X-API-Key');
  const bearer = authorization === null ? undefined : /^Bearer +([\x21-\x7e]+)$/i.exec(authorization)?.[1];
  if (authorization !== null && (bearer === undefined || apiKey !== null)) return null;
  const credential = bearer ?? apiKey;
  return credential === null || credential === '' || credential.length > CREDENTIAL_MAX ? null : credential;
}
