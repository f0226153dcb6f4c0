import type { ActorEvent } from '../events/actor.ts';
import type { Actor } from './actor.ts';
import { endOf, grant, isGoodAt, keyAt, knownScopes, type Wanted } from './actor-keys.ts';
import type { Refusal } from './decider.ts';
import type { Principal, Scope } from './principal.ts';

/** Sessions of one actor at the same time; a further one ends the oldest. */
const SESSIONS_MAX = 100;
/** How long a session can be left alone, and how long it lasts at most, in milliseconds. */
const IDLE_MS = 30 * 24 * 60 * 60_000;
const LIFETIME_MS = 90 * 24 * 60 * 60_000;

/** What a session that the bootstrap key started begins its `startedWith` with. */
export const BOOTSTRAP_KEY = 'bootstrap-key';

/** A session as its actor's stream knows it: of its tokens, only hashes. */
export type Session = {
  readonly id: string;
  readonly startedWith: string;
  readonly scopes: readonly Scope[];
  readonly contexts: readonly string[] | null;
  readonly device: string | null;
  readonly familyHash: string;
  readonly refreshHash: string;
  readonly csrfHash: string | null;
  readonly startedAt: string;
  readonly refreshedAt: string;
  readonly refreshUntil: string;
  readonly expiresAt: string;
};

/** What can be asked about an actor's sessions; `at` is when, in ISO 8601 (UTC, milliseconds). */
export type SessionCommand =
  | {
      readonly type: 'startSession';
      readonly session: string;
      /** The id of the key that is used; for the bootstrap key, one that tells which it was. */
      readonly startedWith: string;
      readonly wanted: Wanted;
      readonly device: string | null;
      readonly familyHash: string;
      readonly refreshHash: string;
      readonly csrfHash: string | null;
      readonly at: string;
    }
  | {
      readonly type: 'refreshSession';
      readonly session: string;
      readonly familyHash: string;
      /** Of the token that was presented. */
      readonly refreshHash: string;
      /** Of the one that comes next. */
      readonly nextRefreshHash: string;
      readonly at: string;
    }
  /** The one that asks for it. */
  | { readonly type: 'endOwnSession' }
  | { readonly type: 'endSession'; readonly session: string }
  | { readonly type: 'endAllSessions' };

/** The events about sessions. */
export type SessionEvent = Extract<ActorEvent, { type: 'session_started' | 'session_refreshed' | 'session_ended' }>;

const NO_SUCH_SESSION: Refusal = {
  refused: 'not-found',
  detail: 'There is no such session; it may have ended already.',
};

/** Whether a session and the key that it was started with are good at this time. */
export function isSessionGoodAt(actor: Actor, { startedWith, refreshUntil, expiresAt }: Session, at: string): boolean {
  const hasKey = startedWith.startsWith(BOOTSTRAP_KEY) || keyAt(actor, startedWith, at) !== undefined;
  return hasKey && isGoodAt(expiresAt, at) && isGoodAt(refreshUntil, at);
}

/**
 * Whether the credential by which somebody is known is still good, as far as this actor's own stream tells: it knows
 * nothing of the credentials of others, nor which bootstrap key is the present one.
 */
export function isCredentialGoodAt(
  actor: Actor,
  { actor: holder, credential: { kind, id } }: Principal,
  at: string,
): boolean {
  if (holder !== actor.id) return true;
  if (kind === 'api-key') return keyAt(actor, id, at) !== undefined;
  const session = actor.sessions.find((each) => each.id === id);
  return kind !== 'session' || (session !== undefined && isSessionGoodAt(actor, session, at));
}

/** Decides about sessions of an actor who is there and not deleted. */
export function decideSession(command: SessionCommand, actor: Actor, by: Principal): readonly ActorEvent[] | Refusal {
  switch (command.type) {
    case 'startSession':
      return start(command, actor, by);
    case 'refreshSession':
      return refresh(command, actor);
    case 'endOwnSession':
      return end(by.credential.id, actor);
    case 'endSession':
      return end(command.session, actor);
    case 'endAllSessions':
      return actor.sessions.map(({ id }) => ended(id, 'ended'));
    default:
      return command satisfies never;
  }
}

