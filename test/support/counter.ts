import { z } from 'zod';
import type { Decider } from '../../actors/decider.ts';
import { EventSourcedObject } from '../../actors/event-sourced-object.ts';
import type { Delivery, Progress, Sink } from '../../actors/outbox.ts';
import type { StreamType } from '../../actors/stream-type.ts';
import type { Upcasters } from '../../events/upcast.ts';
import { MemorySegments } from './memory-segments.ts';

/** A second stream type, as small as one can be: a new type is its events, its decider and a few lines of object. */

export type CounterEvent =
  | { readonly type: 'counter_added'; readonly data: { readonly amount: number; readonly unit: string } }
  | { readonly type: 'counter_closed'; readonly data: Record<string, never> };

export type CounterCommand =
  | { readonly type: 'add'; readonly amount: number }
  | { readonly type: 'addEach'; readonly amounts: readonly number[] }
  /** Adds once more what was added after a version: as a revert does, it looks back. */
  | { readonly type: 'addAgain'; readonly after: number }
  | { readonly type: 'close' };

export type CounterState = { readonly total: number; readonly isClosed: boolean } | null;

const counterDecider: Decider<CounterState, CounterCommand, CounterEvent> = {
  initialState: null,
  decide(command, state, _by, _now, past) {
    if (state?.isClosed) return { refused: 'deleted', detail: 'The counter is closed.' };
    switch (command.type) {
      case 'add':
        return command.amount === 0 ? [] : [{ type: 'counter_added', data: { amount: command.amount, unit: 'one' } }];
      case 'addEach':
        return command.amounts.map((amount) => ({ type: 'counter_added', data: { amount, unit: 'one' } }));
      case 'addAgain': {
        const then = past.at({ version: command.after }).state?.total ?? 0;
        let amount = 0;
        for (const { type, data } of past.newestFirst(command.after))
          if (type === 'counter_added') amount += data.amount;
        if (then + amount !== state?.total) return { refused: 'conflict', detail: 'So much was added since.' };
        return [{ type: 'counter_added', data: { amount, unit: 'one' } }];
      }
      case 'close':
        return [{ type: 'counter_closed', data: {} }];
      default:
        return command satisfies never;
    }
  },
  evolve(state, event) {
    const current = state ?? { total: 0, isClosed: false };
    switch (event.type) {
      case 'counter_added':
        return { ...current, total: current.total + event.data.amount };
      case 'counter_closed':
        return { ...current, isClosed: true };
      default:
        return event satisfies never;
    }
  },
};

/** `counter_added` was `{by}` in version 1 and `{amount}` in version 2; version 3 added the unit. */
const counterUpcasters: Upcasters = {
  counter_added: [({ by }) => ({ amount: by ?? 0 }), (data) => ({ ...data, unit: 'one' })],
};

const counterStream: StreamType<CounterState, CounterCommand, CounterEvent> = {
  name: 'counter',
  reading: { read: 'context.read', history: 'context.history', watch: 'context.watch' },
  actionOf: () => 'context.create',
  relation: () => 'administrator',
  changesRelations: () => false,
  decider: counterDecider,
  events: {
    counter_added: z.strictObject({ amount: z.int(), unit: z.string() }),
    counter_closed: z.strictObject({}),
  },
  upcasters: counterUpcasters,
  get stateSchema() {
    return CounterObject.stateSchema;
  },
  view: (state) => state,
  isBookkeeping: () => false,
  isClosed: (state) => state?.isClosed ?? false,
};

/** A sink that keeps what it is given, and fails when it is told to. Its memory outlives the objects. */
export class RecordingSink implements Sink<CounterState> {
  readonly destinations = ['recording'];
  readonly intervalMs = 1_000;
  static readonly received = new Map<string, number[]>();
  static readonly failing = new Set<string>();

  isReady(): boolean {
    return true;
  }

  async deliver({ stream, events }: Delivery<CounterState>): Promise<Progress> {
    if (RecordingSink.failing.has(stream)) throw new Error('the sink is down');
    const versions = events().map((event) => event.version);
    RecordingSink.received.set(stream, [...(RecordingSink.received.get(stream) ?? []), ...versions]);
    return { confirmed: versions.at(-1) ?? 0 };
  }
}

export class CounterObject extends EventSourcedObject<CounterState, CounterCommand, CounterEvent, unknown> {
  /** Where old events go, and how old they are then; they outlive the objects, as what is below does. */
  static readonly segments = new MemorySegments();
  static afterMs: number | null = null;
  static stateSchema = 1;

  constructor(context: DurableObjectState, env: unknown) {
    const cold = { store: CounterObject.segments, afterMs: CounterObject.afterMs };
    super(context, env, counterStream, { sinks: [new RecordingSink()], cold });
  }
}
