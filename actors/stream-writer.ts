import { type Cause, type DomainEvent, sealEvent } from '../events/envelope.ts';
import { nextUlid } from '../events/ulid.ts';
import { currentSchemaVersion } from '../events/upcast.ts';
import { ANSWER_TTL_MS, type Answers } from './answers.ts';
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
  #snapshotVersion: number;

  /** @param snapshotVersion that of the last snapshot that could be used, 0 when there is none */
  constructor(target: WriterTarget<State, Command, Event>, snapshotVersion: number) {
    this.#target = target;
    this.#snapshotVersion = snapshotVersion;
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
      if (answer?.fingerprint === idempotency.fingerprint) {
        return { version: answer.version, body: answer.body, changed: false, replayed: true };
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
    const decision = type.decider.decide(request.command, head.state, request.principal, now, past);
    if (isRefusal(decision)) return { ...decision, version: head.version };
    return this.#append(request, decision, now);
  }

  /** Carries out what the object's own process reports, as a consequence of the last event. */
  recordStep(command: Command): void {
    const { type, head, log } = this.#target;
    const [first] = log.read(0, 1);
    if (!first) return;
    const { correlationId } = openEvent(type, first.text);
    const cause = { correlationId, causationId: head.last?.id ?? null, commandId: nextUlid(Date.now()) };
    this.apply({ id: head.id, command, principal: SYSTEM, cause });
  }

  #append(request: CommandRequest<Command>, events: readonly Event[], now: number): CommandReply {
    const { type, head, storage, log, snapshots, tree, answers } = this.#target;
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
        data: schema.parse(event.data),
      });
      texts.push(text);
      leafHashes.push(leafHash);
      // From the text, as a replay will: the order of an object's keys is then the same too.
      before = state;
      state = type.decider.evolve(state, openEvent(type, text));
    }
    const version = after + texts.length;
    const stateText = texts.length > 0 ? head.textOf(state) : head.text;
    const answer = type.answer?.(request.command, before, state);
    const body = answer === undefined ? stateText : JSON.stringify(answer);
    const takeSnapshot = version - this.#snapshotVersion >= SNAPSHOT_EVERY;
    const completesTile = tree.completesTile(after, texts.length);
    const write = () => {
      if (!log.exists && texts.length > 0) log.create();
      for (const [index, text] of texts.entries()) log.append(after + index + 1, text);
      if (takeSnapshot) snapshots.write(version, state);
      if (completesTile) tree.completeTiles(version);
      if (request.idempotency) {
        const { key, fingerprint } = request.idempotency;
        answers.put(key, { fingerprint, version, body }, isCreation ? FOR_EVER : now + ANSWER_TTL_MS);
      }
    };
    // One statement is atomic by itself; a transaction around it would only cost time.
    if (texts.length === 1 && !isCreation && !takeSnapshot && !completesTile && !request.idempotency) write();
    else storage.transactionSync(write);

    tree.appended(after, leafHashes);
    if (takeSnapshot) this.#snapshotVersion = version;
    if (lastEventId !== undefined && texts.length > 0) {
      head.moved(state, stateText, version, { id: lastEventId, time: eventTime, stream });
      const changesRelations = events.some((event) => type.changesRelations(event.type));
      this.#target.appended({ after, texts, changesRelations, now });
    }
    if (request.idempotency && !isCreation) this.#target.armBy(now + ANSWER_TTL_MS);
    return { version, body, changed: texts.length > 0, replayed: false };
  }

  /** Whether nothing but bookkeeping has happened since `version`. */
  #stillStands(version: number): boolean {
    const { type, head, log } = this.#target;
    if (version >= head.version) return version === head.version;
    const since = log.read(version, BOOKKEEPING_MAX + 1);
    return since.length <= BOOKKEEPING_MAX && since.every(({ text }) => type.isBookkeeping(openEvent(type, text).type));
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
