import type { AuthenticatedExchange } from '../exchange.ts';
import type { FeedEvent, UnreadableRun } from './events.ts';

/** How often one who follows looks at what is known of the end of the feed here, which costs no query. */
const LOOK_MS = 500;
/** How long one stream is kept open. The reader comes back with the last id. */
const STREAM_MS = 60_000;
/** How long an EventSource waits before it reconnects. */
const RETRY_MS = 1_000;

/** How often what cannot be read is tried before the reader is told, when it may be there all the same. */
const TRIES = 10;

/** Gives the offset after a position. */
type OffsetOf = (position: number) => string;

/** A part of the feed with its events. */
export interface Part {
  readonly events: readonly FeedEvent[];
  readonly position: number;
  readonly isUpToDate: boolean;
  /** What comes next, when that cannot be read. */
  readonly unreadable: UnreadableRun | null;
}

/**
 * The feed after a position and what follows, as server-sent events: `id` is the offset after the event. The next part
 * is looked for when the reader has taken the one before, so that a slow reader costs nothing. Where events cannot be
 * read an event `unreadable` says which, and the others go on.
 *
 * @param next the part after a position; null when the stream has to end
 */
export function feedStream(
  exchange: AuthenticatedExchange,
  offsetOf: OffsetOf,
  after: number,
  next: (after: number) => Promise<Part | null>,
): Response {
  const headers = {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    'Stream-Next-Offset': offsetOf(after),
    ...exchange.headers,
  };
  if (exchange.request.method === 'HEAD') return new Response(null, { headers });
  const encoder = new TextEncoder();
  const endsAt = Date.now() + STREAM_MS;
  let reached = after;
  let isWaiting = false;
  let tries = 0;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encoder.encode(`retry: ${RETRY_MS}\nid: ${offsetOf(after)}\n\n`)),
    async pull(controller) {
      for (;;) {
        if (isWaiting) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        const part = await next(reached);
        if (part === null || Date.now() > endsAt) return controller.close();
        const { events, unreadable } = part;
        tries = unreadable === null ? 0 : tries + 1;
        const isGivenUp = unreadable !== null && (!unreadable.isPassing || tries > TRIES);
        const position = isGivenUp ? unreadable.position : part.position;
        if (isGivenUp) tries = 0;
        isWaiting = part.isUpToDate || (unreadable !== null && !isGivenUp);
        // Also where there was nothing for this reader: they do not have to look there again.
        const moved = position === reached ? '' : `id: ${offsetOf(position)}\n\n`;
        reached = position;
        const told = isGivenUp ? unreadableEvent(unreadable, offsetOf) : moved;
        const text = events.map((event) => serverSentEvent(event, offsetOf)).join('') + told;
        if (text !== '') return controller.enqueue(encoder.encode(text));
      }
    },
  });
  return new Response(body, { headers });
}

/**
 * The feed after a position, up to what was its end, as NDJSON: one envelope per line. A part is read when the reader has
 * room for it. What cannot be given to its end, also because the credential has ended, breaks off as an error.
 *
 * @param next the part after a position; null when there may be no more
 */
export function feedLines(
  exchange: AuthenticatedExchange,
  offsetOf: OffsetOf,
  after: number,
  end: number,
  next: (after: number) => Promise<Part | null>,
): Response {
  const headers = {
    'Content-Type': 'application/x-ndjson',
    'Cache-Control': 'no-store',
    'Stream-Next-Offset': offsetOf(end),
    ...exchange.headers,
  };
  if (exchange.request.method === 'HEAD') return new Response(null, { headers });
  const encoder = new TextEncoder();
  let reached = after;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      while (reached < end) {
        const part = await next(reached);
        if (part === null) throw new Error('The credential has ended');
        if (part.unreadable !== null && part.events.length === 0) throw new Error(part.unreadable.reason);
        reached = part.isUpToDate ? end : part.position;
        const lines = part.events.filter(({ position }) => position <= end).map(({ text }) => `${text}\n`);
        if (lines.length > 0) return controller.enqueue(encoder.encode(lines.join('')));
      }
      controller.close();
    },
  });
  return new Response(body, { headers });
}

function serverSentEvent({ position, text }: FeedEvent, offsetOf: OffsetOf): string {
  const { type }: { type: string } = JSON.parse(text);
  return `id: ${offsetOf(position)}\nevent: ${type}\ndata: ${text}\n\n`;
}

/** Says what is left out, and goes on after it. */
function unreadableEvent({ context, first, last, position, reason }: UnreadableRun, offsetOf: OffsetOf): string {
  const data = JSON.stringify({ stream: `context/${context}`, first, last, reason });
  return `id: ${offsetOf(position)}\nevent: unreadable\ndata: ${data}\n\n`;
}
