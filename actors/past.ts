import type { DomainEvent } from '../events/envelope.ts';
import type { Json, JsonObject } from '../events/json.ts';
import { valueAt } from '../events/json-pointer.ts';
import { jsonEquals } from '../events/merge-patch.ts';
import type { Moment, Past, Recorded } from './decider.ts';
import type { EventLog } from './log.ts';
import type { Snapshots } from './snapshots.ts';

/** Events read at once. */
const PAGE_EVENTS = 100;

/**
 * Events that a command looks back over at most, and the characters that have to be in memory for it, give or take a
 * segment: less than 0.1 s of the object's turn.
 */
const LOOK_BACK_EVENTS = 10_000;
const LOOK_BACK_CHARS = 16 * 1024 * 1024;

/**
 * Characters of events and states that one page of a field's history looks at, give or take one read of the log: about
 * 30 ms, and a quarter of a second when the metadata has thousands of members. That is what any read of the past takes
 * there, because it goes on from a snapshot, which is up to as many events away.
 */
const SCAN_CHARS = 4 * 1024 * 1024;
/** Characters of the values in one page of a field's history, give or take one change. */
const PAGE_CHARS = 256 * 1024;

/** A page of a field's history. */
export interface FieldHistoryPage {
  /**
   * Oldest first, each as JSON text: `version`, `time`, `type` and `actor` of the event that changed the field; `from`,
   * unless there was nothing before; `to`, unless nothing was left.
   */
  readonly changes: readonly string[];
  /** The last version that was looked at. */
  readonly lastVersion: number;
  /** Whether there is nothing more to look at. */
  readonly isComplete: boolean;
}

/** What the past of a stream is read from. */
interface Source<State, Event extends DomainEvent> {
  readonly log: EventLog;
  readonly snapshots: Snapshots<State>;
  /** Parses stored text into an event of the current schema. */
  open(text: string): Recorded<Event>;
  evolve(state: State, event: Recorded<Event>): State;
  /** A state with the words that it holds. */
  openWords(state: State): State;
  /** The state as clients see it. */
  view(state: State): JsonObject | null;
  /** The version that the stream is at. */
  version(): number;
}

/** The past of one object's stream. */
export class StreamPast<State, Event extends DomainEvent> implements Past<State, Event> {
  readonly #source: Source<State, Event>;

  constructor(source: Source<State, Event>) {
    this.#source = source;
  }

  /** The version that the stream was at; the latest when left out or after the end, 0 before the first event. */
  resolve(moment: Moment | undefined): number {
    const version = this.#source.version();
    if (!moment) return version;
    return 'version' in moment ? Math.min(moment.version, version) : this.#source.log.versionAt(moment.time, version);
  }

  at(moment: Moment): { readonly version: number; readonly state: State } {
    const { snapshots, openWords } = this.#source;
    const { version, state } = snapshots.at(this.resolve(moment));
    return { version, state: openWords(state) };
  }

  *newestFirst(after: number): Generator<Recorded<Event>> {
    const { log, open } = this.#source;
    let before = this.#source.version() + 1;
    for (let events = 0, chars = 0; events < LOOK_BACK_EVENTS && chars < LOOK_BACK_CHARS; ) {
      const { page, heldChars } = log.readBack(before, after, PAGE_EVENTS, PAGE_CHARS);
      if (page.length === 0) return;
      for (const { version, text } of page) {
        yield open(text);
        before = version;
      }
      events += page.length;
      chars += heldChars;
    }
  }

  /**
   * The changes of one field of the view, oldest first.
   *
   * @param tokens the field, as the tokens of a JSON Pointer
   * @param after the version after which to look
   * @param until the last version to look at
   * @param limit changes at most; there may be fewer, none too, although more follow
   */
  fieldHistory(tokens: readonly string[], after: number, until: number, limit: number): FieldHistoryPage {
    const { snapshots, openWords } = this.#source;
    const view = (state: State) => this.#source.view(openWords(state));
    const start = snapshots.at(after);
    const changes: string[] = [];
    let value = valueAt(view(start.state), tokens);
    let reached = start.version;
    let chars = 0;
    for (const { event, state } of this.#replay(start, until)) {
      reached = event.version;
      const next = valueAt(view(state), tokens);
      if (isSame(value, next)) continue;
      const { version, time, type, actor } = event;
      // A value that is undefined leaves no trace in the text.
      const text = JSON.stringify({ version, time, type, actor, from: value, to: next });
      changes.push(text);
      value = next;
      chars += text.length;
      if (changes.length >= limit || chars >= PAGE_CHARS) break;
    }
    return { changes, lastVersion: reached, isComplete: reached >= until };
  }

  /** Goes on from a state, event by event, until it was enough work for one turn. */
  *#replay(
    start: { readonly version: number; readonly state: State },
    until: number,
  ): Generator<{ readonly event: Recorded<Event>; readonly state: State }> {
    const { log, open, evolve } = this.#source;
    let { version, state } = start;
    for (let work = 0; version < until && work < SCAN_CHARS; ) {
      const page = log.read(version, Math.min(PAGE_EVENTS, until - version), PAGE_CHARS);
      if (page.length === 0) return;
      for (const { text } of page) {
        const event = open(text);
        state = evolve(state, event);
        version = event.version;
        work += text.length;
        yield { event, state };
      }
      // A large state takes longer to go on from than a small one, whatever is in the event.
      work += page.length * JSON.stringify(state).length;
    }
  }
}

function isSame(a: Json | undefined, b: Json | undefined): boolean {
  return a === undefined || b === undefined ? a === b : jsonEquals(a, b);
}
