import type { Sink } from './outbox.ts';
import type { Head } from './tree.ts';

/** The longest that the head of a stream which changes all the time waits, in milliseconds. */
const INTERVAL_MS = 4_000;

/** What became of a head that was handed in: it is in the log, or will be, of which the stream is told then. */
export type HandedIn = 'logged' | 'taken';

/**
 * Hands the head of a stream in to the log of logs.
 *
 * @param stream `<stream type>/<id>`
 * @throws when it could not be, and when the log holds another root for this size
 */
export type HandIn = (stream: string, head: Head) => Promise<HandedIn>;

/**
 * The sink that has the newest head of a stream logged: not one per event, because a head says everything about the
 * history up to it.
 *
 * @param head gives the newest head
 */
export function logSink(handIn: HandIn, head: () => Head): Sink<unknown> {
  return {
    destinations: ['log'],
    intervalMs: INTERVAL_MS,
    isReady: () => true,
    async deliver({ stream }) {
      const newest = head();
      const became = await handIn(stream, newest);
      return became === 'logged' ? { confirmed: newest.size } : { sent: newest.size };
    },
  };
}
