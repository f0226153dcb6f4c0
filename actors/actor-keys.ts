import type { ActorEvent } from '../events/actor.ts';
import type { Actor, ActorState } from './actor.ts';
import type { Past, Refusal } from './decider.ts';
import { successorsOf } from './key-successors.ts';
import { CAPABILITIES, type Capability, type Principal, SCOPES, type Scope } from './principal.ts';

/** Keys of one actor that are good at the same time. */
const KEYS_MAX = 50;

/** An API key as its actor's stream knows it: of the key itself, only the hash. */
export type ApiKey = {
  readonly id: string;
  readonly name: string;
  readonly hash: string;
  readonly scopes: readonly Scope[];
  /** The contexts that it is good for; null for all that the actor may see. */
  readonly contexts: readonly string[] | null;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  /** The key that takes its place, once it was rotated. */
  readonly successor: string | null;
};

/** What a credential is good for. */
export type Rights = Pick<ApiKey, 'scopes' | 'contexts' | 'expiresAt'>;

/** What is wanted of a new credential; what is left out is as much as can be had, but never `admin` unasked. */
export type Wanted = {
  readonly scopes?: readonly Scope[];
  readonly contexts?: readonly string[];
  readonly expiresAt?: string;
};

/**
 * What can be asked about an actor's keys; `at` is when, in ISO 8601 (UTC, milliseconds), `until` when the credential that
 * is used ends (null: never), where that is another actor's: of the actor's own, their stream tells.
 */
export type KeyCommand =
  | {
      readonly type: 'issueKey';
      readonly key: string;
      readonly name: string;
      readonly hash: string;
      readonly wanted: Wanted;
      readonly at: string;
      readonly until?: string | null;
    }
  | {
      readonly type: 'rotateKey';
      readonly key: string;
      readonly successor: string;
      readonly hash: string;
      /** Until when the old one is good as well. */
      readonly endsAt: string;
      readonly at: string;
      readonly until?: string | null;
    }
  /** `withSuccessors`: what has taken its place by rotation as well, also when the key itself has ended already. */
  | { readonly type: 'revokeKey'; readonly key: string; readonly withSuccessors?: boolean };

/** An actor's keys and sessions, as the actor's stream or the edge knows them. */
interface Credentials {
  readonly keys: readonly Pick<ApiKey, 'id' | 'expiresAt'>[];
  readonly sessions: readonly { readonly id: string; readonly startedWith: string }[];
}

/** The events about keys. */
export type KeyEvent = Extract<ActorEvent, { type: 'key_issued' | 'key_rotated' | 'key_revoked' }>;

const NO_SUCH_KEY: Refusal = { refused: 'not-found', detail: 'There is no such key; it may have ended already.' };

/** The scopes of the list that there are (still). */
export function knownScopes(names: readonly string[]): Scope[] {
  return SCOPES.filter((scope) => names.includes(scope));
}

/** The capabilities of the list that there are (still). */
export function knownCapabilities(names: readonly string[]): Capability[] {
  return CAPABILITIES.filter((capability) => names.includes(capability));
}

/** Whether something that ends at a time (null: never) is still good at another. */
export function isGoodAt(expiresAt: string | null, at: string): boolean {
  return expiresAt === null || expiresAt > at;
}

/** The key of this id, if it is good at the time. */
export function keyAt(actor: Actor, id: string, at: string): ApiKey | undefined {
  return actor.keys.find((key) => key.id === id && isGoodAt(key.expiresAt, at));
}

/**
 * What a new credential is good for: no scope and no context more than the one that makes it has, and no moment longer.
 *
 * @param by who makes it
 * @param until when the credential of `by` ends; null when it does not
 */
export function grant(wanted: Wanted, by: Principal, until: string | null): Rights | Refusal {
  const scopes = wanted.scopes ?? by.scopes.filter((scope) => scope !== 'admin');
  const excess = scopes.filter((scope) => !by.scopes.includes(scope));
  if (excess.length > 0)
    return tooMuch('/scopes', `must not have what your own credential has not: ${excess.join(', ')}`);
  const contexts = wanted.contexts ?? by.contexts;
  const foreign = by.contexts === null ? [] : (contexts ?? []).filter((context) => !by.contexts?.includes(context));
  if (foreign.length > 0)
    return tooMuch('/contexts', 'must not name contexts that your own credential is not good for');
  const expiresAt = wanted.expiresAt ?? until;
  if (until !== null && (expiresAt === null || expiresAt > until)) {
    return tooMuch('/expiresAt', `must not be later than your own credential ends, ${until}`);
  }
  return { scopes: knownScopes(scopes), contexts, expiresAt };
}

function tooMuch(pointer: string, message: string): Refusal {
  return { refused: 'forbidden', detail: `${pointer} ${message}.`, errors: [{ pointer, message }] };
}

/**
 * When the credential by which somebody is known ends for good; a session's access token is replaced all the time.
 *
 * @param holder what is known of who has it; of a session that is not among theirs, only its token's end is known
 */
export function endOf({ credential, expiresAt }: Principal, holder: Credentials): string | null {
  const session = holder.sessions.find(({ id }) => credential.kind === 'session' && id === credential.id);
  if (!session) return expiresAt === null ? null : new Date(expiresAt).toISOString();
  return holder.keys.find(({ id }) => id === session.startedWith)?.expiresAt ?? null;
}

