import type { JsonObject } from '../events/json.ts';
import {
  type ClosedProposal,
  collaborationOf,
  type Invitation,
  type KeptContext,
  type Proposal,
  type Voice,
} from './collaboration.ts';
import type { ContextCommand } from './context.ts';
import { safekeepingOf } from './privacy.ts';
import { openInvitations } from './sharing.ts';

/** What the answer to a command shows when it was about a part of the context; undefined for the context itself. */
export function answerOf(
  command: ContextCommand,
  before: KeptContext | null,
  after: KeptContext,
): JsonObject | null | undefined {
  switch (command.type) {
    case 'invite': {
      const sent = collaborationOf(after).invitations.find(({ id }) => id === command.invitation);
      return sent ? invitationView(sent, after) : null;
    }
    case 'addNote':
      return collaborationOf(after).notes.find(({ id }) => id === command.note) ?? null;
    case 'setRules':
      return collaborationOf(after).rules;
    case 'setPrivacyRules':
    case 'setRetention':
    case 'endRetention':
    case 'placeHold':
    case 'liftHold':
      return privacyView(after, false);
    case 'eraseSubject':
      return safekeepingOf(after).erased.find(({ subject }) => subject === command.subject) ?? null;
    case 'propose':
    case 'comment':
    case 'approve':
    case 'reject':
    case 'withdrawProposal':
    case 'rebase':
      return proposalView(command.proposal, before, after);
    default:
      return undefined;
  }
}

/** How people's words are kept. @param isAll whether also why a legal hold stands, which is the administrators' */
export function privacyView(state: KeptContext | null, isAll: boolean): JsonObject {
  const { rules, hold, retention, erased } = safekeepingOf(state);
  return {
    rules,
    legalHold: hold && {
      since: hold.placedBy.at,
      ...(isAll && { reason: hold.reason, placedBy: hold.placedBy }),
    },
    retention,
    erased,
  };
}

/** An invitation as those get it who may know of it: its context by name. */
function invitationView(invitation: Invitation, { id, name }: KeptContext) {
  const { actor, role, invitedBy, sentAt, expiresAt } = invitation;
  return { id: invitation.id, context: { id, name }, actor, role, invitedBy, sentAt, expiresAt };
}

/** The invitations that wait for an answer. @param actor only this actor's; null for everybody's */
export function invitationViews(state: KeptContext, actor: string | null, now: number) {
  return openInvitations(state, now)
    .filter((invitation) => actor === null || invitation.actor === actor)
    .map((invitation) => invitationView(invitation, state));
}

/** All proposals: those that are open, and what became of the others. */
export function proposalViews(state: KeptContext | null) {
  const { proposals, closed } = collaborationOf(state);
  return { items: proposals.map((proposal) => openView(proposal, state)), decided: closed };
}

function openView(proposal: Proposal, state: KeptContext | null): JsonObject {
  const { approvalsRequired } = collaborationOf(state).rules;
  return { ...proposal, status: proposal.staleSince === null ? 'open' : 'stale', approvalsRequired, closed: null };
}

/**
 * A proposal, open or decided.
 *
 * @param before the state in which it was open, when it is not any more
 * @returns null when it is known in neither state
 */
export function proposalView(id: string, before: KeptContext | null, after: KeptContext): JsonObject | null {
  const open = collaborationOf(after).proposals.find((each) => each.id === id);
  if (open) return openView(open, after);
  const closed = closedProposal(id, after);
  if (!closed) return null;
  const { status, closedBy, reason, version } = closed;
  const proposal = before && collaborationOf(before).proposals.find((each) => each.id === id);
  if (!before || !proposal) return null;
  // The last approval is the event that applied it, unless it came before, or none was needed.
  const isLast = status === 'applied' && ![proposal.author, ...proposal.approvals].some(isSameActor(closedBy));
  const approvals = isLast ? [...proposal.approvals, closedBy] : proposal.approvals;
  return {
    ...openView({ ...proposal, approvals }, before),
    status,
    closed: { closedBy, reason, version },
  };
}

const isSameActor = (one: Voice) => (other: Voice) => one.actor === other.actor;

/** What is known of a proposal that is decided. */
export function closedProposal(id: string, state: KeptContext): ClosedProposal | undefined {
  return collaborationOf(state).closed.find((each) => each.id === id);
}
