import { consumeContextOps } from './delivery/consumer.ts';
import { consumeDeadLetters } from './delivery/dead-letters.ts';
import { sweep } from './delivery/sweeper.ts';
import type { Env } from './env.ts';
import { handleRequest } from './http/router.ts';

export { ContextObject, DeadLetterObject, DirectoryObject } from './objects.ts';

/** The queue of messages that others gave up (wrangler.toml). */
const DEAD_LETTER_QUEUE = 'chittyconnect-context-ops-dlq';

export default {
  fetch: handleRequest,
  queue: (batch, env) =>
    batch.queue === DEAD_LETTER_QUEUE ? consumeDeadLetters(batch, env) : consumeContextOps(batch, env),
  scheduled: (_controller, env) => sweep(env),
} satisfies ExportedHandler<Env>;
