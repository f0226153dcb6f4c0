import { Directory } from '../../actors/directory.ts';
import type { ColdTotals } from '../../actors/segment-table.ts';
import type { Env } from '../env.ts';
import { Cached } from './cached.ts';
import type { MetricFamily } from './openmetrics.ts';

/** How long the directory may take. */
const PATIENCE_MS = 2_000;

type Totals = ColdTotals & { readonly streams: number; readonly damaged: number };

const caches = new WeakMap<Env['DIRECTORY'], Cached<readonly Totals[]>>();

/** How much history is in the bucket. Without samples when the directory does not say in time. */
export async function coldFamilies({ DIRECTORY }: Env): Promise<MetricFamily[]> {
  const cache = caches.get(DIRECTORY) ?? new Cached<readonly Totals[]>();
  caches.set(DIRECTORY, cache);
  const lookUp = () => Promise.all(new Directory(DIRECTORY).shards().map((shard) => shard.coldTotals()));
  const totals = await cache.get(lookUp, PATIENCE_MS).catch(() => null);
  const family = (name: string, of: keyof Totals, help: string, unit?: string): MetricFamily => ({
    name: `chittyconnect_cold_${name}`,
    type: 'gauge',
    ...(unit !== undefined && { unit }),
    help: `${help} Of all isolates, at most 30 s old.`,
    samples: totals ? [{ suffix: '', labels: {}, value: totals.reduce((sum, each) => sum + each[of], 0) }] : [],
  });
  return [
    family('streams', 'streams', 'Streams of which a part is in the bucket COLD_HISTORY.'),
    family('segments', 'segments', 'Segments in the bucket.'),
    family('events', 'events', 'Events in them.'),
    family('size_bytes', 'bytes', 'Bytes of their files.', 'bytes'),
    family('damaged_streams', 'damaged', 'Streams of which a segment was found to be missing or altered.'),
  ];
}
