import type { z } from 'zod';
import type { DomainEvent } from '../events/envelope.ts';
import type { JsonObject } from '../events/json.ts';
import type { Upcasters } from '../events/upcast.ts';
import type { Decider } from './decider.ts';

/** Everything that tells one kind of stream from another. The rest is in the base object. */
export interface StreamType<State, Command, Event extends DomainEvent> {
  /** The first part of a stream's name, such as `context`. */
  readonly name: string;
  readonly decider: Decider<State, Command, Event>;
  /** The payload schemas of its events in their current versions. */
  readonly events: Readonly<Record<Event['type'], z.ZodType<Event['data']>>>;
  readonly upcasters: Upcasters;
  /** Raise it when the form of `State` changes: snapshots of the old form are then rebuilt by replay. */
  readonly stateSchema: number;
  /** The state as clients see it, null while nothing exists. */
  view(state: State): JsonObject | null;
  /** Whether events of this type only keep books: a change that expects the version before them still stands. */
  isBookkeeping(type: Event['type']): boolean;
  /** Whether the subject is deleted: readers get a tombstone, live subscribers are closed. */
  isClosed(state: State): boolean;
}
