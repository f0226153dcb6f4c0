import type { AuthenticatedExchange } from '../http/exchange.ts';
import type { Framing } from './framing.ts';
import { CLOSE_DELETED, connect, type Frame } from './socket.ts';

/** How often a comment is sent on a quiet stream, so that proxies do not take it for dead. */
const KEEP_ALIVE_MS = 15_000;

/**
 * The events after `after` and all that follow, as server-sent events. It is the live WebSocket rewritten, so the
 * object holds one kind of subscriber and can sleep while the stream is open. A reader that does not read holds the
 * echo of `sync` frames back and is cut off like any other.
 */
export async function eventStream(
  exchange: AuthenticatedExchange,
  context: string,
  after: number,
  framing: Framing,
  wantsPresence = false,
): Promise<Response> {
  const headers = headersOf(exchange, after, framing);
  if (exchange.request.method === 'HEAD') return new Response(null, { headers });
  const socket = await connect(exchange.env, context, after, exchange.principal, wantsPresence);
  if (socket instanceof Response) return socket;
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  /** Everything written so far; what is written next waits for it, and so for the reader. */
  let written: Promise<void> = Promise.resolve();
  /** What comes while the reader is busy is sent to it as one piece. */
  let pending = '';
  const flush = async () => {
    const text = pending;
    pending = '';
    if (text !== '') await writer.write(encoder.encode(text));
  };
  const enqueue = (text: string) => {
    pending += text;
    written = written.then(flush);
    return written;
  };
  let last = after;
  let tail = after;
  const end = () => {
    clearInterval(keepAlive);
    if (expiry !== null) clearTimeout(expiry);
    socket.close();
    // Rejects when the reader has gone away, which is how most streams end.
    written.then(() => writer.close()).catch(() => undefined);
  };
  const keepAlive = setInterval(() => {
    enqueue(': keep-alive\n\n').catch(end);
  }, KEEP_ALIVE_MS);
  const expiry = framing.durationMs === null ? null : setTimeout(end, framing.durationMs);
  enqueue(framing.opening(after)).catch(end);
  socket.addEventListener('message', ({ data }) => {
    const text = String(data);
    const frame: Frame = JSON.parse(text);
    if (frame.type === 'hello') {
      tail = frame.version;
      enqueue(framing.greeting(after, tail)).catch(end);
    } else if (frame.type === 'event') {
      last = frame.event.version;
      enqueue(framing.event(frame.event, envelopeText(text), tail)).catch(end);
    } else if (frame.type === 'presence') {
      enqueue(framing.presence(frame)).catch(end);
    } else if (frame.type === 'sync') {
      written.then(() => socket.send(text)).catch(end);
    } else {
      if (frame.code === CLOSE_DELETED) enqueue(framing.closing(last)).catch(() => undefined);
      // At once: the server's own close comes a second later.
      end();
    }
  });
  socket.addEventListener('close', end);
  socket.addEventListener('error', end);
  socket.accept();
  return new Response(readable, { headers });
}

/** The end of a stream after which nothing will follow, to a reader who has everything. */
export function endedStream(exchange: AuthenticatedExchange, after: number, framing: Framing): Response {
  return new Response(framing.closing(after), { headers: headersOf(exchange, after, framing) });
}

function headersOf(exchange: AuthenticatedExchange, after: number, framing: Framing): Record<string, string> {
  return {
    'Content-Type': 'text/event-stream',
    ...framing.headers,
    'Stream-Next-Offset': framing.offsetOf(after),
    ...exchange.headers,
  };
}

/** The envelope of an event frame, `{"type":"event","event":<envelope>}`, cut out as it is, so that its bytes still hash. */
function envelopeText(frame: string): string {
  return frame.slice('{"type":"event","event":'.length, -1);
}
