import { type ConnectionEvent, connectionEvents, connectionUpcasters } from '../events/connection.ts';
import {
  type Action,
  decideAccess,
  isWriter,
  type Relation,
  relationToConnection,
  relationToNewConnection,
} from './access.ts';
import {
  type ConnectionCommand,
  type ConnectionState,
  type ConnectionTerms,
  connectionDecider,
  lapsesAt,
  noSuchEnds,
} from './connection.ts';
import type { Standing } from './context-object.ts';
import { isRefusal, type Moment } from './decider.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import { Heartbeats } from './heartbeats.ts';
import type { CommandReply, CommandRequest, HistoryPage, Ports, RefusalReply, View } from './messages.ts';
import { type Principal, SYSTEM } from './principal.ts';
import type { Process } from './process.ts';
import type { StreamType } from './stream-type.ts';

/** What each command is called where it is decided who may have it carried out. */
const ACTION_OF: Readonly<Record<ConnectionCommand['type'], Action>> = {
  request: 'connection.create',
  consent: 'connection.consent',
  decline: 'connection.consent',
  disconnect: 'connection.disconnect',
  heartbeat: 'connection.change',
  lapse: 'connection.record',
  endWithContext: 'connection.record',
};

/** What callers ask of a connection; what has to be known of its ends is added here. */
export type ConnectionDemand =
  | { readonly type: 'request'; readonly terms: ConnectionTerms }
  | { readonly type: 'consent' }
  | { readonly type: 'decline' }
  | { readonly type: 'disconnect' }
  | Extract<ConnectionCommand, { type: 'heartbeat' }>;

/** What a connection's object is connected to: also to the contexts at its ends, which know who may do what. */
export interface ConnectionPorts extends Ports<ConnectionState, ConnectionCommand> {
  /** What somebody is to a context. */
  standingOf(context: string, principal: Principal): Promise<Standing>;
  /** Makes the stream known to sweeps and rebuilds, before its first event. */
  register(id: string): Promise<void>;
}

/** @param found what callers were found to be to the connection, each for the one call that they make */
function connectionStream(
  found: WeakMap<Principal, Relation>,
): StreamType<ConnectionState, ConnectionCommand, ConnectionEvent> {
  return {
    name: 'connection',
    reading: { read: 'connection.read', history: 'connection.read', watch: 'connection.read' },
    actionOf: ({ type }) => ACTION_OF[type],
    relation: (principal) =>
      principal.credential.kind === 'system' ? 'administrator' : (found.get(principal) ?? null),
    // What callers are is asked at each call and follows from no event of the connection's.
    changesRelations: () => false,
    decider: connectionDecider,
    events: connectionEvents,
    upcasters: connectionUpcasters,
    stateSchema: 1,
    view: (connection) => connection,
    isBookkeeping: (type) => type === 'connection_idled' || type === 'connection_resumed',
    // One that has ended can be asked for again.
    isClosed: () => false,
  };
}

/** Lets a connection go idle, end or expire when its time is over. */
function lapsing(heartbeats: Heartbeats): Process<ConnectionState, ConnectionCommand> {
  return {
    next(state) {
      const dueAt = state && lapsesAt(state, heartbeats.last);
      if (state === null || dueAt === null) return null;
      const { status } = state;
      return { dueAt, perform: async () => ({ type: 'lapse', status, lastHeartbeatAt: heartbeats.lastAt }) };
    },
  };
}

/**
 * One connection; `src/objects.ts` connects it. Who may do what with it follows from the roles on the contexts at its
 * ends, so `read`, `readHistory` and `act` ask both first. By the methods of the base class nobody but the service itself comes in.
 */
export class ConnectionActor extends EventSourcedObject<ConnectionState, ConnectionCommand, ConnectionEvent, unknown> {
  readonly #ports: ConnectionPorts;
  readonly #heartbeats: Heartbeats;
  readonly #found: WeakMap<Principal, Relation>;

  constructor(context: DurableObjectState, env: unknown, ports: ConnectionPorts) {
    const found = new WeakMap<Principal, Relation>();
    const heartbeats = new Heartbeats(context.storage.sql);
    super(context, env, connectionStream(found), { ...ports, process: lapsing(heartbeats) });
    this.#ports = ports;
    this.#heartbeats = heartbeats;
    this.#found = found;
  }

