import type { ActorEvent, ActorKind } from '../events/actor.ts';
import { BOOTSTRAP_ACTOR } from '../events/bootstrap-actor.ts';
import {
  type Delegation,
  type DelegationCommand,
  decideDelegation,
  endedWith,
  evolveDelegations,
} from './actor-delegations.ts';
import { type ApiKey, decideKey, evolveKeys, type KeyCommand, knownCapabilities } from './actor-keys.ts';
import { type ActorProvisioningEvent, evolveActorProvisioning, isStepAwaited } from './actor-provisioning.ts';
import {
  decideSession,
  evolveSessions,
  isCredentialGoodAt,
  type Session,
  type SessionCommand,
} from './actor-sessions.ts';
import type { Decider, Recorded, Refusal } from './decider.ts';
import type { Capability, Principal } from './principal.ts';
import { type Provisioning, unprovisioned } from './provisioning.ts';

/** Who does things here: a person, a service or an AI agent, with the credentials by which they are known. */
export type Actor = {
  readonly id: string;
  /** The id that the ChittyID authority gave it, once it has. */
  readonly chittyId: string | null;
  readonly kind: ActorKind;
  readonly name: string;
  readonly description: string;
  readonly capabilities: readonly Capability[];
  readonly status: 'active' | 'suspended' | 'deleted';
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
  /** How far its place in ChittyOS has been made. */
  readonly provisioning: Provisioning;
  readonly keys: readonly ApiKey[];
  readonly sessions: readonly Session[];
  readonly delegations: readonly Delegation[];
  /** When all that the actor wrote was erased; left out while it is not. */
  readonly erasedAt?: string;
};

/** An actor without their credentials: what they themselves and administrators see. */
export type ActorRecord = Omit<Actor, 'keys' | 'sessions' | 'delegations' | 'erasedAt'>;

/** What everybody may know of an actor. */
export type ActorSummary = Pick<Actor, 'id' | 'chittyId' | 'kind' | 'name' | 'status'>;

/** Null until the actor was registered. */
export type ActorState = Actor | null;

type Registered = Extract<ActorEvent, { type: 'actor_registered' }>['data'];

type OwnCommand =
  | { readonly type: 'register'; readonly data: Registered }
  | { readonly type: 'update'; readonly data: { readonly name?: string; readonly description?: string } }
  | { readonly type: 'grantCapability'; readonly capability: Capability }
  | { readonly type: 'revokeCapability'; readonly capability: Capability }
  | { readonly type: 'suspend'; readonly reason: string }
  | { readonly type: 'reinstate' }
  | { readonly type: 'delete' }
  /** All words of the actor, here and wherever they are kept; and the actor with them. */
  | { readonly type: 'erase' }
  /** What the provisioning process reports. */
  | { readonly type: 'recordProvisioning'; readonly event: ActorProvisioningEvent };

/** What can be asked of an actor. */
export type ActorCommand = OwnCommand | KeyCommand | SessionCommand | DelegationCommand;

const FIRST_ADMINISTRATOR: Refusal = {
  refused: 'conflict',
  detail:
    'The first administrator stays as it is, so that there always is a way in. To lock somebody out who knows its key, ' +
    'set another BOOTSTRAP_API_KEY.',
};

/** What an actor does: the rules are in `decide`, their consequences in `evolve`. */
export const actorDecider: Decider<ActorState, ActorCommand, ActorEvent> = {
  initialState: null,

  decide(command, state, by, _now, past) {
    if (command.type === 'register') {
      if (state !== null) return { refused: 'already-exists', detail: 'There is an actor with this id already.' };
      return [{ type: 'actor_registered', data: command.data }];
    }
    if (state === null) return { refused: 'not-found', detail: 'There is no such actor.' };
    if (command.type === 'erase') return erase(state);
    // Also of an actor that was deleted meanwhile: an id that was given out for it must not be lost.
    if (command.type === 'recordProvisioning') {
      return isStepAwaited(command.event, state.provisioning) ? [command.event] : [];
    }
    if (state.status === 'deleted') return { refused: 'deleted', detail: 'The actor is deleted, for good.' };
    switch (command.type) {
      case 'issueKey':
      case 'rotateKey':
        return (
          refuseEnded(state, by, command.at) ?? withDelegations(decideKey(command, state, by, past), state, command)
        );
      case 'revokeKey':
        return withDelegations(decideKey(command, state, by, past), state, command);
      case 'startSession':
      case 'refreshSession':
      case 'endOwnSession':
      case 'endSession':
      case 'endAllSessions':
        return withDelegations(decideSession(command, state, by), state, command);
      case 'delegate':
      case 'useDelegation':
      case 'revokeDelegation':
        return decideDelegation(command, state, by);
      default:
        return decideOwn(command, state);
    }
  },

  evolve(state, event) {
    const next = apply(state, event);
    const updatedAt = isActorBookkeeping(event.type) ? next.updatedAt : event.time;
    return { ...next, version: event.version, updatedAt };
  },
};

/**
 * Who is known by something that has ended meanwhile is still let in for some seconds where that is not known yet. A key
 * that was made then would stay; sessions and delegations end with what made them.
 */
function refuseEnded(state: Actor, by: Principal, at: string): Refusal | null {
  if (by.actor === state.id && state.status !== 'active') return { refused: 'suspended', detail: 'You are suspended.' };
  if (isCredentialGoodAt(state, by, at)) return null;
  return { refused: 'forbidden', detail: 'The credential that you use has ended. Use another.' };
}

