import { type ActorEvent, actorEvents, actorUpcasters } from '../events/actor.ts';
import { type Action, decideAccess, relationToActor } from './access.ts';
import {
  type Actor,
  type ActorCommand,
  type ActorRecord,
  type ActorState,
  type ActorSummary,
  actorDecider,
  isActorBookkeeping,
  recordOf,
} from './actor.ts';
import { type AccessView, accessViewOf, summaryOf } from './actor-access.ts';
import { isPartyTo, statusAt } from './actor-delegations.ts';
import { type ApiKey, isGoodAt } from './actor-keys.ts';
import { isCredentialGoodAt, isSessionGoodAt, type Session } from './actor-sessions.ts';
import { isRefusal, type Moment } from './decider.ts';
import { type DelegationRecord, recordOf as delegationRecordOf, findInHistory } from './delegation-record.ts';
import type { EndedAccess } from './ended-access.ts';
import { ERASURE_DESTINATION, type EraseIn, erasureSink } from './erasure-sink.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import { type FormerKey, findFormerKey, rotationsIn } from './former-key.ts';
import { givenSink } from './given-sink.ts';
import { successorsOf } from './key-successors.ts';
import { LastUses } from './last-uses.ts';
import { liveSink } from './live-sink.ts';
import type { CommandReply, CommandRequest, Ports, Reading, RefusalReply } from './messages.ts';
import { type Principal, SYSTEM } from './principal.ts';
import { ReceivedDelegations } from './received-delegations.ts';
import type { StreamType } from './stream-type.ts';
import { Watching } from './watching.ts';
import { type HolderStatus, WordHolders } from './word-holders.ts';
import type { Introduction } from './words.ts';

/** What each command is called where it is decided who may have it carried out. */
const ACTION_OF: Readonly<Record<ActorCommand['type'], Action>> = {
  register: 'actor.register',
  update: 'actor.update',
  grantCapability: 'actor.govern',
  revokeCapability: 'actor.govern',
  suspend: 'actor.govern',
  reinstate: 'actor.govern',
  delete: 'actor.govern',
  erase: 'actor.erase',
  issueKey: 'actor.credentials',
  rotateKey: 'actor.credentials',
  revokeKey: 'actor.credentials',
  startSession: 'actor.credentials',
  refreshSession: 'session.own',
  endOwnSession: 'session.own',
  endSession: 'actor.credentials',
  endAllSessions: 'actor.credentials',
  recordProvisioning: 'actor.record',
  delegate: 'delegation.grant',
  useDelegation: 'delegation.use',
  revokeDelegation: 'delegation.revoke',
};

const actorStream: StreamType<ActorState, ActorCommand, ActorEvent> = {
  name: 'actor',
  reading: { read: 'actor.read', history: 'actor.history', watch: 'actor.read' },
  actionOf: (command) =>
    command.type === 'revokeDelegation' && command.withToken ? 'token.revoke' : ACTION_OF[command.type],
  relation: (principal, id, actor) => relationToActor(principal, id, actor !== null),
  changesRelations: () => false,
  decider: actorDecider,
  events: actorEvents,
  upcasters: actorUpcasters,
  stateSchema: 1,
  view: (actor) => actor && recordOf(actor),
  isBookkeeping: isActorBookkeeping,
  isClosed: (actor) => actor?.status === 'deleted',
  // Their name, what they say of themselves, what they call their keys and devices: marked in the schemas, all their own.
  personal: { areInSinks: true, subjectsOf: () => [] },
};

/** A key as its actor gets to see it. */
export type KeyRecord = Omit<ApiKey, 'hash'> & { readonly lastUsedAt: string | null };

/** A session as its actor gets to see it. */
export type SessionRecord = Omit<Session, 'familyHash' | 'refreshHash' | 'csrfHash'> & {
  readonly usesCookies: boolean;
  readonly lastUsedAt: string | null;
};

/** What an actor's object is connected to: also to the contexts where something of the actor's is open. */
export interface ActorPorts extends Ports<ActorState, ActorCommand> {
  /** Closes what ended credentials have open in a context. */
  endSubscriptions(context: string, ended: EndedAccess): Promise<void>;
  /** Has a stream erase the actor's words. */
  readonly eraseIn: EraseIn;
  /** Whether a legal hold stands on a stream, and whether that is the caller's to know. */
  holdOn(stream: string, principal: Principal): Promise<Hold>;
  /** Tells another actor of a delegation to them. */
  tellOfDelegation(to: string, delegation: string, expiresAt: string): Promise<void>;
}

