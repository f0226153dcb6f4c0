import { ACTOR_PREFIX, isActorId, SESSION_PREFIX } from '../../events/actor.ts';
import { sha256Hex } from '../../events/hash.ts';
import { isId } from '../../events/id.ts';
import { randomLetters, readCredential, SECRET_LENGTH, writeCredential } from './credential-text.ts';

/** What every refresh token begins with. */
const PREFIX = 'ccr';

/** Characters that all refresh tokens of one session have in common: 130 bits. */
const FAMILY_LENGTH = 22;

/** A refresh token and what follows from it. */
export interface RefreshToken {
  readonly text: string;
  readonly actor: string;
  readonly session: string;
  readonly hash: string;
  /** Tells a token of this session that was used before from one that was made up. */
  readonly familyHash: string;
  /**
   * What a request by cookies has to show beside them. It is the same as long as the session lasts, so that the tabs of
   * a browser need not tell each other of new ones, and it says nothing about the tokens.
   */
  readonly csrfToken: string;
}

/** The first refresh token of a session. */
export function firstRefreshToken(actor: string, session: string): RefreshToken {
  return refreshToken(actor, session, randomLetters(FAMILY_LENGTH));
}

/** Reads a refresh token. @returns null when it is none */
export function readRefreshToken(text: string): (RefreshToken & { readonly next: RefreshToken }) | null {
  const read = readCredential(PREFIX, 2, FAMILY_LENGTH + SECRET_LENGTH, text);
  if (read === null) return null;
  const [actor, session] = [`${ACTOR_PREFIX}_${read.ulids[0]}`, `${SESSION_PREFIX}_${read.ulids[1]}`];
  if (!isActorId(actor) || !isId(SESSION_PREFIX, session)) return null;
  const family = read.secret.slice(0, FAMILY_LENGTH);
  return { ...parts(text, actor, session, family), next: refreshToken(actor, session, family) };
}

/** The hash that a CSRF token is kept as. */
export function csrfHashOf(token: string): string {
  return sha256Hex(token);
}

function refreshToken(actor: string, session: string, family: string): RefreshToken {
  const ulids = [actor.slice(ACTOR_PREFIX.length + 1), session.slice(SESSION_PREFIX.length + 1)];
  return parts(writeCredential(PREFIX, ulids, family + randomLetters(SECRET_LENGTH)), actor, session, family);
}

function parts(text: string, actor: string, session: string, family: string): RefreshToken {
  const hash = sha256Hex(text);
  return {
    text,
    actor,
    session,
    hash,
    familyHash: sha256Hex(`family ${family}`),
    csrfToken: sha256Hex(`csrf ${family}`),
  };
}
