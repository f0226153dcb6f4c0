import type { ActorEvent } from '../events/actor.ts';
import type { Actor, ActorSummary } from './actor.ts';
import { type Delegation, rightsDigest } from './actor-delegations.ts';
import type { Rights } from './actor-keys.ts';
import type { EndedAccess } from './ended-access.ts';
import type { Capability } from './principal.ts';

/** A key as whoever checks one needs it. */
interface KeyAccess extends Rights {
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

/** A delegation as whoever checks a token of it needs it. */
export interface DelegationAccess {
  readonly id: string;
  readonly to: string;
  /** The delegation that it was made from; null for the subject's own rights. */
  readonly parent: string | null;
  readonly madeWith: string;
  /** What it is good for; see `rightsDigest`. */
  readonly rights: string;
  readonly notBefore: string;
  readonly expiresAt: string;
  /** Whether each use has to be taken before. */
  readonly isCounted: boolean;
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
  readonly delegations: readonly DelegationAccess[];
}

/** The access view of an actor. @param id the actor's id, for one who does not exist */
export function accessViewOf(id: string, actor: Actor | null): AccessView {
  if (actor === null) return { actor: id, status: null, capabilities: [], keys: [], sessions: [], delegations: [] };
  const { status, capabilities, keys, sessions, delegations } = actor;
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
    delegations: delegations.map(accessOf),
  };
}

/** What each delegation is good for never changes: computed once, because views are made all the time. */
const digests = new WeakMap<Delegation['scopes'], string>();

function accessOf(delegation: Delegation): DelegationAccess {
  const { id, to, chain, madeWith, scopes, contexts, notBefore, expiresAt, maxUses } = delegation;
  const rights = digests.get(scopes) ?? rightsDigest(scopes, contexts);
  digests.set(scopes, rights);
  const parent = chain.at(-1)?.id ?? null;
  return { id, to, parent, madeWith, rights, notBefore, expiresAt, isCounted: maxUses !== null };
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
    case 'delegation_revoked':
      return { delegations: [event.data.delegation] };
    default:
      return null;
  }
}
