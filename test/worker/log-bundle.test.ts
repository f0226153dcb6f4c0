import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { TransparencyShardActor } from '../../actors/transparency-shard-object.ts';
import { openCheckpoint } from '../../events/checkpoint.ts';
import { parseVerifierKey, type VerifierKey } from '../../events/note-keys.ts';
import { decodeEntries } from '../../events/tiles.ts';
import { verifyBundle } from '../../events/verify.ts';
import { transparencyLog } from '../../src/log/log.ts';
import { api, createContext } from '../support/api.ts';
import { headOf } from '../support/log-world.ts';
import { offset, patch } from '../support/rest.ts';
import { unfaulted } from '../support/unfaulted.ts';

interface LogKeysJson {
  origin: string;
  keys: { key: string; status: string }[];
}

async function logKeys(): Promise<LogKeysJson> {
  return (await api('/log/keys')).json();
}

/** The keys that the log says are its own. */
async function trustedKeys(): Promise<VerifierKey[]> {
  return (await logKeys()).keys.map(({ key }) => unfaulted(parseVerifierKey(key)));
}

async function bytesOf(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

async function bundleOf(id: string, query = ''): Promise<{ response: Response; text: string }> {
  const response = await api(`/v1/contexts/${id}/bundle${query}`);
  return { response, text: new TextDecoder().decode(await response.arrayBuffer()) };
}

describe('the bundle of a context', () => {
  it('holds all its events, and verifies', async () => {
    const { id } = await createContext();
    for (let n = 0; n < 3; n++) await patch(id, { name: `Name ${n}` });
    const { response, text } = await bundleOf(id);
    expect(response.status, text).toBe(200);
    const verdict = verifyBundle(text, { keys: await trustedKeys(), witnesses: 0, earlier: [] });
    expect(verdict.findings).toEqual([]);
    expect(verdict.head.size).toBe(4);
    expect(response.headers.get('Stream-Up-To-Date')).toBe('true');
  });

  it('ends where the log does for those who do not wait, and is no proof of an event that it leaves out', async () => {
    const { id } = await createContext();
    await bundleOf(id);
    // However long it takes to ask for it.
    const offer = vi.spyOn(TransparencyShardActor.prototype, 'offer').mockReturnValue('taken');
    await patch(id, { name: 'Not logged yet' });
    const { response, text } = await bundleOf(id, '?wait=0');
    offer.mockRestore();
    expect(response.headers.get('Stream-Next-Offset')).toBe(offset(id, 1));
    expect(response.headers.get('Stream-Up-To-Date')).toBeNull();
    const trust = { keys: await trustedKeys(), witnesses: 0, earlier: [] };
    expect(verifyBundle(text, trust)).toMatchObject({ isVerified: true, head: { size: 1 } });
    const forged = text.replace('context_created', 'context_deleted');
    expect(verifyBundle(forged, trust).isVerified).toBe(false);
  });
});

describe('the tiles of the log', () => {
  beforeAll(async () => {
    await transparencyLog(env).append(Array.from({ length: 300 }, (_, number) => headOf(number)));
  }, 30_000);

  it('may be cached for ever, and what was partial once is had from the full one', async () => {
    const full = await api('/log/tile/0/000');
    expect(full.headers.get('Cache-Control')).toBe('public, max-age=31536000, immutable');
    expect(full.headers.get('Content-Type')).toBe('application/octet-stream');
    const hashes = await bytesOf(full);
    expect(hashes).toHaveLength(256 * 32);
    expect(await bytesOf(await api('/log/tile/0/000.p/7'))).toEqual(hashes.subarray(0, 7 * 32));
    const entries = unfaulted(decodeEntries(await bytesOf(await api('/log/tile/entries/000')), 256));
    const some = unfaulted(decodeEntries(await bytesOf(await api('/log/tile/entries/000.p/7')), 7));
    expect(some).toEqual(entries.slice(0, 7));
  });

  it.each(['0/001', '0/999', '7/000', '0/0', '0/000.p/0', '0/000.p/256', '0/../000', 'x', '64/000', '-1/000'])(
    '%s is none',
    async (path) => {
      expect((await api(`/log/tile/${path}`)).status).toBe(404);
    },
  );
});

describe('a key of the log', () => {
  it('that takes over at once signs alone, and the one before it stays known', async () => {
    const { id } = await createContext();
    await bundleOf(id);
    const [before] = (await logKeys()).keys;
    expect(before?.status).toBe('signing');
    const rotate = (json: object) => api('/v1/admin/signing-keys/rotate', { method: 'POST', json });
    expect((await rotate({ purpose: 'log' })).status).toBe(200);
    expect((await logKeys()).keys.map(({ status }) => status)).toEqual(['signing', 'upcoming']);
    expect((await rotate({ purpose: 'log', compromised: true })).status).toBe(200);
    await patch(id, { name: 'Signed by another' });
    expect((await bundleOf(id)).response.headers.get('Stream-Up-To-Date')).toBe('true');
    const { keys } = await logKeys();
    expect(keys.map(({ key, status }) => [key === before?.key, status])).toEqual([
      [true, 'earlier'],
      [false, 'signing'],
    ]);
    const note = await (await api('/log/checkpoint')).text();
    const old = unfaulted(parseVerifierKey(before?.key ?? ''));
    expect(openCheckpoint(note, [old])).toHaveProperty('fault');
    expect(unfaulted(openCheckpoint(note, await trustedKeys())).signedBy).toHaveLength(1);
  });
});
