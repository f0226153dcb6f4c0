import { type ContextChange, type ContextEvent, PROVISIONING_STEPS } from '../events/context.ts';
import type { JsonObject } from '../events/json.ts';
import type { Member } from './access.ts';
import { collaborationOf, isOwner, type KeptContext } from './collaboration.ts';
import { applyChange, effectiveChange } from './context-change.ts';
import { type Decider, isRefusal, type Recorded, type Refusal } from './decider.ts';
import { decideNotes, evolveNotes, type NoteCommand } from './notes.ts';
import type { Principal } from './principal.ts';
import { decidePrivacy, evolvePrivacy, type PrivacyCommand, withActivity, withRules } from './privacy.ts';
import { changed, decideProposals, evolveProposals, type ProposalCommand, withStaleProposals } from './proposals.ts';
import {
  evolveProvisioning,
  isProvisioning,
  nextStep,
  type Provisioning,
  type ProvisioningEvent,
  unprovisioned,
} from './provisioning.ts';
import { type Revert, revert, revertedChange, revertedMetadata } from './revert.ts';
import { decideSharing, evolveSharing, type SharingCommand } from './sharing.ts';

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
export type ContextState = KeptContext | null;

type Created = Extract<ContextEvent, { type: 'context_created' }>['data'];

/** What can be asked of a context. */
export type ContextCommand =
  | { readonly type: 'create'; readonly data: Created }
  | { readonly type: 'update'; readonly data: ContextChange }
  | ({ readonly type: 'revert' } & Revert)
  | { readonly type: 'delete' }
  | { readonly type: 'restore' }
  | { readonly type: 'retryProvisioning' }
  /** What the provisioning process reports; `event` says how a step went. */
  | { readonly type: 'recordProvisioning'; readonly event: ProvisioningEvent }
  | SharingCommand
  | PrivacyCommand
  | NoteCommand
  | ProposalCommand;

/** What a context does: the rules are in `decide`, their consequences in `evolve`. */
export const contextDecider: Decider<ContextState, ContextCommand, ContextEvent> = {
  initialState: null,

  decide(command, state, by, now, past) {
    if (command.type === 'create') return create(command.data, state);
    if (state === null) return { refused: 'not-found', detail: 'There is no such context.' };
    switch (command.type) {
      case 'update':
        return refuseDirect(state, by) ?? update(command.data, state);
      case 'revert':
        return refuseDirect(state, by) ?? revert(command, state, by, past);
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
      case 'invite':
      case 'acceptInvitation':
      case 'declineInvitation':
      case 'withdrawInvitation':
      case 'changeRole':
      case 'removeMember':
      case 'leave':
      case 'transferOwnership':
        return decideSharing(command, state, by, now);
      case 'addNote':
      case 'removeNote':
        return decideNotes(command, state, by);
      case 'setPrivacyRules':
      case 'placeHold':
      case 'liftHold':
      case 'setRetention':
      case 'endRetention':
      case 'eraseSubject':
      case 'applyRetention':
        return decidePrivacy(command, state, now);
      case 'setRules':
      case 'propose':
      case 'comment':
      case 'approve':
      case 'reject':
      case 'withdrawProposal':
      case 'rebase':
        return decideProposals(command, state, by);
      default:
        return command satisfies never;
    }
  },

  evolve(state, event) {
    const next = withActivity(apply(state, event), event);
    // The time of a deletion stays the time that the context was last changed.
    const isUnchanged = isBookkeeping(event.type) || (state?.status === 'deleted' && next.status === 'deleted');
    const updatedAt = isUnchanged ? next.updatedAt : event.time;
    return { ...next, version: event.version, updatedAt };
  },
};

function create(data: Created, state: ContextState): readonly ContextEvent[] | Refusal {
  if (state !== null) return { refused: 'already-exists', detail: 'A context with this id exists already.' };
  return [{ type: 'context_created', data }];
}

/** Refuses a change that has to be proposed; null when it has not. */
function refuseDirect(state: KeptContext, by: Principal): Refusal | null {
  if (!collaborationOf(state).rules.proposalsOnly || isOwner(by, state)) return null;
  const detail = 'Only owners change this context directly. Make a proposal (POST …/proposals).';
  return { refused: 'proposals-only', detail };
}

function update(patch: ContextChange, state: Context): readonly ContextEvent[] | Refusal {
  if (state.status === 'deleted') {
    return { refused: 'deleted', detail: 'The context is deleted. POST …/restore brings it back; change it then.' };
  }
  const change = effectiveChange(patch, state);
  if (isRefusal(change)) return change;
  return Object.keys(change).length === 0 ? [] : [{ type: 'context_updated', data: change }];
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

/** Whether events of this type leave the context as clients see it, but for its version and its provisioning. */
export function isBookkeeping(type: ContextEvent['type']): boolean {
  switch (type) {
    case 'invitation_sent':
    case 'invitation_declined':
    case 'invitation_withdrawn':
    case 'note_added':
    case 'note_removed':
    case 'privacy_rules_set':
    case 'legal_hold_placed':
    case 'legal_hold_lifted':
    case 'retention_set':
    case 'retention_ended':
    case 'rules_changed':
    case 'proposal_made':
    case 'proposal_commented':
    case 'proposal_approved':
    case 'proposal_rejected':
    case 'proposal_withdrawn':
    case 'proposal_rebased':
    case 'proposal_sealed':
    case 'metadata_sealed':
      return true;
    default:
      return isProvisioning(type);
  }
}

function apply(state: ContextState, event: Recorded<ContextEvent>): KeptContext {
  if (event.type === 'context_created') {
    const created: Context = {
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
    return event.data.privacy === undefined ? created : withRules(created, event.data.privacy);
  }
  if (state === null) throw new Error(`${event.type} at the start of ${event.stream}`);
  switch (event.type) {
    case 'context_updated':
      return changed(state, event.data, event.version);
    case 'metadata_sealed':
      // What proposals are about is as it was.
      return applyChange(state, event.data);
    case 'context_reverted': {
      const { to, metadata, ...fields } = event.data;
      const after = { ...state, ...fields, ...(metadata && { metadata: revertedMetadata(state.metadata, metadata) }) };
      return withStaleProposals(after, revertedChange(event.data), event.version);
    }
    case 'context_deleted':
      return { ...state, status: 'deleted' };
    case 'context_restored':
      return { ...state, status: 'active' };
    case 'context_identified':
      return { ...state, chittyId: event.data.chittyId, provisioning: evolveProvisioning(state.provisioning, event) };
    case 'invitation_sent':
    case 'invitation_accepted':
    case 'invitation_declined':
    case 'invitation_withdrawn':
    case 'member_role_changed':
    case 'member_removed':
    case 'member_left':
    case 'ownership_transferred':
      return evolveSharing(state, event);
    case 'note_added':
    case 'note_removed':
      return evolveNotes(state, event);
    case 'privacy_rules_set':
    case 'legal_hold_placed':
    case 'legal_hold_lifted':
    case 'retention_set':
    case 'retention_ended':
    case 'subject_erased':
      return evolvePrivacy(state, event);
    case 'rules_changed':
    case 'proposal_made':
    case 'proposal_commented':
    case 'proposal_approved':
    case 'proposal_rejected':
    case 'proposal_withdrawn':
    case 'proposal_rebased':
    case 'proposal_sealed':
    case 'proposal_applied':
      return evolveProposals(state, event);
    default:
      return { ...state, provisioning: evolveProvisioning(state.provisioning, event) };
  }
}
