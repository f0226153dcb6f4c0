import { z } from 'zod';
import { backoffMs } from '../../actors/backoff.ts';
import { isRefusal } from '../../actors/decider.ts';
import { Directory } from '../../actors/directory.ts';
import { SYSTEM } from '../../actors/principal.ts';
import { toBase64 } from '../../events/bytes.ts';
import { DEAD_LETTER_PREFIX } from '../../events/dead-letter.ts';
import { derivedId } from '../../events/id.ts';
import type { Json } from '../../events/json.ts';
import { nextUlid } from '../../events/ulid.ts';
import type { Env } from '../env.ts';
import { messageSchema } from './cloud-event.ts';

/**
 * The pause after a message could not be kept. No queue takes what this one gives up: with the 100 retries that the
 * platform allows (wrangler.toml) it is there for about three days, and a queue keeps nothing for more than four.
 */
const BACKOFF_MS = { base: 10_000, cap: 60 * 60_000 };

const json: z.ZodType<Json> = z.json();

/** Consumes the dead-letter queue: each message becomes a stream of its own, so that what is done about it is on record. */
export async function consumeDeadLetters(batch: MessageBatch, env: Env): Promise<void> {
  await Promise.all(
    batch.messages.map(async (message) => {
      const events = messageSchema.safeParse(message.body);
      const id = derivedId(DEAD_LETTER_PREFIX, message.id);
      const requestId = nextUlid(Date.now());
      try {
        await new Directory(env.DIRECTORY).register(`dead_letter/${id}`);
        const reply = await env.DEAD_LETTERS.get(env.DEAD_LETTERS.idFromName(id)).execute({
          id,
          command: {
            type: 'receive',
            data: {
              queue: batch.queue,
              messageId: message.id,
              attempts: message.attempts,
              subject: events.success ? (events.data[0]?.subject ?? null) : null,
              body: asJson(message.body),
            },
          },
          principal: SYSTEM,
          cause: { correlationId: requestId, causationId: null, commandId: requestId },
        });
        if (isRefusal(reply)) throw new Error(reply.detail);
        message.ack();
      } catch {
        message.retry({ delaySeconds: Math.ceil(backoffMs(message.attempts, BACKOFF_MS) / 1000) });
      }
    }),
  );
}

/** What was in a message, as JSON can carry it; what is not JSON already says of which content type it was. */
function asJson(body: unknown): Json {
  const parsed = json.safeParse(body);
  if (parsed.success) return parsed.data;
  if (body instanceof ArrayBuffer) return { contentType: 'bytes', base64: toBase64(new Uint8Array(body)) };
  if (ArrayBuffer.isView(body)) {
    return { contentType: 'bytes', base64: toBase64(new Uint8Array(body.buffer, body.byteOffset, body.byteLength)) };
  }
  return { contentType: 'v8', text: String(body) };
}
