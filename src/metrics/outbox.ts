import { Directory } from '../../actors/directory.ts';
import type { Env } from '../env.ts';
import { Cached } from './cached.ts';
import type { MetricFamily } from './openmetrics.ts';

/** How long the directory may take. */
const PATIENCE_MS = 2_000;

/** Streams of one directory shard that are looked at: enough to see that it is bad. */
const STREAMS_PER_SHARD = 1_000;

/** The destinations there are (src/delivery/sinks.ts, audit-sink.ts, actors/live-sink.ts, log-sink.ts), which show a zero when nothing is behind. */
const DESTINATIONS = ['d1', 'audit', 'chronicle', 'dna', 'live', 'given', 'log', 'registry'];

interface Behind {
  readonly streams: number;
  /** When the stream that waits longest was first reported, in milliseconds since 1970. */
  readonly oldestAt: number | null;
}

const caches = new WeakMap<Env['DIRECTORY'], Cached<ReadonlyMap<string, Behind>>>();

/** How many streams the read models are behind with, as known within the last half minute; 0 when it cannot be told. */
export async function readModelBacklog(env: Env): Promise<number> {
  const found = await lastLookUp(env);
  return found?.get('d1')?.streams ?? 0;
}

function lastLookUp({ DIRECTORY }: Env): Promise<ReadonlyMap<string, Behind> | null> {
  const cache = caches.get(DIRECTORY) ?? new Cached<ReadonlyMap<string, Behind>>();
  caches.set(DIRECTORY, cache);
  return cache.get(() => lookUp(DIRECTORY), PATIENCE_MS).catch(() => null);
}

/** How far the outbox is behind, by destination. Without samples when the directory does not say in time. */
export async function outboxFamilies(env: Env): Promise<MetricFamily[]> {
  const found = await lastLookUp(env);
  const now = Date.now();
  const destinations = [...(found ?? [])];
  return [
    {
      name: 'chittyconnect_outbox_streams_behind',
      type: 'gauge',
      help: `Streams with two or more failed or unanswered attempts in a row, by destination. Of all isolates, at most 30 s old, at most ${STREAMS_PER_SHARD} per directory shard.`,
      samples: destinations.map(([destination, { streams }]) => ({
        suffix: '',
        labels: { destination },
        value: streams,
      })),
    },
    {
      name: 'chittyconnect_outbox_oldest_age_seconds',
      type: 'gauge',
      unit: 'seconds',
      help: 'How long ago the stream that waits longest was first reported to be behind, by destination; 0 when none is.',
      samples: destinations.map(([destination, { oldestAt }]) => ({
        suffix: '',
        labels: { destination },
        value: oldestAt === null ? 0 : Math.max(0, now - oldestAt) / 1000,
      })),
    },
  ];
}

async function lookUp(namespace: Env['DIRECTORY']): Promise<ReadonlyMap<string, Behind>> {
  const shards = new Directory(namespace).shards();
  const answers = await Promise.all(shards.map((shard) => shard.behind(STREAMS_PER_SHARD)));
  const found = new Map<string, Behind>(DESTINATIONS.map((name) => [name, { streams: 0, oldestAt: null }]));
  for (const { since, cursors } of answers.flat()) {
    for (const destination of Object.keys(cursors)) {
      const { streams = 0, oldestAt = null } = found.get(destination) ?? {};
      const at = Date.parse(since);
      found.set(destination, { streams: streams + 1, oldestAt: Math.min(at, oldestAt ?? at) });
    }
  }
  return found;
}
