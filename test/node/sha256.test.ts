import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';

const lengths = [0, 1, 55, 56, 64, 65, 1000, 70_000];
const inputs = [
  ...lengths.map((length) => new Uint8Array(length).fill(length % 251)),
  ...['', '\0', 'words', 'é€😀\n', 'x'.repeat(70_000)],
];
const digests = inputs.map((input) => createHash('sha256').update(input).digest('hex'));

async function digestsHere(): Promise<string[]> {
  vi.resetModules();
  const { sha256 } = await import('../../events/sha256.ts');
  return inputs.map((input) => {
    const digest = sha256(input);
    expect(digest.constructor).toBe(Uint8Array);
    return Buffer.from(digest).toString('hex');
  });
}

describe('SHA-256', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it('is the same with what the runtime has', async () => {
    expect(await digestsHere()).toEqual(digests);
  });

  it.each([
    ['without a process, as in browsers', undefined],
    ['without built-in modules', {}],
    ['without the module', { getBuiltinModule: () => undefined }],
    ['with an older node:crypto', { getBuiltinModule: () => ({ createHash }) }],
  ])('is the same %s', async (_, runtime) => {
    vi.stubGlobal('process', runtime);
    expect(await digestsHere()).toEqual(digests);
  });
});
