import { type SigningKeyEvent, signingKeyEvents, signingKeyUpcasters } from '../events/signing-keys.ts';
import { relationToService } from './access.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import type { Ports, RefusalReply } from './messages.ts';
import type { Principal } from './principal.ts';
import { type SigningKey, type SigningKeysCommand, type SigningKeysState, signingKeysDecider } from './signing-keys.ts';
import type { StreamType } from './stream-type.ts';

const signingKeysStream: StreamType<SigningKeysState, SigningKeysCommand, SigningKeyEvent> = {
  name: 'keyring',
  reading: { read: 'admin.read', history: 'admin.read', watch: 'admin.read' },
  actionOf: () => 'admin.write',
  relation: relationToService,
  changesRelations: () => false,
  decider: signingKeysDecider,
  events: signingKeyEvents,
  upcasters: signingKeyUpcasters,
  stateSchema: 1,
  view: (state) => state && { keys: state.keys.map(({ sealedPrivateKey: _sealed, ...key }) => key) },
  isBookkeeping: () => false,
  isClosed: () => false,
};

/** The service's signing keys; `src/objects.ts` connects it. The private ones come and go encrypted. */
export class SigningKeysActor extends EventSourcedObject<
  SigningKeysState,
  SigningKeysCommand,
  SigningKeyEvent,
  unknown
> {
  constructor(context: DurableObjectState, env: unknown, ports: Ports<SigningKeysState, SigningKeysCommand>) {
    super(context, env, signingKeysStream, ports);
  }

  /** The keys with their encrypted private halves, for those who sign. */
  sealedKeys(principal: Principal): { readonly version: number; readonly seen: readonly SigningKey[] } | RefusalReply {
    return this.look(principal, 'admin.read', (state) => state?.keys ?? []);
  }
}
