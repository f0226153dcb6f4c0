import type { SharingEvent } from '../events/context-sharing.ts';
import type { Member, Role } from './access.ts';
import {
  collaborationOf,
  type Invitation,
  isOwner,
  type KeptContext,
  voiceOf,
  withCollaboration,
} from './collaboration.ts';
import type { Recorded, Refusal } from './decider.ts';
import type { Principal } from './principal.ts';

/** Members of a context at most. */
const MEMBERS_MAX = 100;
/** Invitations of a context that wait for an answer at most. */
const INVITATIONS_MAX = 100;
const DAY_MS = 86_400_000;
/** How long an invitation is good when nothing else is said, and at most. */
const INVITATION_DEFAULT_MS = 7 * DAY_MS;
const INVITATION_MAX_MS = 30 * DAY_MS;

/** What can be asked about who may do what with a context. */
export type SharingCommand =
  | {
      readonly type: 'invite';
      readonly invitation: string;
      readonly actor: string;
      readonly role: Role;
      /** ISO 8601; a week from now when left out. */
      readonly expiresAt?: string;
    }
  | { readonly type: 'acceptInvitation'; readonly invitation: string }
  | { readonly type: 'declineInvitation'; readonly invitation: string }
  | { readonly type: 'withdrawInvitation'; readonly invitation: string }
  | { readonly type: 'changeRole'; readonly actor: string; readonly role: Role }
  | { readonly type: 'removeMember'; readonly actor: string }
  | { readonly type: 'leave' }
  | { readonly type: 'transferOwnership'; readonly to: string; readonly formerRole: Role };

/**
 * Decides about the members of a context. There always is an owner. Who is to go can also be removed from a deleted
 * context, because its history stays readable; nobody new comes to one.
 */
export function decideSharing(
  command: SharingCommand,
  state: KeptContext,
  by: Principal,
  now: number,
): readonly SharingEvent[] | Refusal {
  switch (command.type) {
    case 'invite':
      return invite(command, state, by, now);
    case 'acceptInvitation': {
      const invitation = ownInvitation(command.invitation, state, by);
      if ('refused' in invitation) return invitation;
      return accept(invitation, state, now);
    }
    case 'declineInvitation': {
      const invitation = ownInvitation(command.invitation, state, by);
      if ('refused' in invitation) return invitation;
      return [{ type: 'invitation_declined', data: { invitation: invitation.id, actor: invitation.actor } }];
    }
    case 'withdrawInvitation': {
      const invitation = findInvitation(command.invitation, state);
      if (!invitation) return noInvitation();
      return [{ type: 'invitation_withdrawn', data: { invitation: invitation.id, actor: invitation.actor } }];
    }
    case 'changeRole': {
      const { actor, role } = command;
      const member = findMember(actor, state);
      if (!member) return noMember();
      if (member.role === role) return [];
      if (isDelegate(actor, by)) return NOT_FOR_GOOD;
      if (role !== 'owner' && isLastOwner(member, state)) return lastOwner();
      return [{ type: 'member_role_changed', data: { actor, role } }];
    }
    case 'removeMember': {
      const member = findMember(command.actor, state);
      if (!member) return noMember();
      if (isLastOwner(member, state)) return lastOwner();
      return [{ type: 'member_removed', data: { actor: member.actor } }];
    }
    case 'leave': {
      const member = findMember(by.subject, state);
      if (!member) return { refused: 'not-found', detail: 'You are not a member of this context.' };
      if (isLastOwner(member, state)) return lastOwner();
      return [{ type: 'member_left', data: { actor: member.actor } }];
    }
    case 'transferOwnership': {
      const { to, formerRole } = command;
      if (!findMember(to, state)) return wrong('/to', 'must be a member of the context; invite them first');
      if (to === state.owner) return [];
      if (isDelegate(to, by)) return NOT_FOR_GOOD;
      return [{ type: 'ownership_transferred', data: { from: state.owner, to, formerRole } }];
    }
    default:
      return command satisfies never;
  }
}

