import type { Env } from '../env.ts';
import type { ContextObject } from '../objects.ts';
import { type OutgoingEvent, streamTypeOf } from './cloud-event.ts';

/** What the objects of all streams can do, whatever is in them. */
export type StreamObject = Pick<
  DurableObjectStub<ContextObject>,
  'archive' | 'flushOutbox' | 'history' | 'redeliver' | 'reportDelivery' | 'resend' | 'view' | 'wake'
>;

/** Where the objects of one type of stream are. */
interface StreamObjects {
  idFromName(id: string): DurableObjectId;
  get(id: DurableObjectId): StreamObject;
}

/** The types of streams, as they stand in the directory, and the objects that have them. */
const OBJECTS = {
  actor: ({ ACTORS }) => ACTORS,
  audit: ({ AUDIT }) => AUDIT,
  connection: ({ CONNECTIONS }) => CONNECTIONS,
  context: ({ CONTEXTS }) => CONTEXTS,
  dead_letter: ({ DEAD_LETTERS }) => DEAD_LETTERS,
  installation: ({ INSTALLATIONS }) => INSTALLATIONS,
  keyring: ({ SIGNING_KEYS }) => SIGNING_KEYS,
  limits: ({ LIMITS }) => LIMITS,
  webhook: ({ WEBHOOKS }) => WEBHOOKS,
} as const satisfies Record<string, (env: Env) => StreamObjects>;

/** The object that has a stream. @param stream `<stream type>/<id>` @returns null when there is no such type of stream */
export function streamObject(env: Env, stream: string): StreamObject | null {
  const [type = '', id = ''] = stream.split('/');
  return isStreamType(type) ? objectOf(env, type, id) : null;
}

/** The object that an event on its way comes from. */
export function originOf(env: Env, event: Pick<OutgoingEvent, 'source' | 'subject'>): StreamObject {
  return objectOf(env, streamTypeOf(event), event.subject);
}

function objectOf(env: Env, type: keyof typeof OBJECTS, id: string): StreamObject {
  const objects: StreamObjects = OBJECTS[type](env);
  return objects.get(objects.idFromName(id));
}

function isStreamType(type: string): type is keyof typeof OBJECTS {
  return Object.hasOwn(OBJECTS, type);
}
