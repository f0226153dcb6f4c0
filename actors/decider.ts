import type { DomainEvent, Envelope } from '../events/envelope.ts';
import type { JsonFault } from '../events/json.ts';
import type { Principal } from './principal.ts';

/** Why a command or a query was not carried out. Each code becomes one problem type at the edge. */
export type RefusalCode =
  | 'not-found'
  | 'forbidden'
  | 'insufficient-scope'
  | 'deleted'
  | 'already-deleted'
  | 'not-deleted'
  | 'last-owner'
  | 'already-member'
  | 'already-invited'
  | 'invitation-expired'
  | 'proposals-only'
  | 'stale-proposal'
  | 'proposal-closed'
  | 'suspended'
  | 'limit-reached'
  | 'not-connected'
  | 'subject-erased'
  | 'already-erased'
  | 'legal-hold'
  | 'already-exists'
  | 'conflict'
  | 'invalid'
  | 'version-mismatch'
  | 'idempotency-key-reused'
  | 'before-creation'
  | 'ahead-of-stream'
  | 'history-damaged'
  | 'history-unavailable';

/** A refusal is an answer, not an exception: nothing was written. */
export interface Refusal {
  readonly refused: RefusalCode;
  /** What is wrong and what the caller can do, in a sentence or two. */
  readonly detail: string;
  /** It is there, and the caller must not learn that. For the audit trail: it must not leave the edge. */
  readonly isHidden?: true;
  /** `<stream type>/<id>` of what is hidden, where that is not what was asked. */
  readonly hiddenStream?: string;
  /** Where the input is wrong, when it is. */
  readonly errors?: readonly JsonFault[];
  /** Whose changes would be lost, when that is the reason. */
  readonly conflicts?: readonly Conflict[];
  /** Which events cannot be read, when that is the reason. */
  readonly unreadable?: Unreadable;
}

/** Events that are missing, altered or out of reach. */
type Unreadable = {
  /** `<stream type>/<id>`. */
  readonly stream: string;
  /** The versions of the first and the last of them. */
  readonly first: number;
  readonly last: number;
};

/** A change of somebody else's that a command would undo. */
export type Conflict = {
  /** What was changed: an RFC 6901 pointer into the state. */
  readonly pointer: string;
  /** The last event that changed it, who caused it and when. */
  readonly version: number;
  readonly actor: string;
  readonly time: string;
};

/** Tells a refusal from any other answer. */
export function isRefusal(answer: object): answer is Refusal {
  return 'refused' in answer;
}

/** An event of the union as it was recorded: the envelope keeps each type together with its payload. */
export type Recorded<Event extends DomainEvent> = Event extends DomainEvent ? Envelope<Event> : never;

/** A moment in a stream's past: a version, or a time in ISO 8601 (UTC, milliseconds). */
export type Moment = { readonly version: number } | { readonly time: string };

/** The past of a stream, for the few commands that look back. */
export interface Past<State, Event extends DomainEvent> {
  /** The state as it was; the latest after the end, version 0 before the first event. */
  at(moment: Moment): { readonly version: number; readonly state: State };
  /** The events after version `after`, newest first. Ends early when they are too many to be read in one turn. */
  newestFirst(after: number): Iterable<Recorded<Event>>;
}

/**
 * The whole behaviour of one kind of stream, pure and synchronous (J. Chassaing, "The Decider pattern"; the shape is
 * that of emmett). `State` must be JSON, because snapshots keep it.
 */
export interface Decider<State, Command, Event extends DomainEvent> {
  /** The state of a stream without events. */
  readonly initialState: State;
  /**
   * The events that `command` leads to in `state`; none when it changes nothing, a refusal when it cannot be. That `by`
   * may ask for it at all was decided before (`access.ts`). `now` is the time, in milliseconds since 1970.
   */
  decide(
    command: Command,
    state: State,
    by: Principal,
    now: number,
    past: Past<State, Event>,
  ): readonly Event[] | Refusal;
  /** The state after `event`. It accepts whatever was recorded and never fails. */
  evolve(state: State, event: Recorded<Event>): State;
}

/**
 * Takes an envelope for an event of the union. The compiler cannot see that `type` and `data` belong together once
 * they have been through the log; the schemas that `data` passed when it was appended are the proof.
 */
export function recorded<Event extends DomainEvent>(envelope: Envelope): Recorded<Event> {
  return envelope as Recorded<Event>;
}
