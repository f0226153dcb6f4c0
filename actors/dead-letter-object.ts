import { type DeadLetterEvent, deadLetterEvents, deadLetterUpcasters } from '../events/dead-letter.ts';
import { relationToService } from './access.ts';
import { type DeadLetterCommand, type DeadLetterState, deadLetterDecider } from './dead-letter.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import type { Ports } from './messages.ts';
import type { StreamType } from './stream-type.ts';

const deadLetterStream: StreamType<DeadLetterState, DeadLetterCommand, DeadLetterEvent> = {
  name: 'dead_letter',
  reading: { read: 'admin.read', history: 'admin.read', watch: 'admin.read' },
  actionOf: () => 'admin.write',
  relation: relationToService,
  changesRelations: () => false,
  decider: deadLetterDecider,
  events: deadLetterEvents,
  upcasters: deadLetterUpcasters,
  stateSchema: 1,
  view: (letter) => letter,
  isBookkeeping: () => false,
  isClosed: () => false,
};

/** One dead letter; `src/objects.ts` connects it. */
export class DeadLetterActor extends EventSourcedObject<DeadLetterState, DeadLetterCommand, DeadLetterEvent, unknown> {
  constructor(context: DurableObjectState, env: unknown, ports: Ports<DeadLetterState, DeadLetterCommand>) {
    super(context, env, deadLetterStream, ports);
  }
}
