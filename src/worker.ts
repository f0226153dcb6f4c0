import { REBUILD_NOW } from '../projections/rebuild-wanted.ts';
import { consumeContextOps } from './delivery/consumer.ts';
import { consumeDeadLetters } from './delivery/dead-letters.ts';
import { rebuildAll } from './delivery/rebuild.ts';
import { sweep } from './delivery/sweeper.ts';
import type { Env } from './env.ts';
import { handleRequest } from './http/router.ts';
import { countedBatch } from './metrics/queue.ts';

export { TransparencyLogObject, TransparencyShardObject } from './log/objects.ts';
export {
  ActorObject,
  AuditObject,
  ConnectionObject,
  ContextObject,
  DeadLetterObject,
  DirectoryObject,
  InstallationObject,
  LimitsObject,
  QuotaObject,
  SigningKeysObject,
} from './objects.ts';
export { WebhookObject, WebhookRegistryObject } from './webhooks/objects.ts';

/** The queue of messages that others gave up (wrangler.toml). */
const DEAD_LETTER_QUEUE = 'chittyconnect-context-ops-dlq';

export default {
  fetch: handleRequest,
  queue(batch, env, execution) {
    const counted = countedBatch(batch);
    if (batch.queue === DEAD_LETTER_QUEUE) return consumeDeadLetters(counted, env);
    return consumeContextOps(counted, env, execution);
  },
  scheduled: ({ cron }, env) => (cron === REBUILD_NOW ? rebuildAll(env) : sweep(env)),
} satisfies ExportedHandler<Env>;
