import { DurableObject } from 'cloudflare:workers';
import { type Cause, type DomainEvent, sealEvent } from '../events/envelope.ts';
import { nextUlid } from '../events/ulid.ts';
import { currentSchemaVersion, upcast } from '../events/upcast.ts';
import { type Action, decideAccess } from './access.ts';
import { AlarmClock } from './alarm-clock.ts';
import { ANSWER_TTL_MS, Answers } from './answers.ts';
import { isRefusal, type Moment, type Recorded, recorded } from './decider.ts';
import type { EndedAccess } from './ended-access.ts';
import { GroupCommit } from './group-commit.ts';
import { EventLog } from './log.ts';
import { logSink } from './log-sink.ts';
import type {
  CommandReply,
  CommandRequest,
  HistoryPage,
  HistoryStream,
  Ports,
  RefusalReply,
  View,
} from './messages.ts';
import { type DeliveryReport, Outbox } from './outbox.ts';
import { type FieldHistoryPage, StreamPast } from './past.ts';
import type { Present } from './presence.ts';
import { type Principal, SYSTEM } from './principal.ts';
import { ProcessRunner } from './process.ts';
import { SNAPSHOT_EVERY, Snapshots } from './snapshots.ts';
import type { StreamType } from './stream-type.ts';
import { Subscribers } from './subscribers.ts';
import { Tickets } from './tickets.ts';
import { type Head, type Proof, StreamTree } from './tree.ts';

/** Bookkeeping events that a change may have been overtaken by; past so many its caller has to look again. */
const BOOKKEEPING_MAX = 50;

/** Events in one page of history at most. */
const HISTORY_PAGE_EVENTS = 1000;
/** Characters of one page of history, give or take one event. */
const HISTORY_PAGE_CHARS = 256 * 1024;

/** The latest version there can be; asks for the present. */
const LATEST = Number.MAX_SAFE_INTEGER;

/** Remembering an answer for ever: a creation's, whose key may come again after the object was made. */
const FOR_EVER = Number.MAX_SAFE_INTEGER;

/**
 * A stream as a Durable Object: its log, its state, its subscribers and its outbox. It is the only code that appends.
 * An append decides, validates, writes and evolves in one synchronous turn, so no other command can come in between;
 * the runtime's output gate holds every answer and every frame back until the rows are durable.
 */
export abstract class EventSourcedObject<State, Command, Event extends DomainEvent, Env> extends DurableObject<Env> {
  readonly #type: StreamType<State, Command, Event>;
  readonly #log: EventLog;
  readonly #snapshots: Snapshots<State>;
  readonly #tree: StreamTree;
  readonly #past: StreamPast<State, Event>;
  readonly #answers: Answers;
  readonly #alarm: AlarmClock;
  readonly #outbox: Outbox<State>;
  readonly #process: ProcessRunner<State, Command> | null;
  readonly #subscribers: Subscribers;
  readonly #tickets: Tickets;

  #state: State;
  #version: number;
  #snapshotVersion: number;
  #lastEventId: string | undefined;
  /** The time of the last event, in milliseconds since 1970. */
  #lastTime = 0;
  #stream = '';
  #stateText: string | null = null;

  readonly #commit = new GroupCommit((request: CommandRequest<Command>) => this.#apply(request));