function start(
  { session, startedWith, wanted, device, familyHash, refreshHash, csrfHash, at }: Start,
  actor: Actor,
  by: Principal,
): readonly ActorEvent[] | Refusal {
  const isOwn = by.actor === actor.id && by.chain.length === 0;
  if (!isOwn || (by.credential.kind !== 'api-key' && by.credential.kind !== 'bootstrap-key')) {
    return { refused: 'forbidden', detail: 'A session is started with an API key of one’s own, not with a token.' };
  }
  const until = endOf(by, actor);
  const rights = grant(wanted, by, until);
  if ('refused' in rights) return rights;
  const expiresAt = later(at, LIFETIME_MS);
  const good = actor.sessions.filter((each) => isSessionGoodAt(actor, each, at));
  const tooMany = good.slice(0, Math.max(0, good.length - SESSIONS_MAX + 1));
  return [
    ...tooMany.map(({ id }) => ended(id, 'too_many_sessions')),
    {
      type: 'session_started',
      data: {
        session,
        startedWith,
        scopes: [...rights.scopes],
        contexts: rights.contexts && [...rights.contexts],
        device,
        familyHash,
        refreshHash,
        csrfHash,
        refreshUntil: later(at, IDLE_MS),
        expiresAt: until !== null && until < expiresAt ? until : expiresAt,
      },
    },
  ];
}

type Start = Extract<SessionCommand, { type: 'startSession' }>;
type Refresh = Extract<SessionCommand, { type: 'refreshSession' }>;

/**
 * A refresh token is good once. One that was used before shows that two have it, and nobody can tell who is who: the
 * session ends (RFC 9700, section 4.14.2). What all tokens of a session have in common tells such a one from a guess.
 */
function refresh(
  { session: id, familyHash, refreshHash, nextRefreshHash, at }: Refresh,
  actor: Actor,
): readonly ActorEvent[] | Refusal {
  const session = actor.sessions.find((each) => each.id === id);
  if (!session || session.familyHash !== familyHash || !isSessionGoodAt(actor, session, at)) return NO_SUCH_SESSION;
  if (actor.status !== 'active') return { refused: 'suspended', detail: 'The actor is suspended.' };
  if (session.refreshHash !== refreshHash) return [ended(id, 'refresh_token_reused')];
  const data = { session: id, refreshHash: nextRefreshHash, refreshUntil: later(at, IDLE_MS) };
  return [{ type: 'session_refreshed', data }];
}

function end(session: string, actor: Actor): readonly ActorEvent[] | Refusal {
  return actor.sessions.some(({ id }) => id === session) ? [ended(session, 'ended')] : NO_SUCH_SESSION;
}

type EndReason = Extract<ActorEvent, { type: 'session_ended' }>['data']['reason'];

function ended(session: string, reason: EndReason): ActorEvent {
  return { type: 'session_ended', data: { session, reason } };
}

function later(at: string, ms: number): string {
  return new Date(Date.parse(at) + ms).toISOString();
}

/** The sessions after an event about them. */
export function evolveSessions(sessions: readonly Session[], event: SessionEvent, time: string): readonly Session[] {
  switch (event.type) {
    case 'session_started': {
      const { session, scopes, ...data } = event.data;
      const good = sessions.filter((each) => isGoodAt(each.expiresAt, time) && isGoodAt(each.refreshUntil, time));
      const started = { id: session, ...data, scopes: knownScopes(scopes), startedAt: time, refreshedAt: time };
      return [...good, started];
    }
    case 'session_refreshed': {
      const { session, ...data } = event.data;
      return sessions.map((each) => (each.id === session ? { ...each, ...data, refreshedAt: time } : each));
    }
    case 'session_ended':
      return sessions.filter(({ id }) => id !== event.data.session);
    default:
      return event satisfies never;
  }
}
