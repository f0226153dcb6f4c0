import type { DeadLetterEvent } from '../events/dead-letter.ts';
import type { Json } from '../events/json.ts';
import type { Decider } from './decider.ts';

/** A message that a queue gave up, and what was done about it. The JSON that administrators see. */
export type DeadLetter = {
  readonly id: string;
  readonly status: 'waiting' | 'replayed' | 'dropped';
  readonly queue: string;
  readonly messageId: string;
  readonly attempts: number;
  readonly subject: string | null;
  readonly body: Json;
  /** How often it was sent again. */
  readonly replays: number;
  readonly version: number;
  readonly receivedAt: string;
  readonly updatedAt: string;
};

/** Null until it was received. */
export type DeadLetterState = DeadLetter | null;

type Received = Extract<DeadLetterEvent, { type: 'dead_letter_received' }>['data'];

/** What can be done with a dead letter. */
export type DeadLetterCommand =
  | { readonly type: 'receive'; readonly data: Received }
  | { readonly type: 'replay' }
  | { readonly type: 'drop' };

/** A dead letter is kept for ever; it can be replayed as often as need be, until it is dropped. */
export const deadLetterDecider: Decider<DeadLetterState, DeadLetterCommand, DeadLetterEvent> = {
  initialState: null,

  decide(command, state) {
    if (command.type === 'receive') {
      // A message that the queue hands over twice is one dead letter.
      return state === null ? [{ type: 'dead_letter_received', data: command.data }] : [];
    }
    if (state === null) return { refused: 'not-found', detail: 'There is no such dead letter.' };
    if (state.status === 'dropped') {
      return { refused: 'already-deleted', detail: 'The dead letter was dropped; nothing more can be done with it.' };
    }
    return [
      command.type === 'replay'
        ? { type: 'dead_letter_replayed', data: {} }
        : { type: 'dead_letter_dropped', data: {} },
    ];
  },

  evolve(state, event) {
    if (event.type === 'dead_letter_received') {
      return {
        id: event.stream.slice(event.stream.indexOf('/') + 1),
        status: 'waiting',
        ...event.data,
        replays: 0,
        version: event.version,
        receivedAt: event.time,
        updatedAt: event.time,
      };
    }
    if (state === null) throw new Error(`${event.type} at the start of ${event.stream}`);
    const moved = { ...state, version: event.version, updatedAt: event.time };
    switch (event.type) {
      case 'dead_letter_replayed':
        return { ...moved, status: 'replayed', replays: state.replays + 1 };
      case 'dead_letter_dropped':
        return { ...moved, status: 'dropped' };
      default:
        return event satisfies never;
    }
  },
};
