import type { ActorEvent } from '../events/actor.ts';
import { canonicalText } from '../events/canonical.ts';
import { DELEGATION_LIFE_MAX_MS } from '../events/delegation.ts';
import { sha256Hex } from '../events/hash.ts';
import { isAdministrator } from './access.ts';
import type { Actor } from './actor.ts';
import type { AccessView } from './actor-access.ts';
import { endOf, grant, isGoodAt, knownScopes, type Wanted } from './actor-keys.ts';
import type { Refusal } from './decider.ts';
import { keptBytes } from './kept-bytes.ts';
import type { DelegationLink, Principal, Scope } from './principal.ts';

/** Delegations of one actor that are good at the same time, and bytes of all of them. */
const DELEGATIONS_MAX = 1_000;
const DELEGATIONS_MAX_BYTES = 1_000_000;
/** Delegations in a row, the subject's own included. */
const CHAIN_MAX = 5;
/** How long a delegation lasts when nothing else is said, in milliseconds. */
const DEFAULT_LIFE_MS = 60 * 60_000;

/** Rights that an actor has handed on, as the actor's stream knows them. */
export type Delegation = {
  readonly id: string;
  readonly to: string;
  /** Whose rights these are. */
  readonly subject: string;
  /** The delegations that it was made from, the subject's first. */
  readonly chain: readonly DelegationLink[];
  readonly madeWith: string;
  readonly scopes: readonly Scope[];
  readonly contexts: readonly string[] | null;
  readonly notBefore: string;
  readonly expiresAt: string;
  readonly maxUses: number | null;
  readonly uses: number;
  readonly grantedAt: string;
};

/** What can be asked about the rights that an actor hands on; `at` is when, in ISO 8601 (UTC, milliseconds). */
export type DelegationCommand =
  | {
      readonly type: 'delegate';
      readonly delegation: string;
      readonly to: string;
      /** The id of the credential that is used; for the bootstrap key, one that tells which it was. */
      readonly madeWith: string;
      readonly wanted: Wanted & { readonly scopes: readonly Scope[] };
      readonly notBefore?: string;
      readonly maxUses?: number;
      readonly at: string;
    }
  | { readonly type: 'useDelegation'; readonly delegation: string; readonly at: string }
  /** `withToken`: whoever asks has shown the token itself. */
  | { readonly type: 'revokeDelegation'; readonly delegation: string; readonly withToken: boolean };

/** The events about delegations. */
export type DelegationEvent = Extract<
  ActorEvent,
  { type: 'delegation_granted' | 'delegation_used' | 'delegation_revoked' }
>;

const NO_SUCH_DELEGATION: Refusal = {
  refused: 'not-found',
  detail: 'There is no such delegation; it may have ended already.',
};

/** Decides about the delegations of an actor who is there and not deleted. */
export function decideDelegation(
  command: DelegationCommand,
  actor: Actor,
  by: Principal,
): readonly ActorEvent[] | Refusal {
  switch (command.type) {
    case 'delegate':
      return delegate(command, actor, by);
    case 'useDelegation':
      return use(command, actor, by);
    case 'revokeDelegation': {
      const found = actor.delegations.find(({ id }) => id === command.delegation);
      if (!found || !mayRevoke(found, actor, by)) return NO_SUCH_DELEGATION;
      return [revoked(found.id, 'revoked')];
    }
    default:
      return command satisfies never;
  }
}

