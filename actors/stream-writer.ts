import type { z } from 'zod';
import { type Cause, type DomainEvent, sealEvent } from '../events/envelope.ts';
import { countSealed, ERASURE, type PersonalField, personalFields, subjectErased } from '../events/personal.ts';
import { nextUlid } from '../events/ulid.ts';
import { currentSchemaVersion } from '../events/upcast.ts';
import { ANSWER_TTL_MS, ANY_REQUEST, type Answers } from './answers.ts';
import { isRefusal } from './decider.ts';
import type { EventLog } from './log.ts';
import type { CommandReply, CommandRequest, RefusalReply } from './messages.ts';
import type { StreamPast } from './past.ts';
import { type Principal, SYSTEM } from './principal.ts';
import { SNAPSHOT_EVERY, type Snapshots } from './snapshots.ts';
import type { StreamAccess } from './stream-access.ts';
import type { StreamHead } from './stream-head.ts';
import { openEvent, type StreamType } from './stream-type.ts';
import type { StreamTree } from './tree.ts';
import { FORGED_WORDS, type Words } from './words.ts';

/** Bookkeeping events that a change may have been overtaken by; past so many its caller has to look again. */
const BOOKKEEPING_MAX = 50;

/** Remembering an answer for ever: a creation's, whose key may come again after the object was made. */
export const FOR_EVER = Number.MAX_SAFE_INTEGER;

/** What a stream is written to, and what of it is looked at before. */
interface WriterTarget<State, Command, Event extends DomainEvent> {
  readonly type: StreamType<State, Command, Event>;
  readonly head: StreamHead<State>;
  readonly access: StreamAccess<State, Command, Event>;
  readonly storage: Pick<DurableObjectStorage, 'transactionSync'>;
  readonly log: EventLog;
  readonly snapshots: Snapshots<State>;
  readonly tree: StreamTree;
  readonly past: StreamPast<State, Event>;
  readonly answers: Answers;
  /** People's words; null where there are none. */
  readonly words: Words | null;
  /** Called in the turn of an append, when it is made. */
  appended(append: Append): void;
  /** Makes sure that the object's alarm fires at `time` or before. */
  armBy(time: number): void;
}

/** What has been appended. */
export interface Append {
  /** The version before the first of the events. */
  readonly after: number;
  /** The events as they are stored. */
  readonly texts: readonly string[];
  /** Whether one of them can change what somebody is to the stream's subject. */
  readonly changesRelations: boolean;
  /** When, in milliseconds since 1970. */
  readonly now: number;
}

/** The only code that appends to a stream. It decides, validates, writes and evolves in one synchronous turn. */
export class StreamWriter<State, Command, Event extends DomainEvent> {
  readonly #target: WriterTarget<State, Command, Event>;
  /** The marked fields of the events that have some, by type. */
  readonly #marked: ReadonlyMap<string, readonly PersonalField[]>;

  constructor(target: WriterTarget<State, Command, Event>) {
    this.#target = target;
    const schemas = Object.entries<z.ZodType>(target.words ? target.type.events : {});
    this.#marked = new Map(schemas.map(([type, schema]) => [type, personalFields(schema)]));
  }

