import { vi } from 'vitest';
import type { Connection, Send } from '../../src/chittyos/call.ts';
import type { CallResult, Failure } from '../../src/chittyos/failure.ts';
import { ServiceHealth } from '../../src/chittyos/service-health.ts';

/** The token that the tests call services with. */
export const TOKEN = 'svc/secret+token=1234567890';

/** A request as a service receives it. */
interface Received {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: string | null;
}

/** How the network answers one request. */
export type Reply = (request: Received, signal: AbortSignal) => Response | Promise<Response>;

/** A network that answers as it is told: the replies in their order, the last one again and again. */
export function network(...replies: readonly [Reply, ...Reply[]]) {
  const received: Received[] = [];
  const send: Send = async (url, init) => {
    const request = new Request(url, init);
    const { method, headers } = request;
    const body = typeof init.body === 'string' ? init.body : null;
    received.push({ url, method, headers, body });
    const reply = replies[Math.min(received.length, replies.length) - 1] ?? replies[0];
    return reply({ url, method, headers, body }, request.signal);
  };
  return { send, received };
}

/** A service's connection over such a network, with a memory of its own. */
export function connection(send: Send, changes: Partial<Connection> = {}): Connection {
  return {
    service: 'id',
    baseUrl: 'https://id.chitty.test',
    token: TOKEN,
    send,
    health: new ServiceHealth(),
    ...changes,
  };
}

/** Answers with JSON. */
export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Reply {
  return () => Response.json(body, { status, headers });
}

/** Answers with any text. */
export function text(body: string, contentType: string, status = 200): Reply {
  return () => new Response(body, { status, headers: { 'Content-Type': contentType } });
}

/** Breaks the connection. */
export const dropped: Reply = () => Promise.reject(new TypeError('Network connection lost.'));

/** Never answers, whatever the caller does. */
export const hanging: Reply = () => new Promise(() => undefined);

/** Begins a JSON body and never goes on with it. */
export const stalled: Reply = () => {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"id":'));
    },
    pull: () => new Promise(() => undefined),
  });
  return new Response(body, { headers: { 'Content-Type': 'application/json' } });
};

/** A JSON body that never ends, and counts the chunks that were taken of it. */
export function endless() {
  const taken = { chunks: 0, isCancelled: false };
  const reply: Reply = () => {
    const chunk = new TextEncoder().encode(' '.repeat(64 * 1024));
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        taken.chunks += 1;
        controller.enqueue(chunk);
      },
      cancel() {
        taken.isCancelled = true;
      },
    });
    return new Response(body, { headers: { 'Content-Type': 'application/json' } });
  };
  return { reply, taken };
}

/** The failure of a call that must have failed. */
export function failureOf(result: CallResult<unknown>): Failure {
  if (result.ok) throw new Error(`the call did not fail: ${JSON.stringify(result.value)}`);
  return result.failure;
}

/** Timers that are run through at most before a call is taken to be stuck. */
const TIMERS_MAX = 1_000;

/** Lets fake time pass, from timer to timer, until something has ended. @returns its value and how long it took */
export async function settle<Value>(pending: Promise<Value>): Promise<{ value: Value; ms: number }> {
  const startedAt = Date.now();
  let isDone = false;
  const end = () => {
    isDone = true;
  };
  pending.then(end, end);
  for (let timer = 0; timer < TIMERS_MAX; timer++) {
    // Reading a stream takes turns of the real event loop, which must not be mistaken for waiting.
    for (let turn = 0; turn < 5 && !isDone; turn++) await new Promise((resolve) => setImmediate(resolve));
    if (isDone) break;
    await vi.advanceTimersToNextTimerAsync();
  }
  return { value: await pending, ms: Date.now() - startedAt };
}
