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

function segmentStore(bucket: R2Bucket): SegmentStore {
  return {
    async put(name, file) {
      await bucket.put(name, file, { httpMetadata: { contentType: 'application/gzip' } });
    },
    async get(name) {
      const object = await bucket.get(name);
      return object && new Uint8Array(await object.arrayBuffer());
    },
  };
}
