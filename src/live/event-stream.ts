import type { AuthenticatedExchange } from '../http/exchange.ts';
import { offsetOf } from '../http/query.ts';
import { connect } from './socket.ts';

/** How often a comment is sent on a quiet stream, so that proxies do not take it for dead. */
const KEEP_ALIVE_MS = 15_000;

/** How long an EventSource waits before it reconnects, in milliseconds. */
const RETRY_MS = 2_000;

type Frame =
  | { type: 'hello' }
  | { type: 'sync' }
  | { type: 'close' }
  | { type: 'event'; event: { type: string; version: number } };

/**
 * The events after `after` and all that follow, as server-sent events (WHATWG HTML, section 9.2): `id` is the offset
 * after the event. It is the live WebSocket rewritten, so the object holds one kind of subscriber and can sleep while
 * the stream is open. A reader that does not read holds the echo of `sync` frames back and is cut off like any other.
 */
export async function eventStream(exchange: AuthenticatedExchange, context: string, after: number): Promise<Response> {
  const headers = {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    'Stream-Next-Offset': offsetOf(after),
    ...exchange.headers,
  };
  if (exchange.request.method === 'HEAD') return new Response(null, { headers });
  const socket = await connect(exchange.env, context, after, exchange.principal);
  if (socket instanceof Response) return socket;
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  /**
   * Everything written so far; what is written next waits for it, and so for the reader. It begins with an id, so that
   * a reader that loses the connection before the first event comes back to this place.
   */
  let written = writer.write(encoder.encode(`retry: ${RETRY_MS}\nid: ${offsetOf(after)}\n\n`));
  const enqueue = (text: string) => {
    written = written.then(() => writer.write(encoder.encode(text)));
    return written;
  };
  const end = () => {
    clearInterval(keepAlive);
    socket.close();
    // Rejects when the reader has gone away, which is how most streams end.
    written.then(() => writer.close()).catch(() => undefined);
  };
  const keepAlive = setInterval(() => {
    enqueue(': keep-alive\n\n').catch(end);
  }, KEEP_ALIVE_MS);
  socket.addEventListener('message', ({ data }) => {
    const text = String(data);
    const frame: Frame = JSON.parse(text);
    if (frame.type === 'event') enqueue(serverSentEvent(frame.event, text)).catch(end);
    else if (frame.type === 'sync') written.then(() => socket.send(text)).catch(end);
    // At once: the server's own close comes a second later.
    else if (frame.type === 'close') end();
  });
  socket.addEventListener('close', end);
  socket.addEventListener('error', end);
  socket.accept();
  return new Response(readable, { headers });
}

function serverSentEvent({ type, version }: { type: string; version: number }, frame: string): string {
  // The frame is {"type":"event","event":<envelope>}: the envelope is cut out as it is, so that its bytes still hash.
  const envelope = frame.slice('{"type":"event","event":'.length, -1);
  return `id: ${offsetOf(version)}\nevent: ${type}\ndata: ${envelope}\n\n`;
}
