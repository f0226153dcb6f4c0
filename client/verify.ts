import { openCheckpoint } from '../events/checkpoint.ts';
import { isFault } from '../events/fault.ts';
import { type Finding, Findings } from '../events/finding.ts';
import type { Verdict } from '../events/verify.ts';
import { type ExportVerdict, verifyExport } from '../events/verify-export.ts';
import { addToLog, followCheckpoint, type LogSource, openTrusted } from './checkpoints.ts';
import { readKeys } from './log-keys.ts';

/**
 * The verifier of the command line tool for browsers, and for everything else that has `fetch`: the same code, and
 * nothing that a browser has not.
 */

export type { Finding, FindingCode } from '../events/finding.ts';
export type { Verdict } from '../events/verify.ts';
export type { ExportVerdict } from '../events/verify-export.ts';

/** What a verifier knows from elsewhere. */
export interface VerifyOptions {
  /** The verifier keys that you trust, one a line; or what `/log/keys` answered when you first looked. */
  readonly keys: string;
  /** How many of the witnesses whose keys are there must have signed; none when left out. */
  readonly witnesses?: number;
  /** Told what became of each stream as soon as it is known. */
  readonly onVerdict?: (verdict: Verdict) => void;
}

/**
 * Verifies a proof bundle or an export, offline: a file that was chosen, the body of a response, or a text. However long
 * it is, one line is held at a time.
 *
 * @throws RangeError when the keys cannot be read
 */
export async function verify(
  source: Blob | ReadableStream<Uint8Array> | string,
  options: VerifyOptions,
): Promise<ExportVerdict> {
  const keys = keysOf(options.keys);
  const trust = { keys, witnesses: options.witnesses ?? 0, earlier: new Map() };
  const blob = typeof source === 'string' ? new Blob([source]) : source;
  return verifyExport(chunksOf(blob instanceof Blob ? blob.stream() : blob), trust, options.onVerdict);
}

/**
 * Asks a server's log whether it follows from a checkpoint that was kept: whether it was cut, was rewritten, or tells
 * somebody else another history.
 *
 * @param log where it is, such as `https://connect.chitty.cc/log`
 * @param kept the checkpoint that was kept, a signed note
 * @returns what was found; nothing is good
 * @throws RangeError when the keys, or the checkpoint that was kept, are not right
 * @throws TypeError when the log cannot be reached
 */
export async function verifyLog(
  log: string | URL,
  kept: string,
  { keys: text, witnesses = 0 }: Omit<VerifyOptions, 'onVerdict'>,
): Promise<readonly Finding[]> {
  const keys = keysOf(text);
  const earlier = openCheckpoint(kept, keys);
  if (isFault(earlier)) throw new RangeError(`The checkpoint that was kept: ${earlier.fault}`);
  const source = logAt(log);
  const findings = new Findings();
  const note = await source.checkpoint();
  if (note === null)
    addToLog(findings, 'log-truncated', `There is no checkpoint, where there was one of ${earlier.size}`);
  const now = note === null ? null : openTrusted(note, { keys, witnesses }, findings, 'The checkpoint').checkpoint;
  if (now) await followCheckpoint(source, earlier, now, findings);
  return findings.list;
}

function keysOf(text: string) {
  const keys = readKeys(text);
  if (isFault(keys)) throw new RangeError(keys.fault);
  return keys;
}

function logAt(log: string | URL): LogSource {
  const base = String(log).replace(/\/*$/, '/');
  const get = async (path: string): Promise<Response | null> => {
    const response = await fetch(base + path);
    if (response.ok) return response;
    if (response.status === 404) return null;
    throw new TypeError(`${base}${path} answered ${response.status}`);
  };
  return {
    checkpoint: async () => (await get('checkpoint'))?.text() ?? null,
    tile: async (path) => {
      const response = await get(path);
      return response && new Uint8Array(await response.arrayBuffer());
    },
  };
}

/** Not every browser iterates over streams. */
async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}
