import { z } from 'zod';
import type { Json } from './json.ts';
import type { Upcasters } from './upcast.ts';

/** The prefix of a dead letter's id. */
export const DEAD_LETTER_PREFIX = 'dlq';

const json: z.ZodType<Json> = z.json();

/** The payload schemas of a dead letter's events. */
export const deadLetterEvents = {
  /** A queue gave a message up. */
  dead_letter_received: z.strictObject({
    queue: z.string(),
    messageId: z.string(),
    attempts: z.int().min(0),
    /** The stream that the message was about, when that could be read from it. */
    subject: z.string().nullable(),
    body: json,
  }),
  /** Somebody had it sent again. */
  dead_letter_replayed: z.strictObject({}),
  /** Somebody decided that it will not be delivered. */
  dead_letter_dropped: z.strictObject({}),
};

/** What can happen to a dead letter. */
export type DeadLetterEvent = {
  [Type in keyof typeof deadLetterEvents]: {
    readonly type: Type;
    readonly data: Readonly<z.infer<(typeof deadLetterEvents)[Type]>>;
  };
}[keyof typeof deadLetterEvents];

/** No event of a dead letter has an older form yet. */
export const deadLetterUpcasters: Upcasters = {};
