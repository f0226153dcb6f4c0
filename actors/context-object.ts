import { type ContextEvent, contextEvents, contextUpcasters } from '../events/context.ts';
import type { Action } from './access.ts';
import { relationToContext } from './access.ts';
import { type ContextCommand, type ContextState, contextDecider } from './context.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import type { Ports } from './messages.ts';
import { isProvisioning } from './provisioning.ts';
import type { StreamType } from './stream-type.ts';

/** What each command is called where it is decided who may have it carried out. */
const ACTION_OF: Readonly<Record<ContextCommand['type'], Action>> = {
  create: 'context.create',
  update: 'context.update',
  revert: 'context.update',
  delete: 'context.delete',
  restore: 'context.restore',
  retryProvisioning: 'context.retry',
  recordProvisioning: 'context.record',
};

const contextStream: StreamType<ContextState, ContextCommand, ContextEvent> = {
  name: 'context',
  reading: { read: 'context.read', history: 'context.history', watch: 'context.watch' },
  actionOf: ({ type }) => ACTION_OF[type],
  relation: (principal, id, context) => relationToContext(principal, id, context?.members ?? null),
  changesRelations: () => false,
  decider: contextDecider,
  events: contextEvents,
  upcasters: contextUpcasters,
  stateSchema: 2,
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
