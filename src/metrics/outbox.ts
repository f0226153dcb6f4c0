import { Directory } from '../../actors/directory.ts';
import { backlogs, type DestinationBacklog } from '../delivery/behind.ts';
import type { Env } from '../env.ts';
import { Cached } from './cached.ts';
import type { MetricFamily } from './openmetrics.ts';

/** How long the directory may take. */
const PATIENCE_MS = 2_000;

const caches = new WeakMap<Env['DIRECTORY'], Cached<readonly DestinationBacklog[]>>();

/** How many streams the read models are behind with, as known within the last half minute; 0 when it cannot be told. */
export async function readModelBacklog(env: Env): Promise<number> {
  const found = await lastLookUp(env);
  return found?.find(({ destination }) => destination === 'd1')?.streams ?? 0;
}

function lastLookUp({ DIRECTORY }: Env): Promise<readonly DestinationBacklog[] | null> {
  const cache = caches.get(DIRECTORY) ?? new Cached<readonly DestinationBacklog[]>();
  caches.set(DIRECTORY, cache);
  return cache.get(() => backlogs(new Directory(DIRECTORY)), PATIENCE_MS).catch(() => null);
}

/** How far the outbox is behind, by destination. Without samples when the directory does not say in time. */
export async function outboxFamilies(env: Env): Promise<MetricFamily[]> {
  const found = (await lastLookUp(env)) ?? [];
  const now = Date.now();
  return [
    {
      name: 'chittyconnect_outbox_streams_behind',
      type: 'gauge',
      help: 'Streams whose last attempt failed, or the last two of which were not answered, by destination. Of all isolates, at most 30 s old.',
      samples: found.map(({ destination, streams }) => ({
        suffix: '',
        labels: { destination },
        value: streams,
      })),
    },
    {
      name: 'chittyconnect_outbox_oldest_age_seconds',
      type: 'gauge',
      unit: 'seconds',
      help: 'How long ago the stream that waits longest was first reported to be behind with it, by destination; 0 when none is.',
      samples: found.map(({ destination, since }) => ({
        suffix: '',
        labels: { destination },
        value: since === null ? 0 : Math.max(0, now - Date.parse(since)) / 1000,
      })),
    },
  ];
}
