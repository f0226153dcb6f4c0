import { expect, it } from 'vitest';
import { gzip, openSegmentFile, writeSegment } from '../../actors/segment.ts';
import { isFault } from '../../events/fault.ts';

it('a segment that was read counts its snapshots too, and keeps them as text', async () => {
  const texts = Array.from({ length: 256 }, (_, index) =>
    JSON.stringify({ leafHash: index.toString(16).padStart(64, '0'), time: '2026-11-25T03:55:04.000Z' }),
  );
  const state = JSON.stringify({
    ä: Array.from({ length: 5_000 }, (_, index) => ({ id: `d${index}`, list: [index] })),
  });
  const snapshots = [0, 100, 200].map((version) => ({ version, state }));
  const { content, row } = writeSegment({ stream: 'counter/x', first: 1, stateSchema: 1, snapshots, texts });
  const segment = await openSegmentFile(await gzip(content), 'counter/x', row, row.root);
  if (isFault(segment)) throw new Error(segment.fault);
  expect(segment.texts).toEqual(texts);
  expect(segment.snapshots).toEqual(snapshots);
  expect(segment.chars).toBe(texts.join('').length + 3 * state.length);
});