/** What is handed on ends with the credential that it was handed on with. */
function withDelegations(
  decision: readonly ActorEvent[] | Refusal,
  state: Actor,
  command: KeyCommand | SessionCommand,
): readonly ActorEvent[] | Refusal {
  if ('refused' in decision) return decision;
  return [...decision, ...endedWith(decision, state, 'at' in command ? command.at : null)];
}

function erase(state: Actor): readonly ActorEvent[] | Refusal {
  if (state.id === BOOTSTRAP_ACTOR) return FIRST_ADMINISTRATOR;
  if (state.erasedAt !== undefined) {
    return { refused: 'already-erased', detail: `The words of ${state.id} are erased already.` };
  }
  const erased: ActorEvent = { type: 'subject_erased', data: { subject: state.id, reason: 'everywhere' } };
  return state.status === 'deleted' ? [erased] : [{ type: 'actor_deleted', data: {} }, erased];
}

function decideOwn(
  command: Exclude<OwnCommand, { type: 'register' | 'erase' | 'recordProvisioning' }>,
  state: Actor,
): readonly ActorEvent[] | Refusal {
  switch (command.type) {
    case 'update': {
      const { name = state.name, description = state.description } = command.data;
      const data = {
        ...(name !== state.name && { name }),
        ...(description !== state.description && { description }),
      };
      return Object.keys(data).length === 0 ? [] : [{ type: 'actor_updated', data }];
    }
    case 'grantCapability': {
      const { capability } = command;
      return state.capabilities.includes(capability) ? [] : [{ type: 'capability_granted', data: { capability } }];
    }
    case 'revokeCapability': {
      const { capability } = command;
      if (!state.capabilities.includes(capability)) return [];
      if (state.id === BOOTSTRAP_ACTOR && capability === 'administrator') return FIRST_ADMINISTRATOR;
      return [{ type: 'capability_revoked', data: { capability } }];
    }
    case 'suspend':
      if (state.id === BOOTSTRAP_ACTOR) return FIRST_ADMINISTRATOR;
      if (state.status === 'suspended') return { refused: 'suspended', detail: 'The actor is suspended already.' };
      return [{ type: 'actor_suspended', data: { reason: command.reason } }];
    case 'reinstate':
      if (state.status === 'active') return { refused: 'conflict', detail: 'The actor is not suspended.' };
      return [{ type: 'actor_reinstated', data: {} }];
    case 'delete':
      return state.id === BOOTSTRAP_ACTOR ? FIRST_ADMINISTRATOR : [{ type: 'actor_deleted', data: {} }];
    default:
      return command satisfies never;
  }
}

/** An actor without their credentials, also of one that has none any more. */
export function recordOf(actor: Actor | ActorRecord): ActorRecord {
  const { id, chittyId, kind, name, description, capabilities, status } = actor;
  const { version, createdAt, updatedAt, provisioning } = actor;
  return {
    id,
    chittyId,
    kind,
    name,
    description,
    capabilities,
    status,
    version,
    createdAt,
    updatedAt,
    provisioning,
  };
}

/** Whether an event changes nothing of what people write about an actor. */
export function isActorBookkeeping(type: ActorEvent['type']): boolean {
  switch (type) {
    case 'actor_registered':
    case 'actor_updated':
    case 'capability_granted':
    case 'capability_revoked':
    case 'actor_suspended':
    case 'actor_reinstated':
    case 'actor_deleted':
    case 'subject_erased':
      return false;
    default:
      return true;
  }
}

function apply(state: ActorState, event: Recorded<ActorEvent>): Actor {
  if (event.type === 'actor_registered') {
    return {
      id: event.stream.slice(event.stream.indexOf('/') + 1),
      chittyId: null,
      ...event.data,
      capabilities: knownCapabilities(event.data.capabilities),
      status: 'active',
      version: event.version,
      createdAt: event.time,
      updatedAt: event.time,
      provisioning: unprovisioned,
      keys: [],
      sessions: [],
      delegations: [],
    };
  }
  if (state === null) throw new Error(`${event.type} at the start of ${event.stream}`);
  switch (event.type) {
    case 'actor_updated':
      return { ...state, ...event.data };
    case 'capability_granted':
      return { ...state, capabilities: knownCapabilities([...state.capabilities, event.data.capability]) };
    case 'capability_revoked':
      return { ...state, capabilities: state.capabilities.filter((each) => each !== event.data.capability) };
    case 'actor_suspended':
      return { ...state, status: 'suspended' };
    case 'actor_reinstated':
      return { ...state, status: 'active' };
    case 'actor_deleted':
      return { ...state, status: 'deleted', capabilities: [], keys: [], sessions: [], delegations: [] };
    case 'subject_erased':
      return { ...state, erasedAt: event.time };
    case 'key_rotated':
      return {
        ...state,
        keys: evolveKeys(state.keys, event, event.time),
        delegations: evolveDelegations(state.delegations, event, event.time),
      };
    case 'key_issued':
    case 'key_revoked':
      return { ...state, keys: evolveKeys(state.keys, event, event.time) };
    case 'session_started':
    case 'session_refreshed':
    case 'session_ended':
      return { ...state, sessions: evolveSessions(state.sessions, event, event.time) };
    case 'delegation_granted':
    case 'delegation_used':
    case 'delegation_revoked':
      return { ...state, delegations: evolveDelegations(state.delegations, event, event.time) };
    case 'actor_identified':
      return {
        ...state,
        chittyId: event.data.chittyId,
        provisioning: evolveActorProvisioning(state.provisioning, event, event.time),
      };
    default:
      return { ...state, provisioning: evolveActorProvisioning(state.provisioning, event, event.time) };
  }
}
