import type { ActorEvent } from '../events/actor.ts';
import type { Actor, ActorSummary } from './actor.ts';
import type { Rights } from './actor-keys.ts';
import type { Capability } from './principal.ts';
import type { EndedAccess } from './subscribers.ts';

/** A key as whoever checks one needs it. */
export interface KeyAccess extends Rights {
  readonly id: string;
  readonly hash: string;
}

/** A session as whoever checks a token of one needs it. */
export interface SessionAccess extends Rights {
  readonly id: string;
  /** The key that it ends with. */
  readonly startedWith: string;
  readonly refreshUntil: string;
  /** For a session by cookies: of what requests have to show beside them. */
  readonly csrfHash: string | null;
}

/** What the edge has to know of an actor to tell whether a credential is good; no secrets, only hashes. */
export interface AccessView {
  readonly actor: string;
  /** Null when there is no such actor. */
  readonly status: Actor['status'] | null;
  readonly capabilities: readonly Capability[];
  /** Keys that were neither revoked nor, when this was made, expired. */
  readonly keys: readonly KeyAccess[];
  readonly sessions: readonly SessionAccess[];
}

/** The access view of an actor. @param id the actor's id, for one who does not exist */
export function accessViewOf(id: string, actor: Actor | null): AccessView {
  if (actor === null) return { actor: id, status: null, capabilities: [], keys: [], sessions: [] };
  const { status, capabilities, keys, sessions } = actor;
  return {
    actor: id,
    status,
    capabilities,
    keys: keys.map(({ id, hash, scopes, contexts, expiresAt }) => ({ id, hash, scopes, contexts, expiresAt })),
    sessions: sessions.map(({ id, scopes, contexts, expiresAt, startedWith, refreshUntil, csrfHash }) => ({
      id,
      scopes,
      contexts,
      expiresAt,
      startedWith,
      refreshUntil,
      csrfHash,
    })),
  };
}

/** What everybody may know of an actor. */
export function summaryOf({ id, chittyId, kind, name, status }: ActorSummary): ActorSummary {
  return { id, chittyId, kind, name, status };
}

/** What an event puts an end to, for those who have something open; null when it does not. */
export function endedBy(actor: string, event: ActorEvent): EndedAccess | null {
  switch (event.type) {
    case 'actor_suspended':
    case 'actor_deleted':
    // What is open was opened with the capability; it can be opened again without.
    case 'capability_revoked':
      return { actors: [actor] };
    case 'key_revoked':
    // It is good for a little longer, but what is open does not know when it ends.
    case 'key_rotated':
      return { credentials: [event.data.key] };
    case 'session_ended':
      return { credentials: [event.data.session] };
    default:
      return null;
  }
}
