import type { AccessView, SessionAccess } from '../../actors/actor-access.ts';
import { BOOTSTRAP_KEY } from '../../actors/actor-sessions.ts';
import type { Principal } from '../../actors/principal.ts';
import type { Env } from '../env.ts';
import { accessView, freshAccessView, noteUse } from './access-views.ts';
import { bootstrapKeyId } from './bootstrap-key.ts';
import type { SessionClaims } from './tokens.ts';

/** Who a session's token stands for, and the session. */
export interface SessionPrincipal {
  readonly principal: Principal;
  readonly session: SessionAccess;
}

/**
 * Finds out whose session a token belongs to, which was found right by itself.
 *
 * @returns null when the session is not good (any more), whatever the reason
 */
export function authenticateSession(
  env: Env,
  claims: SessionClaims,
): SessionPrincipal | null | Promise<SessionPrincipal | null> {
  const check = (view: AccessView) => {
    const found = sessionPrincipal(env, view, claims, Date.now());
    if (found !== null) noteUse(env, view.actor, found.session.id);
    return found;
  };
  const view = accessView(env, claims.sub);
  if (view instanceof Promise) return view.then(check);
  // What is known may be a little older than the session.
  return check(view) ?? freshAccessView(env, claims.sub).then(check);
}

function sessionPrincipal(
  env: Env,
  { actor, status, capabilities, keys, sessions }: AccessView,
  { sid, exp }: SessionClaims,
  now: number,
): SessionPrincipal | null {
  const session = sessions.find(({ id }) => id === sid);
  if (!session || status !== 'active') return null;
  const { id, startedWith, scopes, contexts } = session;
  const isGood = (expiresAt: string | null) => expiresAt === null || Date.parse(expiresAt) > now;
  const hasKey = startedWith.startsWith(BOOTSTRAP_KEY)
    ? startedWith === bootstrapKeyId(env)
    : keys.some((key) => key.id === startedWith && isGood(key.expiresAt));
  if (!hasKey || !isGood(session.expiresAt)) return null;
  const credential = { kind: 'session', id } as const;
  const expiresAt = exp * 1000;
  return {
    principal: { actor, subject: actor, capabilities, scopes, contexts, credential, chain: [], expiresAt },
    session,
  };
}
