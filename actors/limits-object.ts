import { type LimitsEvent, limitsEvents, limitsUpcasters } from '../events/limits.ts';
import { relationToService } from './access.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import { type LimitsCommand, type LimitsState, limitsDecider } from './limits.ts';
import type { Ports } from './messages.ts';
import type { StreamType } from './stream-type.ts';

const limitsStream: StreamType<LimitsState, LimitsCommand, LimitsEvent> = {
  name: 'limits',
  reading: { read: 'admin.read', history: 'admin.read', watch: 'admin.read' },
  actionOf: () => 'admin.write',
  relation: relationToService,
  changesRelations: () => false,
  decider: limitsDecider,
  events: limitsEvents,
  upcasters: limitsUpcasters,
  stateSchema: 1,
  view: (limits) => limits,
  isBookkeeping: () => false,
  isClosed: () => false,
};

/** The limits of the service; there is one. */
export class LimitsActor extends EventSourcedObject<LimitsState, LimitsCommand, LimitsEvent, unknown> {
  constructor(context: DurableObjectState, env: unknown, ports: Ports<LimitsState, LimitsCommand>) {
    super(context, env, limitsStream, ports);
  }
}
