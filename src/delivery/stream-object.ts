import type { Env } from '../env.ts';
import type { ContextObject } from '../objects.ts';
import { type OutgoingEvent, streamTypeOf } from './cloud-event.ts';

/** The object that an event on its way comes from. */
export function originOf(
  env: Env,
  event: Pick<OutgoingEvent, 'source' | 'subject'>,
): Pick<DurableObjectStub<ContextObject>, 'history' | 'reportDelivery'> {
  const { subject } = event;
  const type = streamTypeOf(event);
  switch (type) {
    case 'actor':
      return env.ACTORS.get(env.ACTORS.idFromName(subject));
    case 'connection':
      return env.CONNECTIONS.get(env.CONNECTIONS.idFromName(subject));
    case 'context':
      return env.CONTEXTS.get(env.CONTEXTS.idFromName(subject));
    default:
      return type satisfies never;
  }
}
