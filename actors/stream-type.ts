import type { z } from 'zod';
import type { DomainEvent } from '../events/envelope.ts';
import type { JsonObject } from '../events/json.ts';
import { currentSchemaVersion, type Upcasters, upcast } from '../events/upcast.ts';
import type { Action, Relation } from './access.ts';
import { type Decider, type Recorded, recorded } from './decider.ts';
import type { Principal } from './principal.ts';
import type { PersonalWords } from './words.ts';

/** Everything that tells one kind of stream from another. The rest is in the base object. */
export interface StreamType<State, Command, Event extends DomainEvent> {
  /** The first part of a stream's name, such as `context`. */
  readonly name: string;
  /** What reading it, reading its history and watching it are called where it is decided who may. */
  readonly reading: { readonly read: Action; readonly history: Action; readonly watch: Action };
  /** What a command is called there. */
  actionOf(command: Command): Action;
  /** What the caller is to the subject of the stream. @param id the subject's id */
  relation(principal: Principal, id: string, state: State): Relation;
  /**
   * Whether an event of this type can change what somebody is to it: live subscribers are then asked again, and
   * sinks that tell who may read wait for nothing.
   */
  changesRelations(type: Event['type']): boolean;
  readonly decider: Decider<State, Command, Event>;
  /** The payload schemas of its events in their current versions. */
  readonly events: Readonly<Record<Event['type'], z.ZodType<Event['data']>>>;
  readonly upcasters: Upcasters;
  /** Raise it when the form of `State` changes: snapshots of the old form are then rebuilt by replay. */
  readonly stateSchema: number;
  /** The state as clients see it, null while nothing exists. */
  view(state: State): JsonObject | null;
  /**
   * What the answer to a command shows; undefined, as when this is left out, for the state.
   *
   * @param before the state before the last event that the command led to
   */
  answer?(command: Command, before: State, after: State): JsonObject | null | undefined;
  /** Whether events of this type only keep books: a change that expects the version before them still stands. */
  isBookkeeping(type: Event['type']): boolean;
  /** Whether the subject is deleted: readers get a tombstone, live subscribers are closed. */
  isClosed(state: State): boolean;
  /** People's words in it; left out where there are none. */
  readonly personal?: PersonalWords<State, Command, Event>;
  /** What it does by itself at a certain time, null when there is nothing. @param subjects whose words it holds */
  chore?(state: State, subjects: readonly string[]): { readonly at: number; readonly command: Command } | null;
}

/** Parses stored text into an event of the current schema. */
export function openEvent<Event extends DomainEvent>(
  { upcasters }: Pick<StreamType<unknown, unknown, Event>, 'upcasters'>,
  text: string,
): Recorded<Event> {
  const envelope: Recorded<Event> = JSON.parse(text);
  const { type, schemaVersion, data } = envelope;
  if (schemaVersion === currentSchemaVersion(upcasters, type)) return envelope;
  return recorded<Event>({ ...envelope, data: upcast(upcasters, type, schemaVersion, data) });
}
