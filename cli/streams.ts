import { isActorId } from '../events/actor-id.ts';
import { CONNECTION_PREFIX } from '../events/connection.ts';
import { CONTEXT_PREFIX } from '../events/context.ts';
import { isId } from '../events/id.ts';

/** The types of streams whose histories a server gives, and where. */
const COLLECTIONS = { context: 'contexts', actor: 'actors', connection: 'connections' } as const;

type ServedType = keyof typeof COLLECTIONS;

/** A stream whose history a server gives to those who may read it. */
export interface ServedStream {
  /** `<type>/<id>`, as in the log. */
  readonly name: string;
  readonly type: ServedType;
  readonly id: string;
  /** Where it is on the server. */
  readonly path: string;
}

/** The stream of a name such as the log has; null when no server gives its history. */
export function servedStream(name: string): ServedStream | null {
  const [type = '', id = ''] = name.split('/');
  return isServed(type) ? { name, type, id, path: `v1/${COLLECTIONS[type]}/${id}` } : null;
}

/** The stream that has an id; null when the text is the id of none whose history a server gives. */
export function streamOfId(text: string): ServedStream | null {
  const type = isId(CONTEXT_PREFIX, text)
    ? 'context'
    : isActorId(text)
      ? 'actor'
      : isId(CONNECTION_PREFIX, text)
        ? 'connection'
        : null;
  return type && servedStream(`${type}/${text}`);
}

function isServed(type: string): type is ServedType {
  return Object.hasOwn(COLLECTIONS, type);
}
