import type { ContextChange, ContextEvent } from '../events/context.ts';
import {
  type ClosedProposal,
  type Collaboration,
  collaborationOf,
  isVoiceOf,
  type KeptContext,
  newestWithin,
  type Proposal,
  type Rules,
  voiceOf,
  withCollaboration,
} from './collaboration.ts';
import { applyChange, effectiveChange, touchTheSame } from './context-change.ts';
import { isRefusal, type Recorded, type Refusal } from './decider.ts';
import { keptBytes } from './kept-bytes.ts';
import type { Principal } from './principal.ts';

/** Proposals that are open at a time at most, and bytes of all of them with their comments. */
const PROPOSALS_MAX = 50;
const PROPOSALS_MAX_BYTES = 96 * 1024;
/** Comments on one proposal at most. */
const COMMENTS_MAX = 100;
/** Decided proposals of which the context still knows what became of them, and bytes of that. */
const CLOSED_MAX = 50;
const CLOSED_MAX_BYTES = 16 * 1024;

/** What can be asked about proposals and the rules for them. */
export type ProposalCommand =
  | { readonly type: 'setRules'; readonly rules: Partial<Rules> }
  | {
      readonly type: 'propose';
      readonly proposal: string;
      readonly change: ContextChange;
      readonly message?: string;
    }
  | { readonly type: 'comment'; readonly proposal: string; readonly text: string }
  | { readonly type: 'approve'; readonly proposal: string }
  | { readonly type: 'reject'; readonly proposal: string; readonly reason?: string }
  | { readonly type: 'withdrawProposal'; readonly proposal: string }
  | { readonly type: 'rebase'; readonly proposal: string };

/** The events of proposals. */
export type ProposalEvent = Extract<ContextEvent, { type: `proposal_${string}` | 'rules_changed' }>;

/** Decides about proposals. That the caller may change the context (for the rules: owns it) was decided before. */
export function decideProposals(
  command: ProposalCommand,
  state: KeptContext,
  by: Principal,
): readonly ProposalEvent[] | Refusal {
  if (state.status === 'deleted') return { refused: 'deleted', detail: 'The context is deleted: restore it first.' };
  if (command.type === 'setRules') return setRules(command.rules, state);
  if (command.type === 'propose') return propose(command, state, by);
  const proposal = collaborationOf(state).proposals.find(({ id }) => id === command.proposal);
  if (!proposal) return notOpen(command.proposal, state);
  const isAuthor = isVoiceOf(proposal.author, by);
  switch (command.type) {
    case 'comment':
      return comment(proposal, command.text, state, by);
    case 'approve': {
      if (!isAuthor) return approve(proposal, state, by);
      return { refused: 'forbidden', detail: 'A proposal is approved by others than its author.' };
    }
    case 'reject': {
      const { reason } = command;
      return [{ type: 'proposal_rejected', data: { proposal: proposal.id, ...(reason !== undefined && { reason }) } }];
    }
    case 'withdrawProposal':
      if (!isAuthor) return { refused: 'forbidden', detail: 'Only its author can withdraw a proposal. Reject it.' };
      return [{ type: 'proposal_withdrawn', data: { proposal: proposal.id } }];
    case 'rebase':
      if (!isAuthor) return { refused: 'forbidden', detail: 'Only its author can rebase a proposal.' };
      return rebase(proposal, state);
    default:
      return command satisfies never;
  }
}

function setRules(wanted: Partial<Rules>, state: KeptContext): readonly ProposalEvent[] {
  const { rules } = collaborationOf(state);
  const { approvalsRequired = rules.approvalsRequired, proposalsOnly = rules.proposalsOnly } = wanted;
  const data = {
    ...(approvalsRequired !== rules.approvalsRequired && { approvalsRequired }),
    ...(proposalsOnly !== rules.proposalsOnly && { proposalsOnly }),
  };
  return Object.keys(data).length === 0 ? [] : [{ type: 'rules_changed', data }];
}

