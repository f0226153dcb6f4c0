import type { Envelope } from '../events/envelope.ts';
import type { JsonObject } from '../events/json.ts';
import type { Hydrated } from './snapshots.ts';
import type { UnreadableHistory } from './unreadable-history.ts';
import type { Words } from './words.ts';

/** What is told of a stream by its last event. */
export interface LastEvent {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** `<stream type>/<id>`. */
  readonly stream: string;
}

/** What is told by an event when it is the last. */
export function lastEventOf({ id, time, stream }: Pick<Envelope, 'id' | 'time' | 'stream'>): LastEvent {
  return { id, time: Date.parse(time), stream };
}

/** Where a stream stands: what its events have led to, and what the next one must not fall behind. Its writer moves it. */
export class StreamHead<State> {
  readonly #view: (state: State) => JsonObject | null;
  #state: State;
  #version = 0;
  #snapshotVersion = 0;
  #last: LastEvent | null;
  #unreadable: UnreadableHistory | null = null;
  #again: () => void = () => undefined;
  #text: string | null = null;
  #words: Pick<Words, 'open'> | null = null;

  /** @param last null when there is no event; else `begin` has to follow */
  constructor(view: (state: State) => JsonObject | null, initialState: State, last: LastEvent | null) {
    this.#view = view;
    this.#state = initialState;
    this.#last = last;
  }

  /** Takes up where the events lead that there are. */
  begin({ state, version, snapshotVersion }: Hydrated<State>): void {
    this.#state = state;
    this.#version = version;
    this.#snapshotVersion = snapshotVersion;
    this.#unreadable = null;
    this.#text = null;
  }

  /** Notes that the state cannot be told, because of events that cannot be read. @param again has it tried again */
  cannotBegin(why: UnreadableHistory, again: () => void): void {
    this.#unreadable = why;
    this.#again = again;
  }

  /** Has it tried again to tell the state, for those who come later. */
  beginAgain(): void {
    this.#again();
  }

  /** Why the state cannot be told; null when it can. */
  get unreadable(): UnreadableHistory | null {
    return this.#unreadable;
  }

  /** The state as the events lead to it: words are sealed in it. */
  get state(): State {
    return this.#state;
  }

  /** The state with the words that it holds. */
  get opened(): State {
    return this.open(this.#state);
  }

  /** Any state of this stream, or a part of one, with the words that it holds. */
  open<Value>(value: Value): Value {
    return this.#words === null ? value : this.#words.open(value);
  }

  /** Has words opened from now on. */
  openWith(words: Pick<Words, 'open'>): void {
    this.#words = words;
  }

  /** The version of the last event, 0 before the first. */
  get version(): number {
    return this.#version;
  }

  /** The version of the last snapshot that can be used, 0 when there is none. */
  get snapshotVersion(): number {
    return this.#snapshotVersion;
  }

  /** Notes that there is a snapshot of this version. */
  snapshotted(version: number): void {
    this.#snapshotVersion = Math.max(this.#snapshotVersion, version);
  }

  get last(): LastEvent | null {
    return this.#last;
  }

  /** `<stream type>/<id>`; empty before the first event. */
  get stream(): string {
    return this.#last?.stream ?? '';
  }

  /** The id of the stream's subject; empty before the first event. */
  get id(): string {
    return this.stream.slice(this.stream.indexOf('/') + 1);
  }

  /** The state as clients see it, as JSON text. */
  get text(): string {
    this.#text ??= this.textOf(this.#state);
    return this.#text;
  }

  /** A state of this stream as clients see it, as JSON text. */
  textOf(state: State): string {
    return this.sealedTextOf(this.open(state));
  }

  /** The same with the words as the state has them. */
  sealedTextOf(state: State): string {
    return JSON.stringify(this.#view(state));
  }

  /** Goes along with an append that has been made. @param text of the state, as `textOf` gives it */
  moved(state: State, text: string, version: number, last: LastEvent): void {
    this.#state = state;
    this.#text = text;
    this.#version = version;
    this.#last = last;
  }
}