function delegate(
  { delegation, to, madeWith, wanted, notBefore, maxUses, at }: Extract<DelegationCommand, { type: 'delegate' }>,
  actor: Actor,
  by: Principal,
): readonly ActorEvent[] | Refusal {
  if (by.actor !== actor.id) return { refused: 'forbidden', detail: 'Nobody hands on the rights of others.' };
  if (to === by.subject || to === by.actor || by.chain.some((link) => link.by === to)) {
    return invalid('/to', 'must be somebody else: these are rights that they have or have handed on');
  }
  if (actor.status !== 'active') return { refused: 'suspended', detail: 'You are suspended.' };
  if (actor.delegations.some(({ id }) => id === delegation)) {
    return { refused: 'already-exists', detail: 'There is a delegation with this id already.' };
  }
  if (by.chain.length >= CHAIN_MAX) {
    const detail = `Rights are handed on ${CHAIN_MAX} times at most. Ask ${by.subject} for a delegation of their own.`;
    return { refused: 'limit-reached', detail };
  }
  const good = actor.delegations.filter(({ expiresAt }) => isGoodAt(expiresAt, at));
  if (good.length >= DELEGATIONS_MAX) {
    const detail = `An actor has at most ${DELEGATIONS_MAX} delegations at a time. Revoke some, or make them shorter.`;
    return { refused: 'limit-reached', detail };
  }
  if (wanted.scopes.includes('admin')) return invalid('/scopes', 'must not name admin: it cannot be handed on');
  const begins = notBefore === undefined || notBefore < at ? at : notBefore;
  const until = earlier(limitOf(by, actor), later(at, DELEGATION_LIFE_MAX_MS));
  const expiresAt = wanted.expiresAt ?? earlier(until, later(begins, DEFAULT_LIFE_MS));
  if (expiresAt > later(at, DELEGATION_LIFE_MAX_MS)) return invalid('/expiresAt', 'must be within 24 hours');
  if (expiresAt <= begins) return invalid('/expiresAt', 'must be after it begins');
  const rights = grant({ ...wanted, expiresAt }, by, until);
  if ('refused' in rights) return rights;
  const data = {
    delegation,
    to,
    subject: by.subject,
    chain: by.chain.map(({ id, by: giver }) => ({ id, by: giver })),
    madeWith,
    scopes: [...rights.scopes],
    contexts: rights.contexts && [...rights.contexts],
    notBefore: begins,
    expiresAt,
    maxUses: maxUses ?? null,
  };
  if (keptBytes([...good, data]) > DELEGATIONS_MAX_BYTES) {
    const detail = `The delegations of an actor have at most ${DELEGATIONS_MAX_BYTES} bytes. Revoke some, or name fewer contexts.`;
    return { refused: 'limit-reached', detail };
  }
  return [{ type: 'delegation_granted', data }];
}

/** When what somebody hands on has to end, because what they are known by does; null when it does not. */
function limitOf(by: Principal, holder: Pick<AccessView, 'keys' | 'sessions'>): string | null {
  const session = holder.sessions.find(({ id }) => by.credential.kind === 'session' && id === by.credential.id);
  const keyEnds = endOf(by, holder);
  return session?.expiresAt ? earlier(keyEnds, session.expiresAt) : keyEnds;
}

/**
 * Whether somebody could make with their credential what a delegation of theirs is: only then is its token theirs to have.
 *
 * @param holder what is known of who has the credential
 */
export function isWithin(
  { chain, subject, scopes, contexts, expiresAt }: Delegation,
  by: Principal,
  holder: Pick<AccessView, 'keys' | 'sessions'>,
): boolean {
  const links = (each: readonly DelegationLink[]) => each.map(({ id }) => id).join();
  if (subject !== by.subject || links(chain) !== links(by.chain)) return false;
  if (contexts === null && by.contexts !== null) return false;
  const wanted = { scopes, ...(contexts && { contexts }), expiresAt };
  return !('refused' in grant(wanted, by, limitOf(by, holder)));
}

/** A use is taken by whoever is about to act with the delegation, or with one that was made from it. */
function use(
  { delegation, at }: Extract<DelegationCommand, { type: 'useDelegation' }>,
  actor: Actor,
  by: Principal,
): readonly ActorEvent[] | Refusal {
  const found = actor.delegations.find(({ id }) => id === delegation);
  const isUser = by.chain.some((link) => link.id === delegation && link.by === actor.id);
  if (!found || !isUser || actor.status !== 'active' || statusAt(found, at) !== 'active') return NO_SUCH_DELEGATION;
  return [{ type: 'delegation_used', data: { delegation } }];
}

/** Those who gave it, those above them, the one who has it, and administrators. */
function mayRevoke(delegation: Delegation, actor: Actor, by: Principal): boolean {
  if (by.chain.length === 0 && by.contexts === null && isAdministrator(by)) return true;
  return isPartyTo(delegation, actor.id, by.actor);
}

