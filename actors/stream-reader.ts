import type { DomainEvent } from '../events/envelope.ts';
import type { Action } from './access.ts';
import type { ColdHistory } from './cold-history.ts';
import type { Moment } from './decider.ts';
import type { EventLog, StoredEvent } from './log.ts';
import type { HistoryPage, HistoryStream, RefusalReply, View } from './messages.ts';
import type { FieldHistoryPage, StreamPast } from './past.ts';
import type { Principal } from './principal.ts';
import type { Snapshots } from './snapshots.ts';
import type { StreamAccess } from './stream-access.ts';
import type { StreamHead } from './stream-head.ts';
import type { StreamType } from './stream-type.ts';
import type { Head, Proof, StreamTree } from './tree.ts';
import { BrokenTree } from './unreadable-history.ts';

/** Events in one page of history at most. */
const HISTORY_PAGE_EVENTS = 1000;
/** Characters of one page of history, give or take one event. */
const HISTORY_PAGE_CHARS = 256 * 1024;

/** What a stream is read from. */
interface ReaderSource<State, Command, Event extends DomainEvent> {
  readonly type: StreamType<State, Command, Event>;
  readonly head: StreamHead<State>;
  readonly access: StreamAccess<State, Command, Event>;
  readonly log: EventLog;
  readonly cold: ColdHistory;
  readonly snapshots: Snapshots<State>;
  readonly tree: StreamTree;
  readonly past: StreamPast<State, Event>;
}

/**
 * Everything that is read of a stream, by those who may: its state, its past, its history and what proves it. What may
 * come to events that are cold has to be called by `ColdHistory.answering`.
 */
export class StreamReader<State, Command, Event extends DomainEvent> {
  readonly #source: ReaderSource<State, Command, Event>;

  constructor(source: ReaderSource<State, Command, Event>) {
    this.#source = source;
  }

  /**
   * The state as it is, or as it was at `moment`; after the end, the latest.
   *
   * @param form whether words are opened, or as the events lead to them
   */
  view(principal: Principal, moment?: Moment, form: 'opened' | 'sealed' = 'opened'): View | RefusalReply {
    const { type, head, access, snapshots } = this.#source;
    const version = access.refuse(principal, type.reading.read) ?? this.#endAt(moment, 0);
    if (typeof version !== 'number') return version;
    if (version === head.version) {
      const treeHead = this.#headAt(version);
      const body = form === 'opened' ? head.text : head.sealedTextOf(head.state);
      return { version, body, isClosed: type.isClosed(head.state), ...(treeHead && { treeHead }) };
    }
    const past = snapshots.at(version);
    const body = form === 'opened' ? head.textOf(past.state) : head.sealedTextOf(past.state);
    return { version, body, isClosed: type.isClosed(past.state) };
  }

  /** A page of events after version `after`, as the history was at `moment`: it ends there. */
  history(principal: Principal, after: number, limit: number, moment?: Moment): HistoryPage | RefusalReply {
    const { type, head, access, log } = this.#source;
    const end = access.refuse(principal, type.reading.history) ?? this.#endAt(moment, after);
    if (typeof end !== 'number') return end;
    const events = log.read(after, Math.min(limit, HISTORY_PAGE_EVENTS, end - after), HISTORY_PAGE_CHARS);
    const lastVersion = events.at(-1)?.version ?? after;
    const treeHead = lastVersion === head.version ? this.#headAt(lastVersion) : null;
    return {
      events: events.map((event) => event.text),
      lastVersion,
      newestVersion: head.version,
      isUpToDate: lastVersion === end,
      isClosed: end === head.version && type.isClosed(head.state),
      ...(treeHead && { treeHead }),
    };
  }

