import { expect } from 'vitest';
import { type Decider, isRefusal, type Past, type Recorded, type RefusalCode, recorded } from '../../actors/decider.ts';
import type { Principal } from '../../actors/principal.ts';
import type { DomainEvent } from '../../events/envelope.ts';
import { ADMINISTRATOR } from './principals.ts';

/** When the events of a specification happened: one second after the other. */
const START = Date.UTC(2026, 0, 1);

/** Puts events in envelopes as a log would have: versions from 1, a second apart. */
function recordAll<Event extends DomainEvent>(
  stream: string,
  events: readonly Event[],
  actors: readonly string[],
): Recorded<Event>[] {
  return events.map((event, index) =>
    recorded<Event>({
      ...event,
      id: `01JD4Q2W3E4R5T6Y7V8X9Z${String(index).padStart(4, '0')}`,
      stream,
      version: index + 1,
      schemaVersion: 1,
      time: new Date(START + index * 1000).toISOString(),
      actor: actors[index] ?? 'act_tester',
      correlationId: 'correlation',
      causationId: null,
      commandId: 'command',
      leafHash: '0'.repeat(64),
    }),
  );
}

function lookBack(): never {
  throw new Error('this decider was not expected to look back');
}

/** For commands that do not look back. */
export const NO_PAST = { at: lookBack, newestFirst: lookBack };

/** The past of a stream that has these events. */
function pastOf<State, Command, Event extends DomainEvent>(
  decider: Decider<State, Command, Event>,
  events: readonly Recorded<Event>[],
): Past<State, Event> {
  return {
    at(moment) {
      const before = events.filter((event) =>
        'version' in moment ? event.version <= moment.version : event.time <= moment.time,
      );
      return { version: before.length, state: before.reduce(decider.evolve, decider.initialState) };
    },
    newestFirst: (after) => events.slice(after).reverse(),
  };
}

/**
 * Specifications of a decider that read "given events, when command, it yields events" (the style is emmett's).
 *
 * @example specify(contextDecider, 'context/ctx_1').given([created]).when({ type: 'delete' }).yields([deleted])
 */
export function specify<State, Command, Event extends DomainEvent>(
  decider: Decider<State, Command, Event>,
  stream: string,
) {
  return {
    /** @param actors who caused each event, where it matters */
    given(events: readonly Event[], actors: readonly string[] = []) {
      const log = recordAll(stream, events, actors);
      const state = log.reduce(decider.evolve, decider.initialState);
      return {
        when(command: Command, by: Principal = ADMINISTRATOR, now = START + events.length * 1000) {
          const decision = decider.decide(command, state, by, now, pastOf(decider, log));
          return {
            yields(expected: readonly Event[]) {
              expect(decision).toEqual(expected);
            },
            yieldsNothing() {
              expect(decision).toEqual([]);
            },
            isRefused(code: RefusalCode) {
              const refusal = isRefusal(decision) ? decision : null;
              expect(refusal?.refused ?? decision).toBe(code);
              return refusal;
            },
          };
        },
        /** The state that the events lead to. */
        state,
      };
    },
  };
}