/** Whether what came of a delegation may stay open: one that is used up was not when it was opened. */
function isDelegationGood(actor: Actor, id: string, at: string): boolean {
  const delegation = actor.delegations.find((each) => each.id === id);
  if (!delegation) return false;
  const status = statusAt(delegation, at);
  return status === 'active' || status === 'used-up';
}

/** Whether nothing may be erased in a stream; `unknown` when it cannot tell at the moment. */
export type Hold = 'none' | 'known' | 'hidden' | 'unknown';

/** How far the erasure of an actor's words is. */
export type ErasureRecord = {
  readonly subject: string;
  readonly erasedAt: string;
  /** The other streams that held some: how many have erased them, have yet to, and cannot because of a legal hold. */
  readonly streams: Readonly<Record<HolderStatus, number>>;
};

/** Streams that are asked at once whether a legal hold stands there. */
const PARALLEL = 8;

/** Streams under a legal hold that a refusal names at most. */
const NAMED_MAX = 20;

/** How long an erasure is waited for, in milliseconds; it goes on after that. */
const ERASURE_WAIT_MS = 10_000;

/** Events of a history that are looked through at once. */
const HISTORY_PAGE_EVENTS = 1_000;

/** One actor; `src/objects.ts` connects it. */
export class ActorActor extends EventSourcedObject<ActorState, ActorCommand, ActorEvent, unknown> {
  readonly #watching: Watching;
  readonly #lastUses: LastUses;
  readonly #received: ReceivedDelegations;
  readonly #holders: WordHolders;
  readonly #holdOn: ActorPorts['holdOn'];

  constructor(context: DurableObjectState, env: unknown, ports: ActorPorts) {
    const watching = new Watching(context.storage.sql);
    const holders = new WordHolders(context.storage.sql);
    const sinks = [
      liveSink(watching, ports.endSubscriptions),
      givenSink(ports.tellOfDelegation),
      erasureSink(holders, ports.eraseIn),
    ];
    super(context, env, actorStream, { ...ports, sinks: [...ports.sinks, ...sinks] });
    this.#watching = watching;
    this.#lastUses = new LastUses(context.storage.sql);
    this.#received = new ReceivedDelegations(context.storage.sql);
    this.#holders = holders;
    this.#holdOn = ports.holdOn;
  }

  /** Notes that a stream is going to hold words of this actor. @returns whether it may */
  noteHolder(stream: string): Introduction {
    const looked = this.look(SYSTEM, 'actor.read', (actor) => actor?.erasedAt !== undefined);
    if ('refused' in looked) return 'unknown';
    if (looked.seen) return 'erased';
    this.#holders.note(stream);
    return 'known';
  }

