import { type ContextEvent, contextMetadata, PROVISIONING_STEPS } from '../events/context.ts';
import type { JsonObject } from '../events/json.ts';
import { applyMergePatch, effectivePatch, jsonEquals } from '../events/merge-patch.ts';
import type { Member } from './access.ts';
import type { Decider, Recorded, Refusal } from './decider.ts';
import {
  evolveProvisioning,
  isProvisioning,
  nextStep,
  type Provisioning,
  type ProvisioningEvent,
  unprovisioned,
} from './provisioning.ts';
import { type Revert, revert, revertedMetadata } from './revert.ts';

/** A context: what a person, a team or an AI agent is working on. The JSON that clients see. */
export type Context = {
  readonly id: string;
  /** The id that the ChittyID authority gave it, once it has. */
  readonly chittyId: string | null;
  readonly name: string;
  readonly description: string;
  /** The actor it belongs to; one of the members whose role is owner. */
  readonly owner: string;
  /** Who may do what with it, in the order in which they came. */
  readonly members: readonly Member[];
  readonly systems: readonly string[];
  readonly tools: readonly string[];
  readonly metadata: JsonObject;
  readonly status: 'active' | 'deleted';
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
  /** How far its place in ChittyOS has been made. */
  readonly provisioning: Provisioning;
};

/** Null until the context was created. */
export type ContextState = Context | null;

type Created = Extract<ContextEvent, { type: 'context_created' }>['data'];

/** A change as a merge patch whose members are checked: null stands for "empty it" and is only taken by metadata. */
type ContextPatch = {
  readonly name?: string;
  readonly description?: string;
  readonly systems?: readonly string[];
  readonly tools?: readonly string[];
  readonly metadata?: JsonObject | null;
};

/** What can be asked of a context. */
export type ContextCommand =
  | { readonly type: 'create'; readonly data: Created }
  | { readonly type: 'update'; readonly data: ContextPatch }
  | ({ readonly type: 'revert' } & Revert)
  | { readonly type: 'delete' }
  | { readonly type: 'restore' }
  | { readonly type: 'retryProvisioning' }
  /** What the provisioning process reports; `event` says how a step went. */
  | { readonly type: 'recordProvisioning'; readonly event: ProvisioningEvent };

/** What a context does: the rules are in `decide`, their consequences in `evolve`. */
export const contextDecider: Decider<ContextState, ContextCommand, ContextEvent> = {
  initialState: null,

  decide(command, state, by, _now, past) {
    if (command.type === 'create') return create(command.data, state);
    if (state === null) return { refused: 'not-found', detail: 'There is no such context.' };
    switch (command.type) {
      case 'update':
        return update(command.data, state);
      case 'revert':
        return revert(command, state, by, past);
      case 'delete':
        if (state.status === 'deleted') {
          return {
            refused: 'already-deleted',
            detail: 'The context is deleted already. POST …/restore brings it back.',
          };
        }
        return [{ type: 'context_deleted', data: {} }];
      case 'restore':
        if (state.status === 'active') {
          return { refused: 'not-deleted', detail: 'The context is not deleted: there is nothing to restore.' };
        }
        return [{ type: 'context_restored', data: {} }];
      case 'retryProvisioning':
        return retryProvisioning(state);
      case 'recordProvisioning':
        return isStillAwaited(command.event, state) ? [command.event] : [];
      default:
        return command satisfies never;
    }
  },

  evolve(state, event) {
    const next = apply(state, event);
    const updatedAt = isProvisioning(event.type) ? next.updatedAt : event.time;
    return { ...next, version: event.version, updatedAt };
  },
};

function create(data: Created, state: ContextState): readonly ContextEvent[] | Refusal {
  if (state !== null) return { refused: 'already-exists', detail: 'A context with this id exists already.' };
  return [{ type: 'context_created', data }];
}

