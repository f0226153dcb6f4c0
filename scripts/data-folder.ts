import { createHash, randomBytes } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** A mistake of whoever starts the server; its message says what to do, and is all that is printed. */
export class StartError extends Error {}

/** SQLite's codes for a file that somebody else has locked, and for a disk without room. */
const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;

/** How long to wait for a process that was just killed to let go of the lock. */
const LOCK_WAIT_MS = 2_000;

/** What is kept of a key. */
const HASH = /^[0-9a-f]{64}$/;

/** Random bytes in a generated key: 192 bits. */
const KEY_BYTES = 24;

/** Bytes of the key that encrypts other keys, and its text in base64url. */
const ENCRYPTION_KEY_BYTES = 32;
const ENCRYPTION_KEY = /^[\w-]{43}$/;

/** The data folder of a server, held by this process until it ends. */
export interface DataFolder {
  readonly path: string;
  release(): void;
}

/** Makes a folder and those above it, one by one: the recursive call of Node never returns for a place in /proc. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  mkdirSync(path);
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
    makeFolder(resolve(folder));
    path = realpathSync(folder);
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new StartError(`Cannot write to the data folder ${folder} (${code}). Make it writable or set DATA_DIR.`);
  }
  const lock = lockFile(join(path, 'lock.sqlite'));
  return { path, release: () => lock.close() };
}

function lockFile(file: string): DatabaseSync {
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(file);
    lock.exec(`PRAGMA busy_timeout = ${LOCK_WAIT_MS}; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE`);
    return lock;
  } catch (error) {
    lock?.close();
    const code = error instanceof Error && 'errcode' in error ? error.errcode : null;
    if (code === SQLITE_FULL) throw noRoom(file);
    throw new StartError(
      code === SQLITE_BUSY
        ? `The data folder ${dirname(file)} is held by another process. Stop that one, or set DATA_DIR.`
        : `The lock of the data folder, ${file}, cannot be used (${error instanceof Error ? error.message : error}). Delete it.`,
    );
  }
}

function noRoom(file: string): StartError {
  return new StartError(`The disk of the data folder ${dirname(file)} is full. Make room on it.`);
}

/** Writes a file of the data folder in one step, so that it is never there by half. @throws {StartError} on a full disk */
function keepFile(file: string, text: string): void {
  try {
    writeFileSync(`${file}.new`, text, { mode: 0o600, flush: true });
    renameSync(`${file}.new`, file);
  } catch (error) {
    throw error instanceof Error && 'code' in error && error.code === 'ENOSPC' ? noRoom(file) : error;
  }
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
  const kept = readKept(file);
  if (kept !== null) return known(kept);
  const made = `cck_${randomBytes(KEY_BYTES).toString('base64url')}`;
  const hash = sha256Hex(made);
  return {
    hash,
    made,
    keep: () => keepFile(file, `${hash}\n`),
  };
}

/**
 * What private signing keys are encrypted with: the key from the environment, else the one that was made at the first
 * start and is kept in the data folder, readable by its owner only.
 *
 * @throws {StartError} when there is one that cannot be used: a new one could not open what the old one has encrypted
 */
export function keyEncryptionKey(folder: DataFolder, fromEnvironment: string | undefined): string {
  if (fromEnvironment) {
    if (ENCRYPTION_KEY.test(fromEnvironment)) return fromEnvironment;
    throw new StartError(
      'KEY_ENCRYPTION_KEY is not 32 bytes in base64url. Make one: openssl rand 32 | basenc --base64url | tr -d =',
    );
  }
  const file = join(folder.path, 'key-encryption-key');
  if (existsSync(file)) return readEncryptionKey(file);
  const made = randomBytes(ENCRYPTION_KEY_BYTES).toString('base64url');
  keepFile(file, `${made}\n`);
  return made;
}

function readEncryptionKey(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new StartError(`${file} cannot be read (${error instanceof Error ? error.message : error}). Mend it.`);
  }
  if (ENCRYPTION_KEY.test(text)) return text;
  throw new StartError(
    `${file} does not hold a key. Put it back from a backup; or delete it, and replace the signing keys after the start: POST /v1/admin/signing-keys/rotate.`,
  );
}

/** The hash that was kept; null when there is none that could be one. */
function readKept(file: string): string | null {
  if (!existsSync(file)) return null;
  try {
    const text = readFileSync(file, 'utf8').trim();
    return HASH.test(text) ? text : null;
  } catch (error) {
    throw new StartError(
      `${file} cannot be read (${error instanceof Error ? error.message : error}). Mend or delete it.`,
    );
  }
}

function sha256Hex(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
