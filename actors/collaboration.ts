import type { ContextChange } from '../events/context.ts';
import { type Role, relationToContext } from './access.ts';
import type { Context } from './context.ts';
import { keptBytes } from './kept-bytes.ts';
import type { Principal } from './principal.ts';
import type { Safekeeping } from './privacy.ts';

/** An invitation that waits for an answer. */
export type Invitation = {
  readonly id: string;
  /** Who is invited. */
  readonly actor: string;
  readonly role: Role;
  readonly invitedBy: string;
  readonly sentAt: string;
  readonly expiresAt: string;
};

/** How changes are made. */
export type Rules = {
  /** Approvals that a proposal needs. */
  readonly approvalsRequired: number;
  /** Whether only owners may change the context directly. */
  readonly proposalsOnly: boolean;
};

/** A note on a context. */
type Note = {
  readonly id: string;
  readonly author: string;
  readonly text: string;
  readonly at: string;
};

/** Somebody's word: whose rights were used, and who used them when that was somebody else. */
export type Voice = {
  readonly actor: string;
  readonly through?: string;
  readonly at: string;
};

/** What somebody said about a proposal. */
type Comment = { readonly author: string; readonly text: string; readonly at: string };

/** A change that waits for approval. */
export type Proposal = {
  readonly id: string;
  readonly author: Voice;
  readonly message: string | null;
  /** As in `context_updated`. */
  readonly change: ContextChange;
  /** The version that its author had in mind. */
  readonly base: number;
  /** The version at which somebody else changed what it would change; null while it can be applied. */
  readonly staleSince: number | null;
  readonly approvals: readonly Voice[];
  readonly comments: readonly Comment[];
};

/** What is kept of a proposal that has been decided; the rest is in the history. */
export type ClosedProposal = {
  readonly id: string;
  readonly status: 'applied' | 'rejected' | 'withdrawn';
  readonly closedBy: Voice;
  readonly reason: string | null;
  /** The version of the event that closed it. */
  readonly version: number;
};

/** What a context keeps beside that which everybody who may read it is given with it. */
export type Collaboration = {
  readonly invitations: readonly Invitation[];
  readonly rules: Rules;
  /** The newest ones, oldest first. */
  readonly notes: readonly Note[];
  /** Those that are open, oldest first. */
  readonly proposals: readonly Proposal[];
  /** The newest ones, oldest first. */
  readonly closed: readonly ClosedProposal[];
};

/** A context as it is kept. It is a plain context until somebody is invited, writes a note or makes a proposal. */
export type KeptContext = Context & {
  readonly collaboration?: Collaboration;
  /** How people's words in it are kept; left out while nobody has said so. */
  readonly safekeeping?: Safekeeping;
};

const NOTHING: Collaboration = {
  invitations: [],
  rules: { approvalsRequired: 1, proposalsOnly: false },
  notes: [],
  proposals: [],
  closed: [],
};

/** What a context keeps beside itself. */
export function collaborationOf(state: KeptContext | null): Collaboration {
  return state?.collaboration ?? NOTHING;
}

/** The context with another part of what it keeps beside itself. */
export function withCollaboration(state: KeptContext, part: Partial<Collaboration>): KeptContext {
  return { ...state, collaboration: { ...collaborationOf(state), ...part } };
}

/** The context as everybody who may read it gets it. */
export function contextView(state: KeptContext | null): Context | null {
  // Most are plain; a copy of each at every change would cost for nothing.
  if (state?.collaboration === undefined && state?.safekeeping === undefined) return state;
  const { collaboration: _collaboration, safekeeping: _safekeeping, ...context } = state;
  return context;
}

/** Whether somebody acts with an owner's rights on this context. */
export function isOwner(by: Principal, { id, members }: Context): boolean {
  const relation = relationToContext(by, id, members);
  return relation === 'owner' || relation === 'administrator';
}

/** Whose rights an event came of, and who used them. */
export function voiceOf(event: { readonly actor: string; readonly onBehalfOf?: string; readonly time: string }): Voice {
  const { actor, onBehalfOf, time } = event;
  return onBehalfOf === undefined ? { actor, at: time } : { actor: onBehalfOf, through: actor, at: time };
}

/** Whether a voice is that of this caller, by either name. */
export function isVoiceOf({ actor, through }: Voice, by: Principal): boolean {
  return [by.actor, by.subject].some((name) => name === actor || name === through);
}

/** As many of the newest items as there may be and as fit into so many bytes; they come oldest first. */
export function newestWithin<Item>(items: readonly Item[], count: number, bytes: number): readonly Item[] {
  let kept = items.slice(-count);
  while (keptBytes(kept) > bytes) kept = kept.slice(1);
  return kept;
}
