import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapKey, holdDataFolder, keyEncryptionKey, StartError } from '../../scripts/data-folder.ts';
import { temporaryFolder } from '../support/server.ts';

/** Takes nothing, as a full disk does. */
const FULL = '/dev/full';

let temporary: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  temporary = temporaryFolder('data-folder');
});

afterEach(() => temporary.remove());

describe.runIf(existsSync(FULL))('a full disk', () => {
  it('is what a start says that could not keep a key, and nothing half written is left', () => {
    const folder = holdDataFolder(temporary.path);
    for (const [name, make] of [
      ['key-encryption-key', () => keyEncryptionKey(folder, undefined)],
      ['bootstrap-key.sha256', () => bootstrapKey(folder, undefined).keep()],
    ] as const) {
      symlinkSync(FULL, join(temporary.path, `${name}.new`));
      expect(make).toThrow(new StartError(`The disk of the data folder ${folder.path} is full. Make room on it.`));
      expect(existsSync(join(temporary.path, name))).toBe(false);
    }
    folder.release();
  });
});
