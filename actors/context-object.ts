import { type ContextEvent, contextEvents, contextUpcasters } from '../events/context.ts';
import { type ContextCommand, type ContextState, contextDecider } from './context.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import type { StreamType } from './stream-type.ts';

const contextStream: StreamType<ContextState, ContextCommand, ContextEvent> = {
  name: 'context',
  decider: contextDecider,
  events: contextEvents,
  upcasters: contextUpcasters,
  stateSchema: 1,
  view: (context) => context,
  isClosed: (context) => context?.status === 'deleted',
};

/** One context. */
export class ContextObject extends EventSourcedObject<ContextState, ContextCommand, ContextEvent, unknown> {
  constructor(context: DurableObjectState, env: unknown) {
    super(context, env, contextStream, []);
  }
}