function update(patch: ContextPatch, state: Context): readonly ContextEvent[] | Refusal {
  if (state.status === 'deleted') {
    return { refused: 'deleted', detail: 'The context is deleted. POST …/restore brings it back; change it then.' };
  }
  const metadata = metadataChange(patch.metadata, state.metadata);
  if (metadata) {
    const merged = contextMetadata.safeParse(applyMergePatch(state.metadata, metadata));
    if (!merged.success) {
      const message = merged.error.issues[0]?.message ?? 'is not valid';
      const errors = [{ pointer: '/metadata', message: `${message} after the patch` }];
      return { refused: 'invalid', detail: 'The metadata would be too large or too deep.', errors };
    }
  }
  const changes = {
    ...(patch.name !== undefined && patch.name !== state.name && { name: patch.name }),
    ...(patch.description !== undefined &&
      patch.description !== state.description && { description: patch.description }),
    ...(patch.systems !== undefined && !jsonEquals(patch.systems, state.systems) && { systems: patch.systems }),
    ...(patch.tools !== undefined && !jsonEquals(patch.tools, state.tools) && { tools: patch.tools }),
    ...(metadata !== undefined && { metadata }),
  };
  return Object.keys(changes).length === 0 ? [] : [{ type: 'context_updated', data: changes }];
}

function retryProvisioning(state: Context): readonly ContextEvent[] | Refusal {
  if (state.status === 'deleted') return { refused: 'deleted', detail: 'The context is deleted: restore it first.' };
  const step = nextStep(state.provisioning);
  const isFailing = step !== undefined && state.provisioning.steps[step]?.status === 'failed';
  return isFailing ? [{ type: 'provisioning_retried', data: {} }] : [];
}

/** Whether a report still is about the step that is next: a step that was made twice is recorded once. */
function isStillAwaited(event: ProvisioningEvent, { provisioning }: Context): boolean {
  const step = nextStep(provisioning);
  if (step === undefined) return false;
  return event.type === 'provisioning_step_failed' ? event.data.step === step : event.type === PROVISIONING_STEPS[step];
}

/** The merge patch that really changes the metadata, null when it is to be emptied, undefined when it stays. */
function metadataChange(patch: JsonObject | null | undefined, current: JsonObject): JsonObject | null | undefined {
  if (patch === undefined) return undefined;
  if (patch === null) return Object.keys(current).length > 0 ? null : undefined;
  const effective = effectivePatch(current, patch);
  return Object.keys(effective).length > 0 ? effective : undefined;
}

function apply(state: ContextState, event: Recorded<ContextEvent>): Context {
  if (event.type === 'context_created') {
    return {
      id: event.stream.slice(event.stream.indexOf('/') + 1),
      chittyId: null,
      name: event.data.name,
      description: event.data.description,
      owner: event.data.owner,
      members: [{ actor: event.data.owner, role: 'owner', since: event.time }],
      systems: event.data.systems,
      tools: event.data.tools,
      metadata: event.data.metadata,
      status: 'active',
      version: event.version,
      createdAt: event.time,
      updatedAt: event.time,
      provisioning: unprovisioned,
    };
  }
  if (state === null) throw new Error(`${event.type} at the start of ${event.stream}`);
  switch (event.type) {
    case 'context_updated': {
      const { metadata, ...fields } = event.data;
      if (metadata === undefined) return { ...state, ...fields };
      const merged = metadata === null ? {} : applyMergePatch(state.metadata, metadata);
      return { ...state, ...fields, metadata: merged };
    }
    case 'context_reverted': {
      const { to, metadata, ...fields } = event.data;
      return { ...state, ...fields, ...(metadata && { metadata: revertedMetadata(state.metadata, metadata) }) };
    }
    case 'context_deleted':
      return { ...state, status: 'deleted' };
    case 'context_restored':
      return { ...state, status: 'active' };
    case 'context_identified':
      return { ...state, chittyId: event.data.chittyId, provisioning: evolveProvisioning(state.provisioning, event) };
    default:
      return { ...state, provisioning: evolveProvisioning(state.provisioning, event) };
  }
}
