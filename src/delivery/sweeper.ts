import { Directory } from '../../actors/directory.ts';
import type { DirectoryObject } from '../../actors/directory-object.ts';
import { ensureFirstAdministrator } from '../auth/first-administrator.ts';
import type { Env } from '../env.ts';
import { webhookRegistry } from '../webhooks/registry.ts';
import { forgetOldAudit } from './audit-retention.ts';
import { provisionSelf } from './self.ts';
import { wake } from './wake.ts';

/**
 * Sees that the service has its place in ChittyOS and its first administrator, removes what is old of the audit trail, and
 * wakes the streams whose cursors stand still, and a few others in turn: an object's own alarm does this work, and the
 * sweep is for an alarm that the platform has dropped. It goes by the directory, which has every stream, and keeps no list
 * of its own. Never throws; a stream that cannot be woken is found again the next time.
 */
export async function sweep(env: Env): Promise<void> {
  await Promise.allSettled([
    provisionSelf(env),
    ensureFirstAdministrator(env),
    forgetOldAudit(env),
    webhookRegistry(env).start(),
    ...new Directory(env.DIRECTORY).shards().map(async (shard) => {
      for (const stream of await shard.sweep()) await wakeAt(env, shard, stream);
    }),
  ]);
}

/** Wakes one stream of a shard. Never rejects: those that come after it have their turn. */
async function wakeAt(env: Env, shard: DurableObjectStub<DirectoryObject>, stream: string): Promise<void> {
  try {
    if (await wake(env, stream)) await shard.noteCaughtUp(stream);
  } catch (error) {
    const message = `${stream} could not be woken`;
    console.error(JSON.stringify({ level: 'error', message, error: String(error) }));
  }
}
