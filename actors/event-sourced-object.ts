import { DurableObject } from 'cloudflare:workers';
import type { DomainEvent } from '../events/envelope.ts';
import type { Action } from './access.ts';
import { AlarmClock } from './alarm-clock.ts';
import { Answers } from './answers.ts';
import { type Archived, Archiver } from './archiver.ts';
import { Beginning } from './beginning.ts';
import { ColdHistory } from './cold-history.ts';
import type { Moment } from './decider.ts';
import type { EndedAccess } from './ended-access.ts';
import { GroupCommit } from './group-commit.ts';
import { EventLog, tablesOf } from './log.ts';
import { logSink } from './log-sink.ts';
import { noteAppended } from './measures.ts';
import type {
  CommandReply,
  CommandRequest,
  HistoryPage,
  HistoryStream,
  Ports,
  Reading,
  RefusalReply,
  View,
} from './messages.ts';
import { type DeliveryReport, Outbox } from './outbox.ts';
import { type FieldHistoryPage, StreamPast } from './past.ts';
import type { Standing } from './personal-keys.ts';
import type { Present } from './presence.ts';
import type { Principal } from './principal.ts';
import { ProcessRunner } from './process.ts';
import { Snapshots } from './snapshots.ts';
import { StreamAccess } from './stream-access.ts';
import { lastEventOf, StreamHead } from './stream-head.ts';
import { StreamReader } from './stream-reader.ts';
import { openEvent, type StreamType } from './stream-type.ts';
import { type Append, FOR_EVER, StreamWriter } from './stream-writer.ts';
import { Subscribers } from './subscribers.ts';
import { Tickets } from './tickets.ts';
import { type Head, type Proof, StreamTree } from './tree.ts';
import { Words } from './words.ts';

/** How long after the alarm could not do something it tries again. */
const RETRY_MS = 10 * 60_000;
/** The latest version there can be; asks for the present. */
const LATEST = Number.MAX_SAFE_INTEGER;

/**
 * A stream as a Durable Object: the calls that come in and what is done with them, by its reader, its writer, its
 * subscribers and its outbox. An append is one synchronous turn (`stream-writer.ts`), so no other command can come in
 * between; the runtime's output gate holds every answer and every frame back until the rows are durable.
 */
export abstract class EventSourcedObject<State, Command, Event extends DomainEvent, Env> extends DurableObject<Env> {
  readonly #type: StreamType<State, Command, Event>;
  readonly #log: EventLog;
  readonly #cold: ColdHistory;
  readonly #head: StreamHead<State>;
  readonly #beginning: Beginning<State>;
  readonly #access: StreamAccess<State, Command, Event>;
  readonly #reader: StreamReader<State, Command, Event>;
  readonly #answers: Answers;
  readonly #alarm: AlarmClock;
  readonly #outbox: Outbox<State>;
  readonly #process: ProcessRunner<State, Command> | null;
  readonly #subscribers: Subscribers;
  readonly #tickets: Tickets;
  readonly #words: Words | null;
  readonly #record: (command: Command) => unknown;
  readonly #archiver: Archiver<State>;
  readonly #commit: GroupCommit<CommandRequest<Command>, CommandReply | RefusalReply>;