  /**
   * All events after version `after` up to the one that is the last now, or was at `moment`, as NDJSON: one envelope per
   * line. A page is read when the reader has room for it, so that memory stays flat however long the history is.
   */
  historyStream(principal: Principal, after: number, moment?: Moment): HistoryStream | RefusalReply {
    const { type, access, log, cold } = this.#source;
    const last = access.refuse(principal, type.reading.history) ?? this.#endAt(moment, after);
    if (typeof last !== 'number') return last;
    const encoder = new TextEncoder();
    let reached = after;
    const read = () => log.read(reached, Math.min(HISTORY_PAGE_EVENTS, last - reached), HISTORY_PAGE_CHARS);
    cold.recheck(after, last);
    // At once: who cannot be given the first page is told so, and not in the middle of an answer.
    let first: readonly StoredEvent[] | null = read();
    const source: UnderlyingByteSource = {
      type: 'bytes',
      pull: async (controller) => {
        const events = first ?? (await cold.reading(read));
        first = null;
        if (events.length > 0) controller.enqueue(encoder.encode(`${events.map((event) => event.text).join('\n')}\n`));
        reached = events.at(-1)?.version ?? last;
        if (reached >= last) controller.close();
      },
    };
    const treeHead = this.#headAt(last);
    return { lines: new ReadableStream(source), lastVersion: last, ...(treeHead && { treeHead }) };
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
    const { type, access, past } = this.#source;
    const end = access.refuse(principal, type.reading.history) ?? this.#endAt(moment, after);
    return typeof end === 'number' ? past.fieldHistory(tokens, after, end, limit) : end;
  }

  /**
   * Proves that the event of a version is in the tree of the first `size` events, or that this tree begins with that of
   * the first `from` events (RFC 9162). @param size the present one when left out
   */
  prove(
    principal: Principal,
    claim: { readonly version: number } | { readonly from: number },
    size = this.#source.head.version,
  ): Proof | RefusalReply {
    const { type, head, access, tree } = this.#source;
    const refusal = access.refuse(principal, type.reading.history);
    if (refusal) return refusal;
    const first = 'from' in claim ? claim.from : claim.version;
    if (size > head.version || first > size) {
      const detail = `There are ${head.version} events. The tree's size can be at most that, and what is proved at most the tree's size.`;
      return { refused: 'ahead-of-stream', detail, version: head.version };
    }
    return 'from' in claim ? tree.consistency(first, size) : tree.inclusion(first, size);
  }

  /** The size and the root of the tree of all events. */
  treeHead(principal: Principal): Head | RefusalReply {
    const { type, head, access, tree } = this.#source;
    return access.refuse(principal, type.reading.history) ?? tree.head(head.version);
  }

  /**
   * What a reader of the state gets to see of it, as it is or as it was at `moment`. For what is not part of the view that
   * everybody gets.
   *
   * @param see given the state, and a function that gives it as it was at an earlier version
   */
  look<Seen>(
    principal: Principal,
    action: Action,
    see: (state: State, at: (version: number) => State) => Seen,
    moment?: Moment,
  ): { readonly version: number; readonly seen: Seen } | RefusalReply {
    const { head, access, snapshots } = this.#source;
    const version = access.refuse(principal, action) ?? this.#endAt(moment, 0);
    if (typeof version !== 'number') return version;
    const at = (earlier: number) => head.open(snapshots.at(earlier).state);
    return { version, seen: see(version === head.version ? head.opened : at(version), at) };
  }

  /** The head of the tree at a version; null when the log is damaged, whose events must be readable all the same: they show how. */
  #headAt(version: number): Head | null {
    const { head, tree } = this.#source;
    try {
      return version === head.version ? tree.head(version) : tree.headAt(version);
    } catch (error) {
      if (!(error instanceof BrokenTree)) throw error;
      console.error(JSON.stringify({ level: 'error', message: `${head.stream} has no tree: ${error}` }));
      return null;
    }
  }

  /** The last version there was at `moment`, for somebody who reads on after version `after`. */
  #endAt(moment: Moment | undefined, after: number): number | RefusalReply {
    const { version } = this.#source.head;
    const end = this.#source.past.resolve(moment);
    if (end === 0) return { refused: 'before-creation', detail: 'It did not exist yet at that time.', version };
    if (after <= end) return end;
    const detail = `There are ${end} events; what you asked for begins after number ${after}.`;
    return { refused: 'ahead-of-stream', detail, version };
  }
}