const NOT_FOR_GOOD: Refusal = {
  refused: 'forbidden',
  detail: 'Who has rights by a delegation cannot be given them for good with it. Ask the one whose rights they are.',
};

/** Whether somebody is one of those to whom the rights that are used were handed, for a while. */
function isDelegate(actor: string, by: Principal): boolean {
  return actor !== by.subject && (actor === by.actor || by.chain.some((link) => link.by === actor));
}

function invite(
  { invitation, actor, role, expiresAt }: Extract<SharingCommand, { type: 'invite' }>,
  state: KeptContext,
  by: Principal,
  now: number,
): readonly SharingEvent[] | Refusal {
  if (state.status === 'deleted') {
    return { refused: 'deleted', detail: 'The context is deleted: restore it before you share it.' };
  }
  if (actor === by.subject || actor === by.actor) return wrong('/actor', 'is you yourself; invite somebody else');
  if (isDelegate(actor, by)) return NOT_FOR_GOOD;
  if (findMember(actor, state)) {
    const detail = 'They are a member already. PATCH …/members/{actor} changes their role.';
    return { refused: 'already-member', detail };
  }
  const open = openInvitations(state, now);
  if (open.some((each) => each.actor === actor)) {
    const detail = 'They are invited already. To invite them otherwise, withdraw that invitation first.';
    return { refused: 'already-invited', detail };
  }
  if (open.length >= INVITATIONS_MAX) {
    const detail = `${INVITATIONS_MAX} invitations are open, and there can be no more. Withdraw one, or wait for an answer.`;
    return { refused: 'limit-reached', detail };
  }
  const end = expiresAt === undefined ? now + INVITATION_DEFAULT_MS : Date.parse(expiresAt);
  if (!(end > now && end <= now + INVITATION_MAX_MS)) {
    return wrong('/expiresAt', 'must be in the future, at most 30 days from now');
  }
  return [{ type: 'invitation_sent', data: { invitation, actor, role, expiresAt: new Date(end).toISOString() } }];
}

function accept({ id, actor, role, expiresAt }: Invitation, state: KeptContext, now: number) {
  if (state.status === 'deleted') {
    return { refused: 'deleted', detail: 'The context is deleted. Ask an owner to restore it.' } as const;
  }
  if (Date.parse(expiresAt) <= now) {
    const detail = `The invitation expired at ${expiresAt}. Ask an owner for another one.`;
    return { refused: 'invitation-expired', detail } as const;
  }
  if (state.members.length >= MEMBERS_MAX) {
    const detail = `The context has ${MEMBERS_MAX} members, and there can be no more. Ask an owner to make room.`;
    return { refused: 'limit-reached', detail } as const;
  }
  return [{ type: 'invitation_accepted', data: { invitation: id, actor, role } }] as const;
}

/** The invitation when it is the caller's to answer. */
function ownInvitation(id: string, state: KeptContext, by: Principal): Invitation | Refusal {
  const invitation = findInvitation(id, state);
  if (invitation?.actor === by.subject) return invitation;
  // Owners see it; to the others it does not exist.
  if (!invitation || !isOwner(by, state)) return noInvitation();
  return { refused: 'forbidden', detail: 'Only who is invited can answer. As owner you can withdraw the invitation.' };
}

function findInvitation(id: string, state: KeptContext): Invitation | undefined {
  return collaborationOf(state).invitations.find((invitation) => invitation.id === id);
}

/** The invitations that can still be accepted. */
export function openInvitations(state: KeptContext | null, now: number): readonly Invitation[] {
  return collaborationOf(state).invitations.filter(({ expiresAt }) => Date.parse(expiresAt) > now);
}

function findMember(actor: string, { members }: KeptContext): Member | undefined {
  return members.find((member) => member.actor === actor);
}