function propose(
  { proposal, change, message }: Extract<ProposalCommand, { type: 'propose' }>,
  state: KeptContext,
  by: Principal,
): readonly ProposalEvent[] | Refusal {
  const { proposals, rules } = collaborationOf(state);
  const effective = effectiveChange(change, state);
  if (isRefusal(effective)) return insideChange(effective);
  if (Object.keys(effective).length === 0) return noChange('would change nothing: the context is like that already');
  const data = { proposal, change: effective, ...(message !== undefined && { message }), base: state.version };
  const made: ProposalEvent = { type: 'proposal_made', data };
  if (rules.approvalsRequired === 0) return [made, applied(proposal, effective, by.subject, [])];
  if (proposals.length >= PROPOSALS_MAX) {
    const detail = `${PROPOSALS_MAX} proposals are open, and there can be no more. Have one decided first.`;
    return { refused: 'limit-reached', detail };
  }
  return tooMuch(state, data) ?? [made];
}

function comment(
  { id, comments }: Proposal,
  text: string,
  state: KeptContext,
  by: Principal,
): readonly ProposalEvent[] | Refusal {
  if (comments.length >= COMMENTS_MAX) {
    const detail = `A proposal has at most ${COMMENTS_MAX} comments. Decide it, or withdraw it and make another one.`;
    return { refused: 'limit-reached', detail };
  }
  const data = { proposal: id, text };
  return tooMuch(state, { ...data, author: by.subject }) ?? [{ type: 'proposal_commented', data }];
}

function approve(proposal: Proposal, state: KeptContext, by: Principal): readonly ProposalEvent[] | Refusal {
  const { id, change, author, approvals, staleSince } = proposal;
  if (staleSince !== null) {
    const detail =
      `What it would change was changed by version ${staleSince}, after version ${proposal.base}, which it was made ` +
      'for. Its author can look at it again and rebase it (POST …/rebase), or withdraw it.';
    return { refused: 'stale-proposal', detail };
  }
  const isCounted = approvals.some((approval) => isVoiceOf(approval, by));
  const approvedBy = [...approvals.map(({ actor }) => actor), ...(isCounted ? [] : [by.subject])];
  if (approvedBy.length < collaborationOf(state).rules.approvalsRequired) {
    return isCounted ? [] : [{ type: 'proposal_approved', data: { proposal: id } }];
  }
  const effective = effectiveChange(change, state);
  return isRefusal(effective) ? effective : [applied(id, change, author.actor, approvedBy)];
}

function applied(
  proposal: string,
  change: ContextChange,
  proposedBy: string,
  approvedBy: readonly string[],
): ProposalEvent {
  return { type: 'proposal_applied', data: { proposal, change, proposedBy, approvedBy: [...approvedBy] } };
}

function rebase({ id, change, base, staleSince }: Proposal, state: KeptContext): readonly ProposalEvent[] | Refusal {
  if (staleSince === null && base === state.version) return [];
  const effective = effectiveChange(change, state);
  if (isRefusal(effective)) return effective;
  if (Object.keys(effective).length === 0) {
    return noChange('would change nothing any more: withdraw the proposal');
  }
  return [{ type: 'proposal_rebased', data: { proposal: id, change: effective, base: state.version } }];
}

/** A refusal of what stands in the member `change` of a request. */
function insideChange(refusal: Refusal): Refusal {
  const errors = refusal.errors?.map(({ pointer, message }) => ({ pointer: `/change${pointer}`, message }));
  return { ...refusal, ...(errors && { errors }) };
}

function noChange(message: string): Refusal {
  return { refused: 'invalid', detail: `/change ${message}.`, errors: [{ pointer: '/change', message }] };
}

