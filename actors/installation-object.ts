import { type InstallationEvent, installationEvents, installationUpcasters } from '../events/installation.ts';
import { relationToService } from './access.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import { type InstallationCommand, type InstallationState, installationDecider } from './installation.ts';
import type { Ports } from './messages.ts';
import type { StreamType } from './stream-type.ts';

const installationStream: StreamType<InstallationState, InstallationCommand, InstallationEvent> = {
  name: 'installation',
  reading: { read: 'admin.read', history: 'admin.read', watch: 'admin.read' },
  actionOf: () => 'admin.write',
  relation: relationToService,
  changesRelations: () => false,
  decider: installationDecider,
  events: installationEvents,
  upcasters: installationUpcasters,
  stateSchema: 1,
  view: (installation) => installation,
  isBookkeeping: (type) => type === 'installation_identified' || type === 'installation_identification_failed',
  isClosed: (installation) => installation?.status === 'deleted',
};

/** One installation of the GitHub App; `src/objects.ts` connects it. */
export class InstallationActor extends EventSourcedObject<
  InstallationState,
  InstallationCommand,
  InstallationEvent,
  unknown
> {
  constructor(context: DurableObjectState, env: unknown, ports: Ports<InstallationState, InstallationCommand>) {
    super(context, env, installationStream, ports);
  }
}
