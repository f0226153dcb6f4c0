import { type ContextEvent, contextEvents, contextUpcasters } from '../events/context.ts';
import { type ContextCommand, type ContextState, contextDecider } from './context.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import type { Ports } from './messages.ts';
import { isProvisioning } from './provisioning.ts';
import type { StreamType } from './stream-type.ts';

const contextStream: StreamType<ContextState, ContextCommand, ContextEvent> = {
  name: 'context',
  decider: contextDecider,
  events: contextEvents,
  upcasters: contextUpcasters,
  stateSchema: 1,
  view: (context) => context,
  isBookkeeping: isProvisioning,
  isClosed: (context) => context?.status === 'deleted',
};

/** One context; `src/objects.ts` connects it. */
export class ContextActor extends EventSourcedObject<ContextState, ContextCommand, ContextEvent, unknown> {
  constructor(context: DurableObjectState, env: unknown, ports: Ports<ContextState, ContextCommand>) {
    super(context, env, contextStream, ports);
  }
}
