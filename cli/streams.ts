import { z } from 'zod';
import { isActorId } from '../events/actor-id.ts';
import { isChittyId } from '../events/chitty-id.ts';
import { CONNECTION_PREFIX } from '../events/connection.ts';
import { CONTEXT_PREFIX } from '../events/context.ts';
import { isId } from '../events/id.ts';
import { ServerError } from './errors.ts';
import type { Server } from './server.ts';

/** The types of streams whose histories a server gives, and where. */
const COLLECTIONS = { context: 'contexts', actor: 'actors', connection: 'connections' } as const;

/** Types of streams that have a ChittyID. */
const IDENTIFIED = ['context', 'actor'] as const;

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

/** A page of history, of which only the stream matters. */
const historySchema = z.array(z.looseObject({ stream: z.string() })).min(1);

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

/** Whether a word may name a stream: by its id, or by the ChittyID of a context or an actor. */
export function isStreamName(word: string): boolean {
  return streamOfId(word) !== null || isChittyId(word);
}

/** The streams that words name, each once. @throws {ServerError} as `findStream` does */
export async function findStreams(server: Server, words: readonly string[]): Promise<ServedStream[]> {
  const found = await Promise.all(words.map((word) => findStream(server, word)));
  return [...new Map(found.map((stream) => [stream.name, stream])).values()];
}

/**
 * The stream that a word names. Whose ChittyID it is, the server says: by its history, which is given of what is deleted,
 * too.
 *
 * @throws {ServerError} when the server shows no stream with this ChittyID
 */
async function findStream(server: Server, word: string): Promise<ServedStream> {
  const known = streamOfId(word);
  if (known) return known;
  for (const type of IDENTIFIED) {
    try {
      const [first] = await server.json(`v1/${COLLECTIONS[type]}/${word}/events?limit=1`, historySchema);
      const found = servedStream(first?.stream ?? '');
      if (found?.type === type) return found;
    } catch (error) {
      const isUnknown = error instanceof ServerError && (error.status === 404 || error.status === 403);
      if (!isUnknown) throw error;
    }
  }
  throw new ServerError(`${server.url.host} shows you nothing with the ChittyID ${word}`);
}

function isServed(type: string): type is ServedType {
  return Object.hasOwn(COLLECTIONS, type);
}
