import { type ContextEvent, contextEvents, contextUpcasters } from '../events/context.ts';
import { nextUlid } from '../events/ulid.ts';
import type { Action } from './access.ts';
import { type Relation, relationToContext } from './access.ts';
import type { Hold } from './actor-object.ts';
import { collaborationOf, contextView } from './collaboration.ts';
import { type ContextCommand, type ContextState, contextDecider, isBookkeeping } from './context.ts';
import {
  answerOf,
  closedProposal,
  invitationViews,
  privacyView,
  proposalView,
  proposalViews,
} from './context-answers.ts';
import { contextWords } from './context-words.ts';
import { isRefusal, type Moment } from './decider.ts';
import type { ErasureCause } from './erasure-sink.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import type { CommandReply, CommandRequest, Ports, Reading, RefusalReply } from './messages.ts';
import { type Principal, SYSTEM } from './principal.ts';
import { retentionChore, safekeepingOf } from './privacy.ts';
import type { StreamType } from './stream-type.ts';

/** What each command is called where it is decided who may have it carried out. */
const ACTION_OF: Readonly<Record<ContextCommand['type'], Action>> = {
  create: 'context.create',
  update: 'context.update',
  revert: 'context.update',
  delete: 'context.delete',
  restore: 'context.restore',
  retryProvisioning: 'context.retry',
  recordProvisioning: 'context.record',
  invite: 'context.share',
  withdrawInvitation: 'context.share',
  changeRole: 'context.share',
  removeMember: 'context.share',
  transferOwnership: 'context.share',
  acceptInvitation: 'context.answer',
  declineInvitation: 'context.answer',
  leave: 'context.leave',
  addNote: 'context.note',
  removeNote: 'context.note',
  setRules: 'context.rules',
  propose: 'context.propose',
  comment: 'context.propose',
  withdrawProposal: 'context.propose',
  rebase: 'context.propose',
  approve: 'context.approve',
  reject: 'context.approve',
  setPrivacyRules: 'context.privacy',
  setRetention: 'context.privacy',
  endRetention: 'context.privacy',
  placeHold: 'context.hold',
  liftHold: 'context.hold',
  eraseSubject: 'context.erase',
  applyRetention: 'context.record',
};

/** What the caller is to a context, when they are none of its members: perhaps somebody who is invited. */
function relation(principal: Principal, id: string, context: ContextState): Relation {
  const asMember = relationToContext(principal, id, context?.members ?? null);
  if (asMember !== null || context === null) return asMember;
  if (principal.contexts !== null && !principal.contexts.includes(id)) return null;
  return collaborationOf(context).invitations.some(({ actor }) => actor === principal.subject) ? 'invited' : null;
}

/** Those by which somebody may have lost what they had. */
const TAKING: readonly string[] = ['member_removed', 'member_left', 'member_role_changed', 'invitation_withdrawn'];

function changesRelations(type: ContextEvent['type']): boolean {
  return TAKING.includes(type);
}

const contextStream: StreamType<ContextState, ContextCommand, ContextEvent> = {
  name: 'context',
  reading: { read: 'context.read', history: 'context.history', watch: 'context.watch' },
  actionOf: ({ type }) => ACTION_OF[type],
  relation,
  changesRelations,
  decider: contextDecider,
  events: contextEvents,
  upcasters: contextUpcasters,
  stateSchema: 2,
  view: contextView,
  answer: (command, before, after) => after && answerOf(command, before, after),
  isBookkeeping,
  isClosed: (context) => context?.status === 'deleted',
  personal: contextWords,
  chore: retentionChore,
};

/** What somebody is to a context, for what depends on it. */
export interface Standing {
  readonly relation: Relation;
  readonly isDeleted: boolean;
  /** Whether there is such a context. */
  readonly isThere: boolean;
}

/** One context; `src/objects.ts` connects it. */
export class ContextActor extends EventSourcedObject<ContextState, ContextCommand, ContextEvent, unknown> {
  constructor(context: DurableObjectState, env: unknown, ports: Ports<ContextState, ContextCommand>) {
    super(context, env, contextStream, ports);
  }

  override execute(request: CommandRequest<ContextCommand>) {
    const { command } = request;
    if (command.type !== 'eraseSubject') return super.execute(request);
    // Whether there is anything to erase is known by the keys, which are no part of the state.
    return super.execute({ ...request, command: { ...command, standing: this.standingOfSubject(command.subject) } });
  }

  /** Erases an actor's words here, because they are erased everywhere. For that actor's object. */
  async eraseWords(subject: string, cause: ErasureCause): Promise<'erased' | 'held'> {
    if (this.standingOfSubject(subject) === 'none') {
      this.bar(subject);
      return 'erased';
    }
    const looked = this.look(SYSTEM, 'context.read', (context) => context?.id ?? '');
    if ('refused' in looked) {
      if (looked.refused === 'not-found') return 'erased';
      // A state that cannot be told may have a legal hold in it.
      throw new Error(looked.detail);
    }
    const reply: CommandReply | RefusalReply = await this.execute({
      id: looked.seen,
      command: { type: 'eraseSubject', subject, reason: 'everywhere' },
      principal: SYSTEM,
      cause: { ...cause, commandId: nextUlid(Date.now()) },
    });
    if (!isRefusal(reply) || reply.refused === 'already-erased') return 'erased';
    if (reply.refused === 'legal-hold') return 'held';
    throw new Error(reply.detail);
  }

