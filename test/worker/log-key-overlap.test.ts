import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openCheckpoint } from '../../events/checkpoint.ts';
import { parseVerifierKey, type VerifierKey } from '../../events/note-keys.ts';
import { verifyBundle } from '../../events/verify.ts';
import { PUBLISHED_AHEAD_MS } from '../../src/auth/key-rotation.ts';
import { LOG_KEY_OVERLAP_MS } from '../../src/log/signing.ts';
import { expectJson } from '../support/actors.ts';
import { api, createContext } from '../support/api.ts';
import { patch } from '../support/rest.ts';
import { unfaulted } from '../support/unfaulted.ts';

interface LogKeysJson {
  keys: { key: string; status: string }[];
}

/** The keys of the log with what they do now, oldest first. */
async function logKeys(): Promise<{ key: VerifierKey; status: string }[]> {
  const { keys } = await expectJson<LogKeysJson>(await api('/log/keys'), 200);
  return keys.map(({ key, status }) => ({ key: unfaulted(parseVerifierKey(key)), status }));
}

/** A bundle of a context whose last event has just been logged, and the checkpoint that vouches for it. */
async function proofOf(id: string): Promise<{ bundle: string; note: string }> {
  const response = await api(`/v1/contexts/${id}/bundle`);
  const bundle = new TextDecoder().decode(await response.arrayBuffer());
  expect(response.headers.get('Stream-Up-To-Date'), bundle).toBe('true');
  return { bundle, note: await (await api('/log/checkpoint')).text() };
}

function isTrusted(note: string, key: VerifierKey): boolean {
  return !('fault' in openCheckpoint(note, [key]));
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});

afterEach(() => {
  vi.useRealTimers();
});

it('a key of the log that takes over signs beside the one before it, for as long as readers have to learn of it', async () => {
  const { id } = await createContext();
  await proofOf(id);
  await expectJson(await api('/v1/admin/signing-keys/rotate', { method: 'POST', json: { purpose: 'log' } }), 200);
  const [old, young] = (await logKeys()).map(({ key }) => key);
  if (!old || !young) throw new Error('there are not two keys');

  await patch(id, { name: 'Signed by the old one' });
  const { note: before } = await proofOf(id);
  expect([isTrusted(before, old), isTrusted(before, young)]).toEqual([true, false]);

  vi.setSystemTime(Date.now() + PUBLISHED_AHEAD_MS + 60_000);
  await patch(id, { name: 'Signed by both' });
  const { note, bundle } = await proofOf(id);
  expect([isTrusted(note, old), isTrusted(note, young)]).toEqual([true, true]);
  expect(unfaulted(openCheckpoint(note, [old, young])).signedBy).toHaveLength(2);
  for (const key of [old, young]) {
    expect(verifyBundle(bundle, { keys: [key], witnesses: 0, earlier: [] })).toMatchObject({
      isVerified: true,
      head: { size: 3 },
    });
  }
  expect((await logKeys()).map(({ status }) => status)).toEqual(['signing', 'signing']);

  vi.setSystemTime(Date.now() + LOG_KEY_OVERLAP_MS + 60 * 60_000);
  await patch(id, { name: 'Signed by the new one' });
  const { note: after } = await proofOf(id);
  expect([isTrusted(after, old), isTrusted(after, young)]).toEqual([false, true]);
  expect((await logKeys()).map(({ status }) => status)).toEqual(['earlier', 'signing']);
});