  constructor(
    context: DurableObjectState,
    env: Env,
    type: StreamType<State, Command, Event>,
    ports: Ports<State, Command>,
  ) {
    super(context, env);
    const { sql } = context.storage;
    const tables = tablesOf(sql);
    const cold: ColdHistory = new ColdHistory(
      sql,
      tables.segments,
      { stream: () => head.stream, version: () => head.version, rootOf: (first, last) => tree.rootOf(first, last) },
      ports.cold ?? null,
    );
    const log = new EventLog(sql, tables.events, cold);
    const tree = new StreamTree(sql, log, cold);
    const open = (text: string) => openEvent<Event>(type, text);
    const { decider } = type;
    const snapshots = new Snapshots(sql, log, cold, {
      initialState: decider.initialState,
      stateSchema: type.stateSchema,
      step: (state, text) => decider.evolve(state, open(text)),
    });
    const last = log.last();
    const head = new StreamHead(type.view, decider.initialState, last && lastEventOf(open(last.text)));
    const latest = () => snapshots.at(LATEST);
    const begun = cold.readingAtOnce(latest);
    this.#beginning = new Beginning({
      head,
      latest: async () => cold.reading(latest),
      begun: () => this.#alarm.armBy(Date.now()),
    });
    if (begun) head.begin(begun);
    // Nothing is asked of the object before its state is there, or it is known that it cannot be told.
    else context.blockConcurrencyWhile(() => this.#beginning.begin());
    const past = new StreamPast({
      log,
      snapshots,
      open,
      evolve: decider.evolve,
      view: type.view,
      openWords: (state) => head.open(state),
      version: () => head.version,
    });
    this.#words = ports.words && type.personal ? new Words(sql, log.exists, ports.words, () => head.stream) : null;
    if (this.#words) head.openWith(this.#words);
    this.#type = type;
    this.#log = log;
    this.#cold = cold;
    this.#head = head;
    this.#access = new StreamAccess(type, head);
    this.#reader = new StreamReader({ type, head, access: this.#access, log, cold, snapshots, tree, past });
    this.#answers = new Answers(sql);
    this.#tickets = new Tickets(sql);
    this.#alarm = new AlarmClock(context, log.exists);
    const armBy = (time: number, latest?: number) => this.#alarm.armBy(time, latest);
    const source = {
      log,
      cold,
      stream: () => head.stream,
      state: () => (type.personal?.areInSinks === true ? head.opened : head.state),
      version: () => head.version,
      armBy,
      isClosed: () => type.isClosed(head.state),
      stateText: () => head.text,
    };
    const sinks = [...ports.sinks];
    if (ports.log) sinks.push(logSink(ports.log, () => tree.head(head.version)));
    this.#outbox = new Outbox(sql, source, sinks, ports.monitor);
    this.#subscribers = new Subscribers(context, {
      ...source,
      mayWatch: (principal) => this.refuse(principal, type.reading.watch) === null,
    });
    const { storage } = context;
    const writer = new StreamWriter({
      type,
      head,
      access: this.#access,
      storage,
      log,
      snapshots,
      tree,
      past,
      answers: this.#answers,
      words: this.#words,
      appended: (append) => this.#appended(append),
      armBy,
    });
    const delivered = () => this.#outbox.delivered();
    this.#archiver = new Archiver({ storage, head, log, snapshots, tree, cold, delivered, armBy }, ports.cold ?? null);
    this.#commit = new GroupCommit((request) => cold.answering(() => writer.apply(request)));
    const record = (command: Command) => cold.reading(() => writer.recordStep(command));
    this.#record = record;
    const processSource = { ...source, record, correlationId: () => writer.correlationId() };
    this.#process = ports.process ? new ProcessRunner(this.#alarm, processSource, ports.process) : null;
  }

  /**
   * Carries out a command, when its principal may have it done. Callers must have checked that the input is valid.
   *
   * @returns the new state, or a refusal, in which case nothing was written
   */
  execute(request: CommandRequest<Command>): CommandReply | RefusalReply | Promise<CommandReply | RefusalReply> {
    const words = this.#words;
    const { personal, actionOf } = this.#type;
    if (words === null || !personal) return this.#commit.run(request);
    const subjects = personal.subjectsOf(request.command, this.#head.state, request.principal);
    const strangers = words.strangers(subjects, request.id);
    if (strangers.length === 0) return this.#commit.run(request);
    // Who may not have it done anyway has nobody told.
    const refusal = this.#access.refuseCommand(request.principal, actionOf(request.command), request.id);
    return refusal ?? this.#introduceAnd(words, strangers, request);
  }

  /** Has actors told that this stream is to hold words of theirs, then carries the command out. */
  async #introduceAnd(words: Words, strangers: readonly string[], request: CommandRequest<Command>) {
    const refusal = await words.introduce(strangers, `${this.#type.name}/${request.id}`);
    return refusal ? { ...refusal, version: this.#head.version } : this.#commit.run(request);
  }

  /** How the key of somebody whose words may be here stands. */
  protected standingOfSubject(subject: string): Standing {
    return this.#words?.keys.standing(subject) ?? 'none';
  }

  /** JSON text of this stream with the words that it holds. */
  protected openText(text: string): string {
    return this.#words?.openText(text) ?? text;
  }

  /** Whose words are here. */
  protected get subjects(): readonly string[] {
    return this.#words?.keys.subjects ?? [];
  }

  /** Takes no words of somebody any more: there are none, and from now on there will not be. */
  protected bar(subject: string): void {
    // Also when nothing is written yet: a creation may be waiting for others whose words it brings.
    this.#words?.bar(subject);
    if (this.#log.exists) this.#words?.keys.destroy(subject, true);
  }

  /** What the stream is to do next by itself, null when that is nothing. */
  get #chore() {
    return this.#type.chore?.(this.#head.state, this.subjects) ?? null;
  }

  /** Does what the stream does by itself, if it is time for that; sees to it that the alarm rings when it is. Never rejects. */
  async #doChore(): Promise<void> {
    try {
      const chore = this.#chore;
      if (chore !== null && chore.at <= Date.now()) await this.#record(chore.command);
    } catch (error) {
      const message = `${this.#head.stream}: what it does by itself failed`;
      console.error(JSON.stringify({ level: 'error', message, error: String(error) }));
    }
    const next = this.#chore;
    // What is still due could not be done.
    if (next !== null) this.#alarm.armBy(next.at > Date.now() ? next.at : Date.now() + RETRY_MS);
  }

  /** What has to be done in the turn of an append. */
  #appended({ after, texts, changesRelations, now }: Append): void {
    noteAppended(this.#type.name, texts.length);
    // Before the events: who has lost their access by one of them is not to see it.
    if (changesRelations) this.#subscribers.closeUnauthorized();
    for (const [index, text] of texts.entries()) this.#subscribers.publish(after + index + 1, text);
    if (this.#type.isClosed(this.#head.state)) this.#subscribers.closeEnded();
    this.#outbox.appended(now, changesRelations);
    void this.#process?.run();
    const chore = this.#chore;
    if (chore !== null) this.#alarm.armBy(Math.max(chore.at, now));
  }

  /** The state as it is, or as it was at `moment`; after the end, the latest. */
  view(principal: Principal, moment?: Moment, form?: 'opened' | 'sealed'): Reading<View> {
    return this.#cold.answering(() => this.#reader.view(principal, moment, form));
  }

  /** A page of events after version `after`, as the history was at `moment`: it ends there. */
  history(principal: Principal, after: number, limit: number, moment?: Moment): Reading<HistoryPage> {
    return this.#cold.answering(() => this.#reader.history(principal, after, limit, moment));
  }

  /** All events after version `after` up to the last, or the one that was the last at `moment`, as NDJSON. */
  historyStream(principal: Principal, after: number, moment?: Moment): Reading<HistoryStream> {
    return this.#cold.answering(() => this.#reader.historyStream(principal, after, moment));
  }

  /** A page of the changes of one field of the view after version `after`. @param tokens the field, as those of a JSON Pointer */
  fieldHistory(
    principal: Principal,
    tokens: readonly string[],
    after: number,
    limit: number,
    moment?: Moment,
  ): Reading<FieldHistoryPage> {
    return this.#cold.answering(() => this.#reader.fieldHistory(principal, tokens, after, limit, moment));
  }

  /** Proves that an event is in the tree of `size` events, or that this tree begins with that of `from` events. */
  prove(
    principal: Principal,
    claim: { readonly version: number } | { readonly from: number },
    size?: number,
  ): Reading<Proof> {
    return this.#cold.answering(() => this.#reader.prove(principal, claim, size));
  }

  /** The size and the root of the tree of all events. */
  treeHead(principal: Principal): Reading<Head> {
    return this.#cold.answering(() => this.#reader.treeHead(principal));
  }

  /** A single-use ticket that lets its bearer watch this stream as the principal, for clients that cannot send headers. */
  issueTicket(principal: Principal): { ticket: string; expiresAt: string } | RefusalReply {
    return this.refuse(principal, this.#type.reading.watch) ?? this.#tickets.issue(principal, Date.now());
  }

  /** Uses a ticket up. @returns whom it was issued to, null when it is unknown, used or expired */
  redeemTicket(ticket: string): Principal | null {
    return this.#log.exists ? this.#tickets.redeem(ticket, Date.now()) : null;
  }

  /** Does what is due, as its alarm would: what waits goes on waiting. @returns whether all sinks are up to date */
  wake(): Promise<boolean> {
    return this.#doDue(() => this.#outbox.wake());
  }

  /** Does what is due, and brings every sink up to date whatever it waits for. @returns whether all are */
  flushOutbox(): Promise<boolean> {
    return this.#doDue(() => this.#outbox.flush());
  }

  async #doDue(deliver: () => Promise<boolean>): Promise<boolean> {
    if (!this.#log.exists) return true;
    this.goOn();
    const isUpToDate = await deliver();
    this.ctx.waitUntil(this.#archiver.alarm(Date.now()));
    return isUpToDate;
  }

  /** Makes the next step of its process, and does what it does by itself, if it is time for that. */
  protected goOn(): void {
    void this.#process?.run();
    void this.#doChore();
  }

  /** Moves events out of the object into segments, however new they are. @param segments at most */
  archive(segments: number): Promise<Archived> {
    return this.#archiver.archive(segments);
  }

  /** Has everything from a version on delivered to a destination again. @returns false when there is no such destination */
  resend(destination: string, from: number): boolean {
    return this.#log.exists && this.#outbox.resend(destination, from);
  }

  /**
   * Has everything from a version on delivered to a destination again, now: to one that was emptied.
   *
   * @returns whether it has all that there was; false when `timeoutMs` passed first, and it goes on
   */
  async redeliver(destination: string, from: number, timeoutMs: number): Promise<boolean> {
    return !this.resend(destination, from) || this.whenDelivered(destination, this.#head.version, timeoutMs);
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
    this.#subscribers.accept(server, after === null ? this.#head.version : Number(after), principal, wantsPresence);
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
      await this.#beginning.again();
      if (this.#head.unreadable) this.#alarm.armBy(Date.now() + RETRY_MS);
      await this.#subscribers.closeExpiredDuring(async () => {
        await Promise.all([this.#outbox.alarm(), this.#process?.alarm()]);
        await this.#doChore();
        await this.#archiver.alarm(Date.now());
      });
      const nextEnd = this.#subscribers.closeExpired(Date.now());
      if (nextEnd !== null) this.#alarm.armBy(nextEnd);
      const nextExpiry = this.#answers.prune(Date.now());
      if (nextExpiry !== null && nextExpiry < FOR_EVER) this.#alarm.armBy(nextExpiry);
    });
  }

  /** Why the principal may not read in this way; null when they may. */
  protected refuse(principal: Principal, action: Action): RefusalReply | null {
    return this.#access.refuse(principal, action);
  }

  /** What a reader of the state gets to see of it; see `StreamReader.look`. */
  protected look<Seen>(
    principal: Principal,
    action: Action,
    see: (state: State) => Seen,
  ): { readonly version: number; readonly seen: Seen } | RefusalReply {
    return this.#reader.look(principal, action, see);
  }

  /** The same of the state as it was at `moment`, or where an earlier one is looked at too. */
  protected lookBack<Seen>(
    principal: Principal,
    action: Action,
    see: (state: State, at: (version: number) => State) => Seen,
    moment?: Moment,
  ): Reading<{ readonly version: number; readonly seen: Seen }> {
    return this.#cold.answering(() => this.#reader.look(principal, action, see, moment));
  }
}
