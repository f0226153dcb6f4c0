import { describe, expect, it } from 'vitest';
import { parseVerifierKey, type VerifierKey } from '../../events/note-keys.ts';
import { verifyBundle } from '../../events/verify.ts';
import { api, createContext } from '../support/api.ts';
import { patch } from '../support/rest.ts';
import { unfaulted } from '../support/unfaulted.ts';

/** The keys that the log says are its own. */
async function logKeys(): Promise<VerifierKey[]> {
  const { keys }: { keys: { key: string }[] } = await (await api('/log/keys')).json();
  return keys.map(({ key }) => unfaulted(parseVerifierKey(key)));
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
    const verdict = verifyBundle(text, { keys: await logKeys(), witnesses: 0, earlier: [] });
    expect(verdict.findings).toEqual([]);
    expect(verdict.head.size).toBe(4);
    expect(response.headers.get('Stream-Up-To-Date')).toBe('true');
  });
});