  /**
   * The connection with its last heartbeat, for those who may read a context at one of its ends. As it was at `moment` it
   * comes without: heartbeats are no events, and only the last is known.
   */
  async read(principal: Principal, moment?: Moment): Promise<View | RefusalReply> {
    const connection = this.#connection();
    if (connection !== null) await this.#askEnds(connection, principal);
    const view = await this.view(principal, moment);
    return moment ? view : this.#withHeartbeat(view);
  }

  /** A page of its events after version `after`, as they were at `moment`, for those who may read the connection. */
  async readHistory(
    principal: Principal,
    after: number,
    limit: number,
    moment?: Moment,
  ): Promise<HistoryPage | RefusalReply> {
    const connection = this.#connection();
    if (connection !== null) await this.#askEnds(connection, principal);
    return this.history(principal, after, limit, moment);
  }

  /** Carries out what a caller asks for, when they may have it done. */
  async act(request: CommandRequest<ConnectionDemand>): Promise<CommandReply | RefusalReply> {
    const { command: demand, principal } = request;
    if (demand.type === 'request') return this.#request({ ...request, command: demand });
    const connection = this.#connection();
    const ends = connection && (await this.#askEnds(connection, principal));
    const command = demand.type === 'consent' ? { ...demand, deletedEnd: ends?.deletedEnd ?? null } : demand;
    const reply = await this.execute({ ...request, command });
    if (demand.type === 'heartbeat' && !isRefusal(reply) && !reply.replayed) this.#heartbeats.note(Date.now());
    return this.#withHeartbeat(reply);
  }

  async #request(
    request: CommandRequest<Extract<ConnectionDemand, { type: 'request' }>>,
  ): Promise<CommandReply | RefusalReply> {
    const { id, principal, command } = request;
    const { terms } = command;
    const { from, to, deletedEnd, there } = await this.#standings(terms, principal);
    const relation = relationToNewConnection(from, to);
    const verdict = decideAccess(principal, 'connection.create', relation);
    if (verdict === 'hidden') {
      const missing = [
        ...(relationToNewConnection(from, from) === null ? [{ pointer: '/from', id: terms.from }] : []),
        ...(relationToNewConnection(to, to) === null ? [{ pointer: '/to', id: terms.to }] : []),
      ];
      const hidden = missing.find(({ id: end }) => there.includes(end));
      return {
        ...noSuchEnds(missing.map(({ pointer }) => pointer)),
        ...(hidden && { isHidden: true, hiddenStream: `context/${hidden.id}` }),
        version: 0,
      };
    }
    if (verdict === 'forbidden') {
      return { refused: verdict, detail: 'Only owners and editors of the context in /from connect it.', version: 0 };
    }
    if (verdict === 'allowed' && this.#connection() === null) await this.#ports.register(id);
    this.#found.set(principal, relation);
    return this.#withHeartbeat(
      await this.execute({ ...request, command: { type: 'request', terms, isConsented: isWriter(to), deletedEnd } }),
    );
  }

  /** Asks the contexts at the ends of a connection that is there what the caller is to them. */
  async #askEnds(connection: ConnectionTerms, principal: Principal) {
    const ends = await this.#standings(connection, principal);
    this.#found.set(principal, relationToConnection(ends.from, ends.to));
    return ends;
  }

  async #standings(terms: Pick<ConnectionTerms, 'from' | 'to'>, principal: Principal) {
    const { standingOf } = this.#ports;
    const [from, to] = await Promise.all([standingOf(terms.from, principal), standingOf(terms.to, principal)]);
    const deletedEnd = from.isDeleted ? terms.from : to.isDeleted ? terms.to : null;
    const there = [...(from.isThere ? [terms.from] : []), ...(to.isThere ? [terms.to] : [])];
    return { from: from.relation, to: to.relation, deletedEnd, there };
  }

  #connection(): ConnectionState {
    const looked = this.look(SYSTEM, 'connection.read', (connection) => connection);
    return 'refused' in looked ? null : looked.seen;
  }

  #withHeartbeat<Reply extends { readonly body: string }>(reply: Reply | RefusalReply): Reply | RefusalReply {
    if (isRefusal(reply)) return reply;
    const connection: object = JSON.parse(reply.body);
    return { ...reply, body: JSON.stringify({ ...connection, lastHeartbeatAt: this.#heartbeats.lastAt }) };
  }
}