  /**
   * Erases all that the actor ever wrote, here and in every stream that holds some, and the actor with it. It is refused
   * where a legal hold stands in one of them, or where that cannot be told. One that is placed while this goes on is respected: the rest waits for it.
   */
  async erase(
    request: CommandRequest<Extract<ActorCommand, { type: 'erase' }>>,
  ): Promise<(CommandReply & { readonly record: ErasureRecord }) | RefusalReply> {
    const refusal = this.refuse(request.principal, 'actor.erase') ?? (await this.#refuseHeld(request.principal));
    const reply = refusal ?? (await this.execute(request));
    if (isRefusal(reply)) return reply;
    await this.whenDelivered(ERASURE_DESTINATION, reply.version, ERASURE_WAIT_MS);
    const looked = this.look(SYSTEM, 'actor.read', (actor) => this.#erasureOf(actor));
    if ('refused' in looked) return looked;
    if (looked.seen === null) throw new Error('an actor that was erased says so');
    return { ...reply, record: looked.seen };
  }

  /** How far the erasure of the actor is; refused when there is none. */
  erasure(principal: Principal): ErasureRecord | RefusalReply {
    const looked = this.look(principal, 'actor.erase', (actor) => this.#erasureOf(actor));
    if ('refused' in looked) return looked;
    return looked.seen ?? { refused: 'not-found', detail: 'The words of this actor are not erased.', version: 0 };
  }

  #erasureOf(actor: ActorState): ErasureRecord | null {
    if (actor?.erasedAt === undefined) return null;
    return { subject: actor.id, erasedAt: actor.erasedAt, streams: this.#holders.counts() };
  }

  /** Refuses while a legal hold stands in one of the streams; those are named that the caller may know of. */
  async #refuseHeld(principal: Principal): Promise<RefusalReply | null> {
    const known: string[] = [];
    let hidden = 0;
    let unknown = 0;
    for (const page of this.#holders.pending()) {
      const waiting = [...page];
      const work = async () => {
        for (let stream = waiting.pop(); stream !== undefined; stream = waiting.pop()) {
          const hold = await this.#holdOn(stream, principal);
          if (hold === 'known') known.push(stream);
          if (hold === 'hidden') hidden += 1;
          if (hold === 'unknown') unknown += 1;
        }
      };
      await Promise.all(Array.from({ length: PARALLEL }, work));
    }
    if (known.length + hidden + unknown === 0) return null;
    if (known.length + hidden === 0) {
      const detail = `Whether a legal hold stands cannot be told of ${unknown} of the contexts now. Try again.`;
      return { refused: 'history-unavailable', detail, version: 0 };
    }
    const places = [
      ...known.sort().slice(0, NAMED_MAX),
      ...(known.length > NAMED_MAX ? [`${known.length - NAMED_MAX} more`] : []),
      ...(hidden > 0 ? [`${hidden} that you may not see`] : []),
    ];
    const detail = `A legal hold keeps the words from being erased: ${places.join(', ')}. Have it lifted first.`;
    return { refused: 'legal-hold', detail, version: 0 };
  }

  /**
   * What the edge needs to check credentials by. For the edge alone: no principal is asked for, because it is what
   * principals are made of.
   *
   * @param id the id that the object was addressed by
   */
  accessView(id: string): AccessView {
    const looked = this.look(SYSTEM, 'actor.read', (actor) => accessViewOf(id, actor));
    return 'refused' in looked ? accessViewOf(id, null) : looked.seen;
  }

  /** Notes that a key or a session was used. */
  noteUse(credential: string): void {
    const looked = this.look(SYSTEM, 'actor.read', (actor) =>
      [...(actor?.keys ?? []), ...(actor?.sessions ?? [])].map(({ id }) => id),
    );
    if ('refused' in looked || !looked.seen.includes(credential)) return;
    this.#lastUses.note(credential, looked.seen, Date.now());
  }

  /**
   * All of an actor for those who may see it, the little that everybody may know for the others: as it is, or as it was at
   * `moment` for those who may read its history, which tells what it was called.
   */
  find(
    principal: Principal,
    moment?: Moment,
  ): Reading<{ readonly version: number; readonly seen: ActorRecord | ActorSummary }> {
    const see = (actor: ActorState) => {
      if (actor === null) throw new Error('an actor that is there has a state');
      const relation = relationToActor(principal, actor.id, true);
      return decideAccess(principal, 'actor.read', relation) === 'allowed' ? recordOf(actor) : summaryOf(actor);
    };
    return this.lookBack(principal, moment ? 'actor.history' : 'actor.find', see, moment);
  }

  /** The keys that are good, oldest first. */
  keys(principal: Principal): readonly KeyRecord[] | RefusalReply {
    const now = new Date().toISOString();
    const looked = this.look(principal, 'actor.read', (actor) =>
      (actor?.keys ?? []).filter(({ expiresAt }) => isGoodAt(expiresAt, now)),
    );
    if ('refused' in looked) return looked;
    const uses = this.#lastUses.all();
    return looked.seen.map(({ hash: _hash, ...key }) => ({ ...key, lastUsedAt: uses.get(key.id) ?? null }));
  }

  /** What became of a key that is good no more, by its hash; null when there never was one. For the audit trail. */
  formerKey(hash: string): Promise<FormerKey | null> {
    return findFormerKey(this.#history(), hash);
  }

  /** The keys that have taken a key's place by rotation and are good, oldest first. The key itself may have ended. */
  async successors(principal: Principal, key: string): Promise<readonly string[] | RefusalReply> {
    const now = new Date().toISOString();
    const looked = this.look(principal, 'actor.credentials', (actor) =>
      (actor?.keys ?? []).filter(({ expiresAt }) => isGoodAt(expiresAt, now)).map(({ id }) => id),
    );
    if ('refused' in looked) return looked;
    const successors = successorsOf(key, await rotationsIn(this.#history()));
    return successors.filter((id) => looked.seen.includes(id));
  }

  /** The sessions that are good, oldest first. */
  sessions(principal: Principal): readonly SessionRecord[] | RefusalReply {
    const now = new Date().toISOString();
    const looked = this.look(principal, 'actor.read', (actor) =>
      actor === null ? [] : actor.sessions.filter((session) => isSessionGoodAt(actor, session, now)),
    );
    if ('refused' in looked) return looked;
    const uses = this.#lastUses.all();
    return looked.seen.map(({ familyHash: _family, refreshHash: _refresh, csrfHash, ...session }) => ({
      ...session,
      usesCookies: csrfHash !== null,
      lastUsedAt: uses.get(session.id) ?? null,
    }));
  }

  /**
   * Exchanges a refresh token.
   *
   * @returns the session, null when it is not good (any more): nothing more is said of why
   */
  async refresh(request: CommandRequest<Extract<ActorCommand, { type: 'refreshSession' }>>): Promise<Session | null> {
    const reply = await this.execute(request);
    if (isRefusal(reply)) return null;
    const { session: id, nextRefreshHash } = request.command;
    const looked = this.look(SYSTEM, 'actor.read', (actor) => actor?.sessions.find((session) => session.id === id));
    // Reuse ends the session: then there is none, or not with the token that was to come next.
    return 'refused' in looked || looked.seen?.refreshHash !== nextRefreshHash ? null : looked.seen;
  }

  /** A delegation by this actor, also one that has ended, for those between whom the rights passed. */
  async delegation(principal: Principal, id: string): Promise<DelegationRecord | RefusalReply> {
    const now = new Date().toISOString();
    const looked = this.look(principal, 'delegation.read', (actor) => ({
      by: actor?.id ?? '',
      living: actor?.delegations.find((delegation) => delegation.id === id),
      isAll: relationToActor(principal, actor?.id ?? '', true) === 'administrator',
    }));
    if ('refused' in looked) return looked;
    const { by, living, isAll } = looked.seen;
    const record = living ? delegationRecordOf(living, by, now) : await findInHistory(this.#history(), id, by, now);
    if (record !== null && (isAll || isPartyTo(record, by, principal.actor))) return record;
    const refusal: RefusalReply = { refused: 'not-found', detail: 'There is no delegation with this id.', version: 0 };
    return record === null ? refusal : { ...refusal, isHidden: true };
  }

  /** The delegations by this actor that have neither expired nor been revoked, newest first. */
  delegations(principal: Principal): readonly DelegationRecord[] | RefusalReply {
    const now = new Date().toISOString();
    const looked = this.look(principal, 'delegation.list', (actor) =>
      (actor?.delegations ?? [])
        .filter(({ expiresAt }) => isGoodAt(expiresAt, now))
        .map((delegation) => delegationRecordOf(delegation, actor?.id ?? '', now)),
    );
    return 'refused' in looked ? looked : looked.seen.toReversed();
  }

  /**
   * The ids of the delegations to this actor that have not expired, newest first; some may have been revoked.
   *
   * @param before the one to go on after; null from the newest
   */
  receivedDelegations(principal: Principal, before: string | null, limit: number): readonly string[] | RefusalReply {
    const looked = this.look(principal, 'delegation.list', () => null);
    return 'refused' in looked ? looked : this.#received.list(new Date().toISOString(), before, limit);
  }

  /** Notes a delegation to this actor. For the object of the actor who made it. */
  noteReceived(delegation: string, expiresAt: string): void {
    if ('refused' in this.look(SYSTEM, 'actor.read', () => null)) return;
    this.#received.note(delegation, expiresAt, new Date().toISOString());
  }

  async *#history(): AsyncGenerator<readonly string[]> {
    for (let after = 0; ; ) {
      const page = await this.history(SYSTEM, after, HISTORY_PAGE_EVENTS);
      // What cannot be read might say anything; only of one who never was is there nothing.
      if ('refused' in page && page.refused !== 'not-found') throw new Error(page.detail);
      if ('refused' in page) return;
      yield page.events;
      if (page.isUpToDate) return;
      after = page.lastVersion;
    }
  }

  /**
   * Notes that something was opened in a context with rights of this actor, so that it can be closed when they end.
   * It is noted after the opening: what ended before is told here, what ends after is told to the context.
   *
   * @returns whether the rights are still there
   */
  noteWatching(context: string, principal: Principal): boolean {
    const now = new Date().toISOString();
    const looked = this.look(SYSTEM, 'actor.read', (actor) => {
      if (actor?.status !== 'active') return false;
      if (actor.id === principal.subject && principal.capabilities.some((each) => !actor.capabilities.includes(each))) {
        return false;
      }
      const link = principal.chain.find(({ by }) => by === actor.id);
      if (link && !isDelegationGood(actor, link.id, now)) return false;
      return isCredentialGoodAt(actor, principal, now);
    });
    if ('refused' in looked || !looked.seen) return false;
    this.#watching.note(context);
    return true;
  }
}