/** Whether an actor is one of those between whom the rights passed. */
export function isPartyTo({ to, chain }: Delegation, delegator: string, actor: string): boolean {
  return actor === delegator || actor === to || chain.some(({ by }) => by === actor);
}

/** How a delegation stands at a time, as far as its own actor's stream tells. */
export function statusAt(
  { notBefore, expiresAt, maxUses, uses }: Delegation,
  at: string,
): 'pending' | 'active' | 'used-up' | 'expired' {
  if (!isGoodAt(expiresAt, at)) return 'expired';
  if (maxUses !== null && uses >= maxUses) return 'used-up';
  return notBefore > at ? 'pending' : 'active';
}

/** What a delegation is good for as one short text: a token that says anything else is not of this delegation. */
export function rightsDigest(scopes: readonly string[], contexts: readonly string[] | null): string {
  return sha256Hex(canonicalText({ scopes: [...scopes], contexts: contexts && [...contexts] }));
}

/**
 * The events by which delegations end with the credential that they were made with.
 *
 * @param events what was decided about the actor's keys and sessions
 * @param at when, where that matters
 */
export function endedWith(events: readonly ActorEvent[], actor: Actor, at: string | null): ActorEvent[] {
  return events.flatMap((event) => {
    switch (event.type) {
      case 'key_revoked':
        return endOfThoseMadeWith(event.data.key, actor, 'key_ended');
      case 'key_rotated':
        return endOfThoseOfRotated(event.data.key, actor, at !== null && event.data.endsAt > at);
      case 'session_ended':
        return endOfThoseMadeWith(event.data.session, actor, 'session_ended');
      default:
        return [];
    }
  });
}

/**
 * With an overlap the successor takes the key's place in what was made with it. Not in the sessions that it has started:
 * those end with the overlap, when nobody would tell what is open by a delegation that was made in one.
 */
function endOfThoseOfRotated(key: string, actor: Actor, hasOverlap: boolean): ActorEvent[] {
  const sessions = actor.sessions.filter(({ startedWith }) => startedWith === key);
  const ofSessions = sessions.flatMap(({ id }) => endOfThoseMadeWith(id, actor, 'key_ended'));
  // Without one, the end of the sessions is among the events as well.
  return hasOverlap ? ofSessions : endOfThoseMadeWith(key, actor, 'key_ended');
}

type Reason = Extract<ActorEvent, { type: 'delegation_revoked' }>['data']['reason'];

function endOfThoseMadeWith(credential: string, actor: Actor, reason: Reason): ActorEvent[] {
  return actor.delegations.filter(({ madeWith }) => madeWith === credential).map(({ id }) => revoked(id, reason));
}

function revoked(delegation: string, reason: Reason): ActorEvent {
  return { type: 'delegation_revoked', data: { delegation, reason } };
}

/** The delegations after an event about them, or about a key that some were made with. */
export function evolveDelegations(
  delegations: readonly Delegation[],
  event: DelegationEvent | Extract<ActorEvent, { type: 'key_rotated' }>,
  time: string,
): readonly Delegation[] {
  switch (event.type) {
    case 'delegation_granted': {
      const { delegation, scopes, ...data } = event.data;
      const good = delegations.filter(({ expiresAt }) => isGoodAt(expiresAt, time));
      return [...good, { id: delegation, ...data, scopes: knownScopes(scopes), uses: 0, grantedAt: time }];
    }
    case 'delegation_used':
      return delegations.map((each) => (each.id === event.data.delegation ? { ...each, uses: each.uses + 1 } : each));
    case 'delegation_revoked':
      return delegations.filter(({ id }) => id !== event.data.delegation);
    case 'key_rotated': {
      const { key, successor } = event.data;
      return delegations.map((each) => (each.madeWith === key ? { ...each, madeWith: successor } : each));
    }
    default:
      return event satisfies never;
  }
}

function invalid(pointer: string, message: string): Refusal {
  return { refused: 'invalid', detail: `${pointer} ${message}.`, errors: [{ pointer, message }] };
}

function earlier(a: string | null, b: string): string {
  return a === null || b < a ? b : a;
}

function later(at: string, ms: number): string {
  return new Date(Date.parse(at) + ms).toISOString();
}