/** Decides about keys of an actor who is there and not deleted. @param past of their stream */
export function decideKey(
  command: KeyCommand,
  actor: Actor,
  by: Principal,
  past: Past<ActorState, ActorEvent>,
): readonly ActorEvent[] | Refusal {
  switch (command.type) {
    case 'issueKey': {
      const { key, name, hash, wanted, at, until = endOf(by, actor) } = command;
      if (actor.keys.filter(({ expiresAt }) => isGoodAt(expiresAt, at)).length >= KEYS_MAX) return TOO_MANY;
      const rights = grant(wanted, by, until);
      return 'refused' in rights ? rights : [{ type: 'key_issued', data: { key, name, hash, ...copied(rights) } }];
    }
    case 'rotateKey':
      return rotate(command, actor, by);
    case 'revokeKey': {
      const { key, withSuccessors = false } = command;
      const wanted = withSuccessors ? [key, ...successorsOf(key, rotationsOf(actor, past))] : [key];
      const ending = wanted.filter((each) => actor.keys.some(({ id }) => id === each));
      if (ending.length === 0) return NO_SUCH_KEY;
      return ending.flatMap((each) => [{ type: 'key_revoked', data: { key: each } }, ...endSessionsOf(each, actor)]);
    }
    default:
      return command satisfies never;
  }
}

const TOO_MANY: Refusal = {
  refused: 'limit-reached',
  detail: `An actor has at most ${KEYS_MAX} keys at a time. Revoke one that is not needed any more.`,
};

/** What the keys that there are say of each other holds however long ago it was; the past tells of those between. */
function* rotationsOf({ keys }: Actor, past: Past<ActorState, ActorEvent>) {
  for (const { id, successor } of keys) if (successor !== null) yield { key: id, successor };
  for (const event of past.newestFirst(0)) if (event.type === 'key_rotated') yield event.data;
}

/** Who has the successor has what the old key was good for: so that has to be within the bounds of who asks for it. */
function rotate(
  { key, successor, hash, endsAt, at, until: given }: Extract<KeyCommand, { type: 'rotateKey' }>,
  actor: Actor,
  by: Principal,
): readonly ActorEvent[] | Refusal {
  const old = keyAt(actor, key, at);
  if (!old) return NO_SUCH_KEY;
  if (old.successor !== null) {
    return { refused: 'conflict', detail: `The key was rotated already; ${old.successor} has taken its place.` };
  }
  if (actor.keys.filter(({ expiresAt }) => isGoodAt(expiresAt, at)).length >= KEYS_MAX && endsAt > at) return TOO_MANY;
  if (!mayRenew(by.credential.id, key, actor)) {
    const until = given === undefined ? endOf(by, actor) : given;
    const { scopes, contexts, expiresAt } = old;
    const wanted = { scopes, ...(contexts && { contexts }), ...(expiresAt !== null && { expiresAt }) };
    const isWider = contexts === null && by.contexts !== null;
    const isLonger = expiresAt === null && until !== null;
    const rights = grant(wanted, by, until);
    if (isWider || isLonger || 'refused' in rights) {
      return {
        refused: 'forbidden',
        detail: 'This key is good for more than the credential that you use. Use another.',
      };
    }
  }
  const rotated: ActorEvent = { type: 'key_rotated', data: { key, successor, hash, endsAt } };
  return endsAt > at ? [rotated] : [rotated, ...endSessionsOf(key, actor)];
}

/**
 * Whether a key may be renewed with another for as long as it was good for: with itself, and with the one whose place it
 * has taken. Else whoever lost the answer to a rotation would hold nothing but a key that ends.
 */
function mayRenew(withKey: string, key: string, { keys }: Actor): boolean {
  return withKey === key || keys.some(({ id, successor }) => id === withKey && successor === key);
}

/** A session ends with the key that it was started with. */
function endSessionsOf(key: string, actor: Actor): ActorEvent[] {
  return actor.sessions
    .filter(({ startedWith }) => startedWith === key)
    .map(({ id }) => ({ type: 'session_ended', data: { session: id, reason: 'key_ended' } }));
}

/** As events have it. */
function copied({ scopes, contexts, expiresAt }: Rights) {
  return { scopes: [...scopes], contexts: contexts && [...contexts], expiresAt };
}

/** The keys after an event about them. */
export function evolveKeys(keys: readonly ApiKey[], event: KeyEvent, time: string): readonly ApiKey[] {
  const good = keys.filter(({ expiresAt }) => isGoodAt(expiresAt, time));
  switch (event.type) {
    case 'key_issued': {
      const { key, name, hash, scopes, contexts, expiresAt } = event.data;
      const issued = { id: key, name, hash, scopes: knownScopes(scopes), contexts, createdAt: time, expiresAt };
      return [...good, { ...issued, successor: null }];
    }
    case 'key_rotated': {
      const { key, successor, hash, endsAt } = event.data;
      const old = keys.find(({ id }) => id === key);
      if (!old) return good;
      const ending = { ...old, expiresAt: earlier(old.expiresAt, endsAt), successor };
      const others = good.filter(({ id }) => id !== key);
      const next = { ...old, id: successor, hash, createdAt: time };
      return isGoodAt(ending.expiresAt, time) ? [...others, ending, next] : [...others, next];
    }
    case 'key_revoked':
      return good.filter(({ id }) => id !== event.data.key);
    default:
      return event satisfies never;
  }
}

function earlier(a: string | null, b: string): string {
  return a === null || b < a ? b : a;
}