  /** Carries out a command, when its principal may have it done; see `EventSourcedObject.execute`. */
  apply(request: CommandRequest<Command>): CommandReply | RefusalReply {
    const { type, head, access, log, answers, past } = this.#target;
    const now = Date.now();
    const { idempotency, expectedVersions } = request;
    const refusal = access.refuseCommand(request.principal, type.actionOf(request.command), request.id);
    if (refusal) return refusal;
    if (idempotency && log.exists) {
      const answer = answers.get(idempotency.key, now);
      if (answer && [idempotency.fingerprint, ANY_REQUEST].includes(answer.fingerprint)) {
        const body = this.#target.words?.openText(answer.body) ?? answer.body;
        return { version: answer.version, body, changed: false, replayed: true };
      }
      if (answer) {
        const detail = 'This Idempotency-Key came with another request before. Use a new key for a new request.';
        return { refused: 'idempotency-key-reused', detail, version: head.version };
      }
    }
    if (expectedVersions && head.version > 0 && !expectedVersions.some((version) => this.#stillStands(version))) {
      const detail = `The version is now ${head.version}. Read it again, and decide whether your change still stands.`;
      return { refused: 'version-mismatch', detail, version: head.version };
    }
    const decision = type.decider.decide(request.command, head.opened, request.principal, now, past);
    if (isRefusal(decision)) return { ...decision, version: head.version };
    try {
      return this.#append(request, decision, now);
    } finally {
      // Keys that nothing was stored with are nobody's: they would count as if there were words under them.
      this.#target.words?.keys.discard();
    }
  }

  /** Carries out what the object's own process reports, as a consequence of the last event. */
  recordStep(command: Command): void {
    const { head, log } = this.#target;
    if (!log.exists) return;
    const commandId = nextUlid(Date.now());
    const cause = { correlationId: this.correlationId(), causationId: head.last?.id ?? null, commandId };
    this.apply({ id: head.id, command, principal: SYSTEM, cause });
  }

  /** What all that the object's own process does is grouped with; empty when there is no event. */
  correlationId(): string {
    const { type, log } = this.#target;
    // The first of all says what the stream came of. Where that is cold, the last tells the same or what came since.
    const origin = log.firstIfHot() ?? log.last();
    return origin ? openEvent(type, origin.text).correlationId : '';
  }

  #append(request: CommandRequest<Command>, events: readonly Event[], now: number): CommandReply | RefusalReply {
    const { type, head, storage, log, snapshots, tree, answers, words } = this.#target;
    const after = head.version;
    const isCreation = after === 0;
    const stream = `${type.name}/${request.id}`;
    // Events never go back in time, whatever the clock does.
    const eventTime = Math.max(now, head.last?.time ?? 0);
    const time = new Date(eventTime).toISOString();
    const texts: string[] = [];
    const leafHashes: string[] = [];
    const who = authorship(request.principal);
    let state = head.state;
    let before = state;
    let lastEventId = head.last?.id;
    for (const event of events) {
      const schema = type.events[event.type as Event['type']];
      const sealing = this.#sealWords({ ...event, data: schema.parse(event.data) }, state, request, stream);
      if (isRefusal(sealing)) return { ...sealing, version: after };
      lastEventId = nextUlid(eventTime, lastEventId);
      const { text, leafHash } = sealEvent({
        ...who,
        ...request.cause,
        id: lastEventId,
        stream,
        version: after + texts.length + 1,
        type: event.type,
        schemaVersion: currentSchemaVersion(type.upcasters, event.type),
        time,
        data: sealing.data,
      });
      if (sealing.sealed !== null && countSealed(text) !== sealing.sealed) return { ...FORGED_WORDS, version: after };
      texts.push(text);
      leafHashes.push(leafHash);
      // From the text, as a replay will: the order of an object's keys is then the same too.
      before = state;
      state = type.decider.evolve(state, openEvent(type, text));
    }
    const version = after + texts.length;
    const erased = words === null ? [] : events.flatMap(erasureIn);
    const answerOf = (open: (state: State) => State, stateText: () => string) => {
      const answer = type.answer?.(request.command, open(before), open(state));
      return answer === undefined ? stateText() : JSON.stringify(answer);
    };
    // What is kept has no words in it.
    const kept = answerOf(
      (each) => each,
      () => head.sealedTextOf(state),
    );
    const takeSnapshot = version - head.snapshotVersion >= SNAPSHOT_EVERY;
    const completesTile = tree.completesTile(after, texts.length);
    const write = () => {
      if (!log.exists && texts.length > 0) log.create();
      for (const [index, text] of texts.entries()) log.append(after + index + 1, text);
      if (takeSnapshot) snapshots.write(version, state);
      if (completesTile) tree.completeTiles(version);
      words?.keys.store();
      for (const { subject, isForGood } of erased) words?.keys.destroy(subject, isForGood);
      if (erased.length > 0) answers.forgetRequests();
      if (request.idempotency) {
        const { key, fingerprint } = request.idempotency;
        answers.put(key, { fingerprint, version, body: kept }, isCreation ? FOR_EVER : now + ANSWER_TTL_MS);
      }
    };
    // One statement is atomic by itself; a transaction around it would only cost time.
    const changesKeys = erased.length > 0 || words?.keys.hasMade === true;
    const isOne = texts.length === 1 && !isCreation && !takeSnapshot && !completesTile;
    if (isOne && !changesKeys && !request.idempotency) write();
    else storage.transactionSync(write);
    words?.keys.stored();
    for (const { subject } of erased) words?.forget(subject);

    const stateText = texts.length > 0 ? head.textOf(state) : head.text;
    const body = answerOf(
      (each) => head.open(each),
      () => stateText,
    );
    tree.appended(after, leafHashes);
    if (takeSnapshot) head.snapshotted(version);
    if (lastEventId !== undefined && texts.length > 0) {
      head.moved(state, stateText, version, { id: lastEventId, time: eventTime, stream });
      const changesRelations = events.some((event) => type.changesRelations(event.type));
      this.#target.appended({ after, texts, changesRelations, now });
    }
    if (request.idempotency && !isCreation) this.#target.armBy(now + ANSWER_TTL_MS);
    return { version, body, changed: texts.length > 0, replayed: false };
  }

  /**
   * Seals the words in an event.
   *
   * @param state before the event
   * @returns its data and how many values were sealed, null where words are not kept apart; or why they cannot be
   */
  #sealWords(event: Event, state: State, { principal, id }: CommandRequest<Command>, stream: string) {
    const { type, words, snapshots } = this.#target;
    if (words === null) return { data: event.data, sealed: null };
    const fields = this.#marked.get(event.type) ?? [];
    const who = { author: principal.subject, self: id };
    const { personal } = type;
    const at = (version: number) => snapshots.at(version).state;
    return words.seal(event.data, fields, who, stream, (data, sealer) =>
      personal?.seal ? personal.seal({ ...event, data }, state, sealer, at) : data,
    );
  }

  /** Whether nothing but bookkeeping has happened since `version`. */
  #stillStands(version: number): boolean {
    const { type, head, log } = this.#target;
    if (version >= head.version || head.version - version > BOOKKEEPING_MAX) return version === head.version;
    const since = log.read(version, BOOKKEEPING_MAX);
    return since.every(({ text }) => type.isBookkeeping(openEvent(type, text).type));
  }
}

/** Whose key an event destroys, and whether no other may follow. */
function erasureIn({ type, data }: DomainEvent): { readonly subject: string; readonly isForGood: boolean }[] {
  if (type !== ERASURE) return [];
  const { subject, reason } = subjectErased.parse(data);
  return [{ subject, isForGood: reason !== 'retention' }];
}

/** How an event says who did it. */
function authorship({ actor, subject, credential }: Principal): Pick<Cause, 'actor' | 'onBehalfOf' | 'credential'> {
  return {
    actor,
    ...(subject !== actor && { onBehalfOf: subject }),
    ...(credential.kind !== 'system' && { credential: credential.id }),
  };
}