  /** Whether a legal hold stands here, and whether that is the caller's to know; `unknown` while the state cannot be told. */
  holdFor(principal: Principal): Hold {
    const looked = this.look(SYSTEM, 'context.read', (context) => {
      if (context === null || safekeepingOf(context).hold === null) return 'none';
      return this.refuse(principal, 'context.read') === null ? 'known' : 'hidden';
    });
    if ('refused' in looked) return looked.refused === 'not-found' ? 'none' : 'unknown';
    return looked.seen;
  }

  /**
   * How people's words are kept here, or were at `moment`, as JSON text. Whose words are here is told of the present only:
   * it is known by the keys, which have no past.
   */
  privacy(principal: Principal, moment?: Moment): Reading<Seen> {
    const isAll = this.refuse(principal, 'context.hold') === null;
    const subjects = moment ? {} : { subjects: this.subjects };
    return this.lookBack(
      principal,
      'context.privacy',
      (context) => JSON.stringify({ ...privacyView(context, isAll), ...subjects }),
      moment,
    );
  }

  /** JSON texts of this context, as lists have them, with the words for those who may read it; null for others. */
  openedText(principal: Principal, text: string): string | null {
    return this.refuse(principal, 'context.read') === null ? this.openText(text) : null;
  }

  /** What somebody is to the context, for the objects that ask in their name; null as well when there is none. */
  standingOf(principal: Principal): Standing {
    const looked = this.look(SYSTEM, 'context.read', (context) => ({
      relation: context && relation(principal, context.id, context),
      isDeleted: context?.status === 'deleted',
      isThere: context !== null,
    }));
    if (!('refused' in looked)) return looked.seen;
    return { relation: null, isDeleted: false, isThere: looked.refused !== 'not-found' };
  }

  /** Whether somebody is a member, whatever else they may be. For the audit trail. */
  hasMember(actor: string): boolean {
    const looked = this.look(SYSTEM, 'context.read', (context) =>
      context?.members.some((each) => each.actor === actor),
    );
    return !('refused' in looked) && looked.seen === true;
  }

  /** Why somebody may not see who did what here; null when they may. */
  refuseAudit(principal: Principal): RefusalReply | null {
    return this.refuse(principal, 'context.audit');
  }

  /** What a graph around the context begins with. */
  graphRoot(principal: Principal): { readonly version: number; readonly seen: GraphRoot } | RefusalReply {
    return this.look(principal, 'context.graph', (context) => ({
      name: context?.name ?? '',
      deletedAt: context?.status === 'deleted' ? context.updatedAt : null,
    }));
  }

  /** The open invitations as JSON text: all to owners, their own to those who are invited. */
  invitations(principal: Principal): Seen | RefusalReply {
    return this.look(principal, 'context.invitations', (context) => {
      const isInvited = context !== null && relation(principal, context.id, context) === 'invited';
      const invitations = context ? invitationViews(context, isInvited ? principal.subject : null, Date.now()) : [];
      return JSON.stringify(invitations);
    });
  }

  /** The notes that the context keeps, or kept at `moment`, oldest first, as JSON text. */
  notes(principal: Principal, moment?: Moment): Reading<Seen> {
    const see = (context: ContextState) => JSON.stringify(collaborationOf(context).notes);
    return this.lookBack(principal, 'context.read', see, moment);
  }

  /** How changes are made, or were at `moment`, as JSON text. */
  rules(principal: Principal, moment?: Moment): Reading<Seen> {
    const see = (context: ContextState) => JSON.stringify(collaborationOf(context).rules);
    return this.lookBack(principal, 'context.read', see, moment);
  }

  /**
   * The proposals as they are, or were at `moment`, as JSON text, oldest first: `items` are open, of those in `decided` it
   * is said what became of them.
   */
  proposals(principal: Principal, moment?: Moment): Reading<Seen> {
    const see = (context: ContextState) => JSON.stringify(proposalViews(context));
    return this.lookBack(principal, 'context.read', see, moment);
  }

  /**
   * One proposal, open or decided, as it is or was at `moment`, as JSON text; `null` when the context does not know of it
   * any more, or did not yet.
   */
  proposal(principal: Principal, id: string, moment?: Moment): Reading<Seen> {
    const see = (context: ContextState, at: (version: number) => ContextState) => {
      if (context === null) return 'null';
      const closed = closedProposal(id, context);
      return JSON.stringify(proposalView(id, closed ? at(closed.version - 1) : null, context));
    };
    return this.lookBack(principal, 'context.read', see, moment);
  }
}

/** A context as the middle of a graph. */
interface GraphRoot {
  readonly name: string;
  /** When it was deleted, null while it is not. */
  readonly deletedAt: string | null;
}

/** What was looked at, as JSON text. */
type Seen = { readonly version: number; readonly seen: string };
