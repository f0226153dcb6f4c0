import type { AuthenticatedExchange } from '../exchange.ts';
import { offsetOf } from '../query.ts';
import type { FeedEvent } from './events.ts';

/** How often the feed is looked at for those who follow it. */
const POLL_MS = 1_000;
/** How long one stream is kept open. The reader comes back with the last id. */
const STREAM_MS = 60_000;
/** How long an EventSource waits before it reconnects. */
const RETRY_MS = 1_000;

/** A part of the feed with its events. */
export interface Part {
  readonly events: readonly FeedEvent[];
  readonly position: number;
  readonly isUpToDate: boolean;
}

/**
 * The feed after a position and what follows, as server-sent events: `id` is the offset after the event. The next part
 * is looked for when the reader has taken the one before, so that a slow reader costs nothing.
 *
 * @param next the part after a position; null when the stream has to end
 */
export function feedStream(
  exchange: AuthenticatedExchange,
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
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encoder.encode(`retry: ${RETRY_MS}\nid: ${offsetOf(after)}\n\n`)),
    async pull(controller) {
      for (;;) {
        if (isWaiting) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        const part = await next(reached);
        if (part === null || Date.now() > endsAt) return controller.close();
        const { events, position, isUpToDate } = part;
        isWaiting = isUpToDate;
        // Also where there was nothing for this reader: they do not have to look there again.
        const moved = position === reached ? '' : `id: ${offsetOf(position)}\n\n`;
        reached = position;
        const text = events.map((event) => serverSentEvent(event)).join('') + moved;
        if (text !== '') return controller.enqueue(encoder.encode(text));
      }
    },
  });
  return new Response(body, { headers });
}

function serverSentEvent({ position, text }: FeedEvent): string {
  const { type }: { type: string } = JSON.parse(text);
  return `id: ${offsetOf(position)}\nevent: ${type}\ndata: ${text}\n\n`;
}
