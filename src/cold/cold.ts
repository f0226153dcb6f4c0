import type { ColdPorts, SegmentStore } from '../../actors/cold-history.ts';
import { Directory } from '../../actors/directory.ts';
import type { Env } from '../env.ts';
import { readAfterDays } from './after-days.ts';

/** What of the environment says where old events go. */
type ColdEnv = Pick<Env, 'COLD_HISTORY' | 'COLD_AFTER_DAYS' | 'DIRECTORY'>;

/** Where a stream's older events are moved to; undefined when there is no bucket for them, and they stay. */
export function coldPorts({ COLD_HISTORY, COLD_AFTER_DAYS, DIRECTORY }: ColdEnv): ColdPorts | undefined {
  if (!COLD_HISTORY) return undefined;
  return {
    store: segmentStore(COLD_HISTORY),
    // What makes no sense moves nothing: `npm start` refuses it, and elsewhere events that stay do no harm.
    afterMs: readAfterDays(COLD_AFTER_DAYS) ?? null,
    monitor: new Directory(DIRECTORY).coldMonitor(),
  };
}

/** How often a file is asked for that the bucket does not give. */
const ATTEMPTS = 3;

function segmentStore(bucket: R2Bucket): SegmentStore {
  return {
    async put(name, file) {
      await bucket.put(name, file, { httpMetadata: { contentType: 'application/gzip' } });
    },
    async get(name, maxBytes) {
      for (let attempt = 1; ; attempt++) {
        try {
          const object = await bucket.get(name);
          // Before it is read: whoever can write to the bucket must not be able to fill an object's memory.
          if (object && object.size > maxBytes) return { fault: 'is longer than what was moved there' };
          return object && new Uint8Array(await object.arrayBuffer());
        } catch (error) {
          if (attempt < ATTEMPTS) continue;
          // A bucket that answers and does not give this file has lost some of it.
          if (await bucket.head(name).catch(() => null)) return { fault: 'is there and cannot be read' };
          throw error;
        }
      }
    },
  };
}