function isLastOwner({ role }: Member, { members }: KeptContext): boolean {
  return role === 'owner' && members.filter((member) => member.role === 'owner').length === 1;
}

function lastOwner(): Refusal {
  const detail =
    'A context always has an owner, and this is the last one. First make another member owner ' +
    '(PATCH …/members/{actor} or POST …/transfer), or delete the context.';
  return { refused: 'last-owner', detail };
}

function noMember(): Refusal {
  return { refused: 'not-found', detail: 'The context has no such member.' };
}

function noInvitation(): Refusal {
  return { refused: 'not-found', detail: 'There is no such invitation: it was answered, withdrawn, or never sent.' };
}

function wrong(pointer: string, message: string): Refusal {
  return { refused: 'invalid', detail: `${pointer} ${message}.`, errors: [{ pointer, message }] };
}

/** The context after an event of sharing. */
export function evolveSharing(state: KeptContext, event: Recorded<SharingEvent>): KeptContext {
  const without = (id: string) => collaborationOf(state).invitations.filter((invitation) => invitation.id !== id);
  switch (event.type) {
    case 'invitation_sent': {
      const { invitation: id, actor, role, expiresAt } = event.data;
      const others = openInvitations(state, Date.parse(event.time)).filter((each) => each.actor !== actor);
      const invitation = { id, actor, role, invitedBy: voiceOf(event).actor, sentAt: event.time, expiresAt };
      return withCollaboration(state, { invitations: [...others, invitation] });
    }
    case 'invitation_accepted': {
      const { invitation, actor, role } = event.data;
      const members = [...state.members, { actor, role, since: event.time }];
      return withCollaboration({ ...state, members }, { invitations: without(invitation) });
    }
    case 'invitation_declined':
    case 'invitation_withdrawn':
      return withCollaboration(state, { invitations: without(event.data.invitation) });
    case 'member_role_changed':
      return withMembers(state, withRole(state.members, event.data.actor, event.data.role, event.time));
    case 'member_removed':
    case 'member_left':
      return withMembers(
        state,
        state.members.filter(({ actor }) => actor !== event.data.actor),
      );
    case 'ownership_transferred': {
      const { from, to, formerRole } = event.data;
      const members = withRole(withRole(state.members, to, 'owner', event.time), from, formerRole, event.time);
      return withMembers({ ...state, owner: to }, members);
    }
    default:
      return event satisfies never;
  }
}

function withRole(members: readonly Member[], actor: string, role: Role, since: string): readonly Member[] {
  return members.map((member) => (member.actor === actor && member.role !== role ? { actor, role, since } : member));
}

/** What follows from a loss of rights: what somebody began by them does not outlive them. */
function withMembers(state: KeptContext, members: readonly Member[]): KeptContext {
  const owners = namesOf(members, ['owner']);
  const writers = namesOf(members, ['owner', 'editor']);
  const [firstOwner = state.owner] = owners;
  const owner = owners.has(state.owner) ? state.owner : firstOwner;
  const after = { ...state, owner, members };
  const { collaboration } = state;
  if (collaboration === undefined) return after;
  const wereOwners = namesOf(state.members, ['owner']);
  const wereWriters = namesOf(state.members, ['owner', 'editor']);
  const keepsOwnership = (actor: string) => !wereOwners.has(actor) || owners.has(actor);
  const keepsVoice = (actor: string) => !wereWriters.has(actor) || writers.has(actor);
  return withCollaboration(after, {
    invitations: collaboration.invitations.filter(({ invitedBy }) => keepsOwnership(invitedBy)),
    proposals: collaboration.proposals.map((proposal) => ({
      ...proposal,
      approvals: proposal.approvals.filter(({ actor }) => keepsVoice(actor)),
    })),
  });
}

function namesOf(members: readonly Member[], roles: readonly Role[]): ReadonlySet<string> {
  return new Set(members.filter(({ role }) => roles.includes(role)).map(({ actor }) => actor));
}
