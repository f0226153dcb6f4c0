import { Directory } from '../../actors/directory.ts';
import type { DirectoryObject } from '../../actors/directory-object.ts';
import type { Env } from '../env.ts';

/** What the names of webhooks' streams begin with. */
const STREAMS = 'webhook/';

/** Webhooks that are asked at once. */
const AT_ONCE = 50;

/**
 * Has the secrets of all webhooks encrypted anew, under the present KEY_ENCRYPTION_KEY. Which there are the directory
 * says: lists may lag behind or be made anew, and a secret that is passed over is lost with the former key.
 *
 * @returns false when one of them cannot be opened
 */
export async function resealWebhooks(env: Env): Promise<boolean> {
  let isWhole = true;
  for (const shard of new Directory(env.DIRECTORY).shards()) {
    for await (const ids of webhooksOf(shard)) {
      const done = await Promise.all(ids.map((id) => env.WEBHOOKS.get(env.WEBHOOKS.idFromName(id)).resealSecrets()));
      isWhole &&= done.every((each) => each);
    }
  }
  return isWhole;
}

/** The ids of the webhooks of one shard, some at a time. */
async function* webhooksOf(shard: DurableObjectStub<DirectoryObject>): AsyncGenerator<string[]> {
  for (let after: string | undefined = STREAMS; after !== undefined; ) {
    const streams: string[] = await shard.list(after, AT_ONCE);
    const ids = streams.filter((stream) => stream.startsWith(STREAMS)).map((stream) => stream.slice(STREAMS.length));
    if (ids.length > 0) yield ids;
    after = ids.length === AT_ONCE ? streams.at(-1) : undefined;
  }
}
