import { createHash, randomBytes } from 'node:crypto';
import { accessSync, constants, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** A mistake of whoever starts the server; its message says what to do, and is all that is printed. */
export class StartError extends Error {}

/** Random bytes in a generated key: 192 bits. */
const KEY_BYTES = 24;

/** The data folder of a server, held by this process until it ends. */
export interface DataFolder {
  readonly path: string;
  release(): void;
}

/**
 * Takes the data folder for this process. The lock is the operating system's lock on an SQLite file, so it is gone with
 * the process however that ends, and works where the folder is shared.
 *
 * @throws {StartError} when the folder cannot be written or another process holds it
 */
export function holdDataFolder(folder: string): DataFolder {
  let path: string;
  try {
    mkdirSync(folder, { recursive: true });
    path = realpathSync(folder);
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new StartError(`Cannot write to the data folder ${folder} (${code}). Make it writable or set DATA_DIR.`);
  }
  const lock = new DatabaseSync(join(path, 'lock.sqlite'));
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch {
    lock.close();
    throw new StartError(`The data folder ${path} is held by another process. Stop that one, or set DATA_DIR.`);
  }
  return { path, release: () => lock.close() };
}

/** What authenticates the first administrator. */
export interface BootstrapKey {
  /** SHA-256 of the key, the only thing that is kept. */
  readonly hash: string;
  /** The key itself, when it was made just now. */
  readonly made: string | null;
  /** Keeps a key that was made. Called once it was shown: a start that fails earlier must not use up the only showing. */
  keep(): void;
}

/** The key from the environment, else the one that was made at the first start, else a new one. */
export function bootstrapKey(folder: DataFolder, fromEnvironment: string | undefined): BootstrapKey {
  const file = join(folder.path, 'bootstrap-key.sha256');
  const known = (hash: string) => ({ hash, made: null, keep: () => undefined });
  if (fromEnvironment) return known(sha256Hex(fromEnvironment));
  try {
    return known(readFileSync(file, 'utf8').trim());
  } catch {
    const made = `cck_${randomBytes(KEY_BYTES).toString('base64url')}`;
    const hash = sha256Hex(made);
    return { hash, made, keep: () => writeFileSync(file, `${hash}\n`, { mode: 0o600 }) };
  }
}

function sha256Hex(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
