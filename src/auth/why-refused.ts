import { NOBODY } from '../../actors/audit.ts';
import type { Principal } from '../../actors/principal.ts';
import { sha256Hex } from '../../events/hash.ts';
import type { Env } from '../env.ts';
import { freshAccessView } from './access-views.ts';
import { actorOfKey } from './api-key.ts';
import { CREDENTIAL_MAX } from './authenticate.ts';
import { equalInConstantTime } from './constant-time.ts';
import { readCookie, SESSION_COOKIE } from './cookies.ts';
import { looksLikeToken } from './tokens.ts';
import { whyTokenRefused } from './why-token-refused.ts';

/** Why a credential was not taken. For the audit trail alone: whoever showed it is told nothing of this. */
export interface WhyRefused {
  readonly reason: string;
  /** What it looked like. */
  readonly presented: 'api-key' | 'session' | 'delegation' | 'token' | 'ticket' | 'several' | 'unknown';
  /** Whose it is or was, when its secret or its signature is right; nobody's otherwise, whoever it names. */
  readonly principal: Principal;
}

/**
 * Finds out why the credential of a request was not taken. It takes as long as it takes, so the answer must not wait for
 * it: its time would tell what its text does not.
 *
 * @returns null when none was shown
 */
export async function whyRefused(request: Request, env: Env): Promise<WhyRefused | null> {
  const { headers } = request;
  const authorization = headers.get('Authorization');
  const apiKey = headers.get('X-API-Key');
  const cookie = readCookie(headers, SESSION_COOKIE);
  if (cookie === null || [authorization, apiKey, cookie ?? null].filter((each) => each !== null).length > 1) {
    return { reason: 'several-credentials', presented: 'several', principal: NOBODY };
  }
  const credential = cookie ?? apiKey ?? /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? '';
  if (credential === '') {
    if (authorization !== null) return { reason: 'malformed', presented: 'unknown', principal: NOBODY };
    const hasTicket = new URL(request.url).searchParams.has('ticket');
    return hasTicket ? { reason: 'ticket-not-good', presented: 'ticket', principal: NOBODY } : null;
  }
  if (credential.length > CREDENTIAL_MAX) return { reason: 'too-long', presented: 'unknown', principal: NOBODY };
  return looksLikeToken(credential) ? whyTokenRefused(env, credential) : whyKeyRefused(env, credential);
}

async function whyKeyRefused(env: Env, text: string): Promise<WhyRefused> {
  const actor = actorOfKey(text);
  if (actor === null) return { reason: 'unknown', presented: 'unknown', principal: NOBODY };
  const hash = sha256Hex(text);
  const { status, keys } = await freshAccessView(env, actor);
  // Nobody's: asking the object would make it.
  if (status === null) return { reason: 'unknown', presented: 'api-key', principal: NOBODY };
  const held = keys.find((key) => equalInConstantTime(key.hash, hash));
  const former = held ? null : await env.ACTORS.get(env.ACTORS.idFromName(actor)).formerKey(hash);
  const id = held?.id ?? former?.id;
  // A made-up key names an actor as well: they must not find in their trail what others made up.
  if (id === undefined) return { reason: 'wrong', presented: 'api-key', principal: NOBODY };
  const principal: Principal = { ...NOBODY, actor, subject: actor, credential: { kind: 'api-key', id } };
  const isOver = held?.expiresAt ? Date.parse(held.expiresAt) <= Date.now() : false;
  const reason = status !== 'active' ? status : (former?.end ?? (isOver ? 'expired' : 'not-taken'));
  return { reason, presented: 'api-key', principal };
}
