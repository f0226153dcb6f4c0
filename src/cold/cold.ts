import type { ColdPorts, SegmentStore } from '../../actors/cold-history.ts';
import { Directory } from '../../actors/directory.ts';
import type { Env } from '../env.ts';

/** Days after which events are moved out of their objects, unless it is said otherwise. */
const AFTER_DAYS = 30;
const DAY_MS = 24 * 60 * 60_000;

/** What of the environment says where old events go. */
type ColdEnv = Pick<Env, 'COLD_HISTORY' | 'COLD_AFTER_DAYS' | 'DIRECTORY'>;

/** Where a stream's older events are moved to; undefined when there is no bucket for them, and they stay. */
export function coldPorts({ COLD_HISTORY, COLD_AFTER_DAYS, DIRECTORY }: ColdEnv): ColdPorts | undefined {
  if (!COLD_HISTORY) return undefined;
  return {
    store: segmentStore(COLD_HISTORY),
    afterMs: afterMs(COLD_AFTER_DAYS),
    monitor: new Directory(DIRECTORY).coldMonitor(),
  };
}

/**
 * The age of events that are moved, in milliseconds; null when none are unless somebody asks for it.
 *
 * @param days `off`, or a number; what is neither counts as left out, for nobody wants it to be `off` by a slip
 */
function afterMs(days: string | undefined): number | null {
  if (days?.trim().toLowerCase() === 'off') return null;
  const number = days === undefined || days.trim() === '' ? AFTER_DAYS : Number(days);
  return (number >= 0 && Number.isFinite(number) ? number : AFTER_DAYS) * DAY_MS;
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
