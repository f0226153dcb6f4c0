import { afterEach, describe, expect, it, vi } from 'vitest';
import { HASH_BYTES } from '../../events/merkle.ts';
import { formatVerifierKey } from '../../events/note-keys.ts';
import { sha256 } from '../../events/sha256.ts';
import { parseTilePath } from '../../events/tiles.ts';
import { LogReader } from '../../scripts/fault/check-log.ts';
import { HeadLog, LOG_KEY, NEXT_LOG_KEY } from '../support/proof-world.ts';
import { unfaulted } from '../support/unfaulted.ts';

const target = { url: 'http://log.example', apiKey: 'none' };

/** A log with so many entries. @param history another one has other entries */
function logOf(size: number, history = 'one'): HeadLog {
  const log = new HeadLog();
  log.tree.append(Array.from({ length: size }, (_, index) => sha256(`${history} ${index}`)));
  return log;
}

/** Has the server show this log. */
function show(log: HeadLog, key = LOG_KEY): void {
  vi.stubGlobal('fetch', async (url: string) => {
    const path = url.slice(`${target.url}/log/`.length);
    if (path === 'checkpoint') return new Response(log.checkpoint());
    if (path === 'keys') return Response.json({ keys: [{ key: formatVerifierKey(key) }] });
    const tile = unfaulted(parseTilePath(path));
    const hashes = log.tree.read(tile)?.slice(0, tile.width * HASH_BYTES);
    return hashes ? new Response(hashes) : new Response(null, { status: 404 });
  });
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('who looks at the log again and again', () => {
  it.each([
    ['finds nothing in one that stays', 5, () => logOf(5), []],
    ['finds nothing in one that grows', 5, () => logOf(600), []],
    ['finds one that was rolled back', 5, () => logOf(4), [/truncated/]],
    ['finds one that tells another history', 5, () => logOf(5, 'another'), [/split/]],
    ['finds one that was written anew and went on', 5, () => logOf(9, 'another'), [/rewritten/]],
  ])('%s', async (_, size, later, found) => {
    const reader = new LogReader();
    show(logOf(size));
    expect(await reader.look(target)).toEqual([]);
    expect(reader.size).toBe(size);
    show(later());
    expect(await reader.look(target)).toEqual(found.map((what) => expect.stringMatching(what)));
  });

  it('finds a checkpoint that the log’s key has not signed', async () => {
    show(logOf(2), NEXT_LOG_KEY);
    expect(await new LogReader().look(target)).toEqual([expect.stringMatching(/not good/)]);
  });
});
