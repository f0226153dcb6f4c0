import type { Directory } from '../../actors/directory.ts';
import type { DestinationBehind } from '../../actors/directory-object.ts';

/** The destinations there are (sinks.ts, audit-sink.ts, ../webhooks/objects.ts, actors/*-sink.ts): each has its row, also when nothing is behind. */
const DESTINATIONS = ['d1', 'audit', 'chronicle', 'dna', 'live', 'given', 'erasure', 'log', 'registry'];

/** How far all streams together are behind with a destination. */
export type DestinationBacklog = Omit<DestinationBehind, 'since'> & {
  /** Since when the stream that waits longest is behind with it (ISO 8601); null when none is. */
  readonly since: string | null;
};

/** How far each destination is behind, as the directory was told. */
export async function backlogs(directory: Directory): Promise<readonly DestinationBacklog[]> {
  const answers = await Promise.all(directory.shards().map((shard) => shard.behindByDestination()));
  const longestFirst = answers.flat().sort((a, b) => (a.since < b.since ? -1 : 1));
  const found = Map.groupBy(longestFirst, ({ destination }) => destination);
  return [...new Set([...DESTINATIONS, ...found.keys()])].map((destination) => {
    const parts = found.get(destination) ?? [];
    return {
      destination,
      streams: parts.reduce((sum, { streams }) => sum + streams, 0),
      since: parts[0]?.since ?? null,
      mostAttempts: Math.max(0, ...parts.map(({ mostAttempts }) => mostAttempts)),
      lastError: parts.find(({ lastError }) => lastError !== null)?.lastError ?? null,
    };
  });
}
