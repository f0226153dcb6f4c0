import { z } from 'zod';
import { Directory } from '../../actors/directory.ts';
import { SYSTEM } from '../../actors/principal.ts';
import { DEAD_LETTER_PREFIX } from '../../events/dead-letter.ts';
import { derivedId } from '../../events/id.ts';
import type { Json } from '../../events/json.ts';
import { nextUlid } from '../../events/ulid.ts';
import type { Env } from '../env.ts';
import { messageSchema } from './cloud-event.ts';

const json: z.ZodType<Json> = z.json();

/** Consumes the dead-letter queue: each message becomes a stream of its own, so that what is done about it is on record. */
export async function consumeDeadLetters(batch: MessageBatch, env: Env): Promise<void> {
  await Promise.all(
    batch.messages.map(async (message) => {
      const body = json.safeParse(message.body);
      const events = messageSchema.safeParse(message.body);
      const id = derivedId(DEAD_LETTER_PREFIX, message.id);
      const requestId = nextUlid(Date.now());
      try {
        await new Directory(env.DIRECTORY).register(`dead_letter/${id}`);
        await env.DEAD_LETTERS.get(env.DEAD_LETTERS.idFromName(id)).execute({
          id,
          command: {
            type: 'receive',
            data: {
              queue: batch.queue,
              messageId: message.id,
              attempts: message.attempts,
              subject: events.success ? (events.data[0]?.subject ?? null) : null,
              body: body.success ? body.data : String(message.body),
            },
          },
          principal: SYSTEM,
          cause: { correlationId: requestId, causationId: null, commandId: requestId },
        });
        message.ack();
      } catch {
        message.retry();
      }
    }),
  );
}