  constructor(
    context: DurableObjectState,
    env: Env,
    type: StreamType<State, Command, Event>,
    ports: Ports<State, Command>,
  ) {
    super(context, env);
    const { sql } = context.storage;
    this.#type = type;
    this.#log = new EventLog(sql);
    this.#tree = new StreamTree(sql, this.#log);
    this.#snapshots = new Snapshots(sql, this.#log, {
      initialState: type.decider.initialState,
      stateSchema: type.stateSchema,
      step: (state, text) => type.decider.evolve(state, this.#open(text)),
    });
    this.#past = new StreamPast({
      log: this.#log,
      snapshots: this.#snapshots,
      open: (text) => this.#open(text),
      evolve: type.decider.evolve,
      view: type.view,
      version: () => this.#version,
    });
    const hydrated = this.#snapshots.at(LATEST);
    this.#state = hydrated.state;
    this.#version = hydrated.version;
    this.#snapshotVersion = hydrated.snapshotVersion;
    this.#readLast();
    this.#answers = new Answers(sql);
    this.#tickets = new Tickets(sql);
    this.#alarm = new AlarmClock(context, this.#log.exists);
    const source = {
      log: this.#log,
      stream: () => this.#stream,
      state: () => this.#state,
      version: () => this.#version,
      armBy: (time: number, latest?: number) => this.#alarm.armBy(time, latest),
      isClosed: () => this.#type.isClosed(this.#state),
      stateText: () => this.#currentText(),
    };
    const sinks = [...ports.sinks];
    if (ports.log) sinks.push(logSink(ports.log, () => this.#tree.head(this.#version)));
    this.#outbox = new Outbox(sql, source, sinks, ports.monitor);
    this.#subscribers = new Subscribers(context, {
      ...source,
      mayWatch: (principal) => this.refuse(principal, type.reading.watch) === null,
    });
    const record = (command: Command) => this.#recordStep(command);
    this.#process = ports.process ? new ProcessRunner(this.#alarm, { ...source, record }, ports.process) : null;
  }

  /**
   * Carries out a command, when its principal may have it done. Callers must have checked that the input is valid.
   *
   * @returns the new state, or a refusal, in which case nothing was written
   */
  execute(request: CommandRequest<Command>): CommandReply | RefusalReply | Promise<CommandReply | RefusalReply> {
    return this.#commit.run(request);
  }

  /** The state as it is, or as it was at `moment`; after the end, the latest. */
  view(principal: Principal, moment?: Moment): View | RefusalReply {
    const version = this.refuse(principal, this.#type.reading.read) ?? this.#endAt(moment, 0);
    if (typeof version !== 'number') return version;
    if (version === this.#version) {
      const isClosed = this.#type.isClosed(this.#state);
      return { version: this.#version, body: this.#currentText(), isClosed };
    }
    const past = this.#snapshots.at(version);
    return { version, body: this.#text(past.state), isClosed: this.#type.isClosed(past.state) };
  }

  /** A page of events after version `after`, as the history was at `moment`: it ends there. */
  history(principal: Principal, after: number, limit: number, moment?: Moment): HistoryPage | RefusalReply {
    const end = this.refuse(principal, this.#type.reading.history) ?? this.#endAt(moment, after);
    if (typeof end !== 'number') return end;
    const events = this.#log.read(after, Math.min(limit, HISTORY_PAGE_EVENTS, end - after), HISTORY_PAGE_CHARS);
    const lastVersion = events.at(-1)?.version ?? after;
    const treeHead = lastVersion === this.#version ? this.#headAt(lastVersion) : null;
    return {
      events: events.map((event) => event.text),
      lastVersion,
      isUpToDate: lastVersion === end,
      isClosed: end === this.#version && this.#type.isClosed(this.#state),
      ...(treeHead && { treeHead }),
    };
  }

  /**
   * All events after version `after` up to the one that is the last now, or was at `moment`, as NDJSON: one envelope per
   * line. A page is read when the reader has room for it, so that memory stays flat however long the history is.
   */
  historyStream(principal: Principal, after: number, moment?: Moment): HistoryStream | RefusalReply {
    const last = this.refuse(principal, this.#type.reading.history) ?? this.#endAt(moment, after);
    if (typeof last !== 'number') return last;
    const encoder = new TextEncoder();
    let reached = after;
    const source: UnderlyingByteSource = {
      type: 'bytes',
      pull: (controller) => {
        const limit = Math.min(HISTORY_PAGE_EVENTS, last - reached);
        const events = this.#log.read(reached, limit, HISTORY_PAGE_CHARS);
        if (events.length > 0) controller.enqueue(encoder.encode(`${events.map((event) => event.text).join('\n')}\n`));
        reached = events.at(-1)?.version ?? last;
        if (reached >= last) controller.close();
      },
    };
    const treeHead = this.#headAt(last);
    return { lines: new ReadableStream(source), lastVersion: last, ...(treeHead && { treeHead }) };
  }

  /** The head at a version; null when the log is damaged, whose events must be readable all the same: they show how. */
  #headAt(version: number): Head | null {
    try {
      return version === this.#version ? this.#tree.head(version) : this.#tree.headAt(version);
    } catch (error) {
      console.error(JSON.stringify({ level: 'error', message: `${this.#stream} has no tree: ${error}` }));
      return null;
    }
  }

  /**
   * A page of the changes of one field of the view after version `after`, as the history was at `moment`.
   *
   * @param tokens the field, as the tokens of a JSON Pointer
   */
  fieldHistory(
    principal: Principal,
    tokens: readonly string[],
    after: number,
    limit: number,
    moment?: Moment,
  ): FieldHistoryPage | RefusalReply {
    const end = this.refuse(principal, this.#type.reading.history) ?? this.#endAt(moment, after);
    return typeof end === 'number' ? this.#past.fieldHistory(tokens, after, end, limit) : end;
  }

  /**
   * Proves that the event of a version is in the tree of the first `size` events, or that this tree begins with that of
   * the first `from` events (RFC 9162). @param size the present one when left out
   */
  prove(
    principal: Principal,
    claim: { readonly version: number } | { readonly from: number },
    size = this.#version,
  ): Proof | RefusalReply {
    const refusal = this.refuse(principal, this.#type.reading.history);
    if (refusal) return refusal;
    const first = 'from' in claim ? claim.from : claim.version;
    if (size > this.#version || first > size) {
      const detail = `There are ${this.#version} events. The tree's size can be at most that, and what is proved at most the tree's size.`;
      return { refused: 'ahead-of-stream', detail, version: this.#version };
    }
    return 'from' in claim ? this.#tree.consistency(first, size) : this.#tree.inclusion(first, size);
  }

  /** The size and the root of the tree of all events. */
  treeHead(principal: Principal): Head | RefusalReply {
    return this.refuse(principal, this.#type.reading.history) ?? this.#tree.head(this.#version);
  }

  /** A single-use ticket that lets its bearer watch this stream as the principal, for clients that cannot send headers. */
  issueTicket(principal: Principal): { ticket: string; expiresAt: string } | RefusalReply {
    return this.refuse(principal, this.#type.reading.watch) ?? this.#tickets.issue(principal, Date.now());
  }

  /** Uses a ticket up. @returns whom it was issued to, null when it is unknown, used or expired */
  redeemTicket(ticket: string): Principal | null {
    return this.#log.exists ? this.#tickets.redeem(ticket, Date.now()) : null;
  }

  /** Does everything that is due now: brings every sink up to date, and makes the next step. @returns whether all sinks are up to date */
  flushOutbox(): Promise<boolean> {
    void this.#process?.run();
    return this.#outbox.flush();
  }

  /** Has everything from a version on delivered to a destination again. @returns false when there is no such destination */
  resend(destination: string, from: number): boolean {
    return this.#log.exists && this.#outbox.resend(destination, from);
  }

  /**
   * Has everything delivered to a destination again, from the first event on: to one that was emptied.
   *
   * @returns whether it has all that there was; false when `timeoutMs` passed first, and it goes on
   */
  async redeliver(destination: string, timeoutMs: number): Promise<boolean> {
    return !this.resend(destination, 1) || this.whenDelivered(destination, this.#version, timeoutMs);
  }

  /** Waits until a destination has everything up to `version`. @returns false when `timeoutMs` passed first */
  whenDelivered(destination: string, version: number, timeoutMs: number): Promise<boolean> {
    return this.#outbox.whenConfirmed(destination, version, timeoutMs);
  }

  /** Takes what became of a delivery, by destination. */
  reportDelivery(reports: Readonly<Record<string, DeliveryReport>>): void {
    if (this.#log.exists) this.#outbox.report(reports);
  }

  /** The cursor of each sink. */
  outboxCursors(): Record<string, { confirmed: number; attempts: number; lastError: string | null }> {
    return Object.fromEntries(
      [...this.#outbox.cursors].map(([name, { confirmed, attempts, lastError }]) => [
        name,
        { confirmed, attempts, lastError },
      ]),
    );
  }

  /** Who watches now. */
  present(principal: Principal): Present | RefusalReply {
    return this.refuse(principal, this.#type.reading.watch) ?? this.#subscribers.present();
  }

  /** Closes the subscriptions that came of credentials which have ended. */
  endSubscriptions(ended: EndedAccess): void {
    this.#subscribers.end(ended);
  }

  /**
   * Takes a WebSocket: `?after=<version>` is where the subscriber stands, the present when left out; the header
   * `X-Principal` says who it is, `?presence=true` that it wants to know who else watches. Only the edge can send this
   * request.
   */
  override fetch(request: Request): Response {
    const principal: Principal = JSON.parse(decodeURIComponent(request.headers.get('X-Principal') ?? ''));
    const refusal = this.refuse(principal, this.#type.reading.watch);
    if (refusal) return Response.json({ refused: refusal.refused, detail: refusal.detail }, { status: 403 });
    const { searchParams } = new URL(request.url);
    const after = searchParams.get('after');
    const wantsPresence = searchParams.get('presence') === 'true';
    const [client, server] = Object.values(new WebSocketPair());
    if (!client || !server) throw new Error('WebSocketPair gave no pair');
    this.#subscribers.accept(server, after === null ? this.#version : Number(after), principal, wantsPresence);
    if (principal.expiresAt !== null) this.#alarm.armBy(principal.expiresAt);
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.#subscribers.received(socket, message);
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    this.#subscribers.closed(socket, code);
  }

  override webSocketError(socket: WebSocket): void {
    this.#subscribers.closed(socket, 1006);
  }

  /** Drains what is behind and prunes what has expired. It must not throw: an alarm that keeps throwing is dropped. */
  override async alarm(): Promise<void> {
    await this.#alarm.ring(async () => {
      if (!this.#log.exists) return;
      await Promise.all([this.#outbox.alarm(), this.#process?.alarm()]);
      const nextEnd = this.#subscribers.closeExpired(Date.now());
      if (nextEnd !== null) this.#alarm.armBy(nextEnd);
      const nextExpiry = this.#answers.prune(Date.now());
      if (nextExpiry !== null && nextExpiry < FOR_EVER) this.#alarm.armBy(nextExpiry);
    });
  }

  /** Why the principal may not read in this way; null when they may. */
  protected refuse(principal: Principal, action: Action): RefusalReply | null {
    return this.#version === 0 ? this.#notFound() : this.#refuse(principal, action, this.#id);
  }

  #refuse(principal: Principal, action: Action, id: string): RefusalReply | null {
    const relation = this.#type.relation(principal, id, this.#state);
    const verdict = decideAccess(principal, action, relation);
    switch (verdict) {
      case 'allowed':
        return null;
      case 'insufficient-scope': {
        const detail = 'Your credential is not good for this. Use one that has the scope for it.';
        return { refused: verdict, detail, version: 0 };
      }
      case 'hidden':
        return this.#version === 0 ? this.#notFound() : { ...this.#notFound(), isHidden: true };
      case 'forbidden': {
        if (this.#version === 0) return this.#notFound();
        return { refused: verdict, detail: `As ${relation} you may not do this.`, version: this.#version };
      }
      default:
        return verdict satisfies never;
    }
  }

  /** The same for what is not there and for what the caller must not know of. */
  #notFound(): RefusalReply {
    return {
      refused: 'not-found',
      detail: `There is no ${this.#type.name.replace('_', ' ')} with this id.`,
      version: 0,
    };
  }

  /**
   * What a reader of the state gets to see of it. For what is not part of the view that everybody gets.
   *
   * @param see given the state, and a function that gives it as it was at an earlier version
   */
  protected look<Seen>(
    principal: Principal,
    action: Action,
    see: (state: State, at: (version: number) => State) => Seen,
  ): { readonly version: number; readonly seen: Seen } | RefusalReply {
    const at = (version: number) => this.#snapshots.at(version).state;
    return this.refuse(principal, action) ?? { version: this.#version, seen: see(this.#state, at) };
  }

  /** The id of the stream's subject; empty before the first event. */
  get #id(): string {
    return this.#stream.slice(this.#stream.indexOf('/') + 1);
  }

  #apply(request: CommandRequest<Command>): CommandReply | RefusalReply {
    const now = Date.now();
    const { idempotency, expectedVersions } = request;
    const refusal = this.#refuse(request.principal, this.#type.actionOf(request.command), request.id);
    if (refusal) return refusal;
    if (idempotency && this.#log.exists) {
      const answer = this.#answers.get(idempotency.key, now);
      if (answer?.fingerprint === idempotency.fingerprint) {
        return { version: answer.version, body: answer.body, changed: false, replayed: true };
      }
      if (answer) {
        const detail = 'This Idempotency-Key came with another request before. Use a new key for a new request.';
        return { refused: 'idempotency-key-reused', detail, version: this.#version };
      }
    }
    if (expectedVersions && this.#version > 0 && !expectedVersions.some((version) => this.#stillStands(version))) {
      const detail = `The version is now ${this.#version}. Read it again, and decide whether your change still stands.`;
      return { refused: 'version-mismatch', detail, version: this.#version };
    }
    const decision = this.#type.decider.decide(request.command, this.#state, request.principal, now, this.#past);
    if (isRefusal(decision)) return { ...decision, version: this.#version };
    return this.#append(request, decision, now);
  }

  #append(request: CommandRequest<Command>, events: readonly Event[], now: number): CommandReply {
    const isCreation = this.#version === 0;
    const stream = `${this.#type.name}/${request.id}`;
    // Events never go back in time, whatever the clock does.
    const eventTime = Math.max(now, this.#lastTime);
    const time = new Date(eventTime).toISOString();
    const texts: string[] = [];
    const leafHashes: string[] = [];
    const who = authorship(request.principal);
    let state = this.#state;
    let before = state;
    let lastEventId = this.#lastEventId;
    for (const event of events) {
      const schema = this.#type.events[event.type as Event['type']];
      lastEventId = nextUlid(eventTime, lastEventId);
      const { text, leafHash } = sealEvent({
        ...who,
        ...request.cause,
        id: lastEventId,
        stream,
        version: this.#version + texts.length + 1,
        type: event.type,
        schemaVersion: currentSchemaVersion(this.#type.upcasters, event.type),
        time,
        data: schema.parse(event.data),
      });
      texts.push(text);
      leafHashes.push(leafHash);
      // From the text, as a replay will: the order of an object's keys is then the same too.
      before = state;
      state = this.#type.decider.evolve(state, this.#open(text));
    }
    const version = this.#version + texts.length;
    const stateText = texts.length > 0 ? this.#text(state) : this.#currentText();
    const answer = this.#type.answer?.(request.command, before, state);
    const body = answer === undefined ? stateText : JSON.stringify(answer);
    const takeSnapshot = version - this.#snapshotVersion >= SNAPSHOT_EVERY;
    const completesTile = this.#tree.completesTile(this.#version, texts.length);
    const write = () => {
      if (!this.#log.exists && texts.length > 0) this.#log.create();
      for (const [index, text] of texts.entries()) this.#log.append(this.#version + index + 1, text);
      if (takeSnapshot) this.#snapshots.write(version, state);
      if (completesTile) this.#tree.completeTiles(version);
      if (request.idempotency) {
        const { key, fingerprint } = request.idempotency;
        this.#answers.put(key, { fingerprint, version, body }, isCreation ? FOR_EVER : now + ANSWER_TTL_MS);
      }
    };
    // One statement is atomic by itself; a transaction around it would only cost time.
    if (texts.length === 1 && !isCreation && !takeSnapshot && !completesTile && !request.idempotency) write();
    else this.ctx.storage.transactionSync(write);

    const previous = this.#version;
    this.#tree.appended(this.#version, leafHashes);
    this.#state = state;
    this.#version = version;
    this.#lastEventId = lastEventId;
    if (takeSnapshot) this.#snapshotVersion = version;
    if (texts.length > 0) {
      this.#lastTime = eventTime;
      this.#stream = stream;
      this.#stateText = stateText;
      // Before the events: who has lost their access by one of them is not to see it.
      if (events.some(({ type }) => this.#type.changesRelations(type))) this.#subscribers.closeUnauthorized();
      for (const [index, text] of texts.entries()) this.#subscribers.publish(previous + index + 1, text);
      if (this.#type.isClosed(state)) this.#subscribers.closeEnded();
      this.#outbox.appended(now);
      void this.#process?.run();
    }
    if (request.idempotency && !isCreation) this.#alarm.armBy(now + ANSWER_TTL_MS);
    return { version, body, changed: texts.length > 0, replayed: false };
  }

  /** Carries out what the object's own process reports, as a consequence of the last event. */
  #recordStep(command: Command): void {
    const [first] = this.#log.read(0, 1);
    if (!first) return;
    const correlationId = this.#open(first.text).correlationId;
    const cause = { correlationId, causationId: this.#lastEventId ?? null, commandId: nextUlid(Date.now()) };
    this.#apply({ id: this.#id, command, principal: SYSTEM, cause });
  }

  /** Whether nothing but bookkeeping has happened since `version`. */
  #stillStands(version: number): boolean {
    if (version >= this.#version) return version === this.#version;
    const since = this.#log.read(version, BOOKKEEPING_MAX + 1);
    return (
      since.length <= BOOKKEEPING_MAX && since.every(({ text }) => this.#type.isBookkeeping(this.#open(text).type))
    );
  }

  /** Parses stored text into an event of the current schema. */
  #open(text: string): Recorded<Event> {
    const envelope: Recorded<Event> = JSON.parse(text);
    const { type, schemaVersion, data } = envelope;
    if (schemaVersion === currentSchemaVersion(this.#type.upcasters, type)) return envelope;
    return recorded<Event>({ ...envelope, data: upcast(this.#type.upcasters, type, schemaVersion, data) });
  }

  /** Takes up from the last event what the next one must not fall behind. */
  #readLast(): void {
    const [last] = this.#log.read(this.#version - 1, 1);
    if (!last) return;
    const { id, time, stream } = this.#open(last.text);
    this.#lastEventId = id;
    this.#lastTime = Date.parse(time);
    this.#stream = stream;
  }

  /** The last version there was at `moment`, for somebody who reads on after version `after`. */
  #endAt(moment: Moment | undefined, after: number): number | RefusalReply {
    const version = this.#version;
    const end = this.#past.resolve(moment);
    if (end === 0) return { refused: 'before-creation', detail: 'It did not exist yet at that time.', version };
    if (after <= end) return end;
    const detail = `There are ${end} events; what you asked for begins after number ${after}.`;
    return { refused: 'ahead-of-stream', detail, version };
  }

  #currentText(): string {
    this.#stateText ??= this.#text(this.#state);
    return this.#stateText;
  }

  #text(state: State): string {
    return JSON.stringify(this.#type.view(state));
  }
}

/** How an event says who did it. */
function authorship({ actor, subject, credential }: Principal): Pick<Cause, 'actor' | 'onBehalfOf' | 'credential'> {
  return {
    actor,
    ...(subject !== actor && { onBehalfOf: subject }),
    ...(credential.kind !== 'system' && { credential: credential.id }),
  };
}
