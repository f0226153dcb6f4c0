import type { Fault } from './faults.ts';
import { type Problem, problemResponse } from './problem.ts';

/** Bytes of the answer that is too long. */
const HUGE_BYTES = 10 * 1024 * 1024;
/** Bytes of it that are made at once. */
const CHUNK_BYTES = 64 * 1024;
/** How often the endless answer goes on: a caller that waits for silence never sees it. */
const TRICKLE_MS = 100;

function injected(detail: string): Problem {
  return { problem: 'injected-fault', detail };
}

/**
 * Answers a call the way a service with this fault does.
 *
 * @param instance the path of the call
 * @param serve lets the service carry the call out
 */
export async function misbehave(fault: Fault, instance: string, serve: () => Promise<Response>): Promise<Response> {
  const { delayMs = 0, outage = false, errorRate = 0, loseAnswerRate = 0, wrongAnswer } = fault;
  if (delayMs > 0) await scheduler.wait(delayMs);
  if (outage) return problemResponse(injected('The service is down.'), instance);
  if (Math.random() < errorRate) return problemResponse(injected('The call was not carried out.'), instance);
  if (wrongAnswer !== undefined) return wrongAnswers[wrongAnswer]();
  const answer = await serve();
  if (Math.random() >= loseAnswerRate) return answer;
  await answer.body?.cancel();
  return problemResponse(injected('The answer was lost; whether the call was carried out is not said.'), instance);
}

const wrongAnswers: Readonly<Record<NonNullable<Fault['wrongAnswer']>, () => Response>> = {
  html: () =>
    new Response('<!doctype html><title>Welcome</title><p>It works!', {
      headers: { 'Content-Type': 'text/html; charset=utf-8' },
    }),
  'other-json': () => Response.json({ weather: 'sunny', wind: [3, 4, 5] }),
  'ok-with-error': () => Response.json({ success: false, error: 'Something went wrong.' }),
  huge: () => streamed(HUGE_BYTES, CHUNK_BYTES, 0),
  endless: () => streamed(Number.POSITIVE_INFINITY, 1, TRICKLE_MS),
};

/** JSON that begins well and then is nothing but spaces. */
function streamed(bytes: number, chunkBytes: number, everyMs: number): Response {
  const encoder = new TextEncoder();
  let left = bytes;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encoder.encode('{"id":"')),
    async pull(controller) {
      if (everyMs > 0) await scheduler.wait(everyMs);
      controller.enqueue(encoder.encode(' '.repeat(Math.min(chunkBytes, left))));
      left -= chunkBytes;
      if (left > 0) return;
      controller.enqueue(encoder.encode('"}'));
      controller.close();
    },
  });
  return new Response(body, { headers: { 'Content-Type': 'application/json' } });
}
