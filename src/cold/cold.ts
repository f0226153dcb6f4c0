import { backoffMs } from '../../actors/backoff.ts';
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

/** How often a file is asked for, and the pauses between. */
const ATTEMPTS = 3;
const PAUSE_MS = { base: 100, cap: 1_000 };

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
          if (attempt < ATTEMPTS) await scheduler.wait(backoffMs(attempt, PAUSE_MS));
          else if (await givesOnlyOthers(bucket, name)) return { fault: 'is there and cannot be read' };
          else throw error;
        }
      }
    },
  };
}

/**
 * Whether a bucket that failed to give a file has it, and gives another: it has lost some of this one. What it throws
 * otherwise passes, and says nothing of what is in it.
 */
async function givesOnlyOthers(bucket: R2Bucket, name: string): Promise<boolean> {
  try {
    if ((await bucket.head(name)) === null) return false;
    const { objects } = await bucket.list({ limit: 2 });
    const other = objects.find(({ key }) => key !== name);
    const object = other && (await bucket.get(other.key, { range: { offset: 0, length: 1 } }));
    return object ? (await object.arrayBuffer()).byteLength === 1 : false;
  } catch {
    return false;
  }
}