/** Why no more of this can be kept with the open proposals; null when it can. */
function tooMuch(state: KeptContext, more: object): Refusal | null {
  if (keptBytes(collaborationOf(state).proposals) + keptBytes(more) <= PROPOSALS_MAX_BYTES) return null;
  const detail = `The open proposals of a context have at most ${PROPOSALS_MAX_BYTES} bytes. Have some decided first.`;
  return { refused: 'limit-reached', detail };
}

function notOpen(id: string, state: KeptContext): Refusal {
  const closed = collaborationOf(state).closed.find((each) => each.id === id);
  if (closed)
    return { refused: 'proposal-closed', detail: `The proposal was ${closed.status} by ${closed.closedBy.actor}.` };
  return {
    refused: 'not-found',
    detail: 'There is no such proposal. One that was decided long ago is in the history.',
  };
}

/** The context after an event of proposals. */
export function evolveProposals(state: KeptContext, event: Recorded<ProposalEvent>): KeptContext {
  const { rules, proposals } = collaborationOf(state);
  const voice = voiceOf(event);
  const withProposal = (id: string, change: (proposal: Proposal) => Partial<Proposal>) =>
    withCollaboration(state, {
      proposals: proposals.map((each) => (each.id === id ? { ...each, ...change(each) } : each)),
    });
  switch (event.type) {
    case 'rules_changed':
      return withCollaboration(state, { rules: { ...rules, ...event.data } });
    case 'proposal_made': {
      const { proposal: id, change, message = null, base } = event.data;
      const proposal = { id, author: voice, message, change, base, staleSince: null, approvals: [], comments: [] };
      return withCollaboration(state, { proposals: [...proposals, proposal] });
    }
    case 'proposal_commented': {
      const comment = { author: voice.actor, text: event.data.text, at: voice.at };
      return withProposal(event.data.proposal, ({ comments }) => ({ comments: [...comments, comment] }));
    }
    case 'proposal_approved':
      return withProposal(event.data.proposal, ({ approvals }) => ({ approvals: [...approvals, voice] }));
    case 'proposal_rebased': {
      const { proposal, change, base } = event.data;
      return withProposal(proposal, () => ({ change, base, staleSince: null, approvals: [] }));
    }
    case 'proposal_sealed': {
      const { proposal, change } = event.data;
      return withProposal(proposal, () => ({ change }));
    }
    case 'proposal_rejected':
      return close(state, event.data.proposal, 'rejected', event);
    case 'proposal_withdrawn':
      return close(state, event.data.proposal, 'withdrawn', event);
    case 'proposal_applied': {
      const { proposal, change } = event.data;
      return changed(close(state, proposal, 'applied', event), change, event.version);
    }
    default:
      return event satisfies never;
  }
}

function close(
  state: KeptContext,
  id: string,
  status: ClosedProposal['status'],
  event: Recorded<ProposalEvent>,
): KeptContext {
  const { proposals, closed }: Collaboration = collaborationOf(state);
  const reason = event.type === 'proposal_rejected' ? (event.data.reason ?? null) : null;
  const summary = { id, status, closedBy: voiceOf(event), reason, version: event.version };
  return withCollaboration(state, {
    proposals: proposals.filter((each) => each.id !== id),
    closed: newestWithin([...closed, summary], CLOSED_MAX, CLOSED_MAX_BYTES),
  });
}

/** The context after a change. */
export function changed(state: KeptContext, change: ContextChange, version: number): KeptContext {
  return withStaleProposals(applyChange(state, change), change, version);
}

/** A context that has changed like this: open proposals that are about the same are stale. */
export function withStaleProposals(state: KeptContext, change: ContextChange, version: number): KeptContext {
  const { proposals } = collaborationOf(state);
  if (proposals.length === 0) return state;
  const marked = proposals.map((proposal) => {
    const isOvertaken = proposal.staleSince === null && touchTheSame(proposal.change, change);
    return isOvertaken ? { ...proposal, staleSince: version } : proposal;
  });
  return withCollaboration(state, { proposals: marked });
}
