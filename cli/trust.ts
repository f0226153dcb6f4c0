import { existsSync } from 'node:fs';
import { openTrusted } from '../client/checkpoints.ts';
import { readKeys } from '../client/log-keys.ts';
import { parseHeader } from '../events/bundle.ts';
import type { Checkpoint, TreeHead } from '../events/checkpoint.ts';
import { isFault } from '../events/fault.ts';
import type { Findings } from '../events/finding.ts';
import type { VerifierKey } from '../events/note-keys.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';
import { linesOf } from './moments.ts';
import { readText } from './options.ts';

/** The keys that `--key` names: as they are, or in files. @throws {UsageError} when one cannot be read */
export function trustedKeys(words: readonly string[]): VerifierKey[] {
  return words.flatMap((word) => {
    const keys = readKeys(existsSync(word) ? readText(word) : word);
    if (isFault(keys)) throw new UsageError(`--key: ${keys.fault}`);
    return keys;
  });
}

/** A checkpoint that was kept; what is wrong with it is a finding, for nothing can be compared with it then. */
export function readEarlier(
  file: string,
  note: string,
  keys: readonly VerifierKey[],
  findings: Findings,
): Checkpoint[] {
  const { signed } = openTrusted(note, { keys, witnesses: 0 }, findings, `The checkpoint in ${file}`);
  return signed ? [signed] : [];
}

/** The heads that an export has, by stream, to hold a later one against. */
export async function earlierHeads(file: string): Promise<Map<string, readonly TreeHead[]>> {
  const heads = new Map<string, readonly TreeHead[]>();
  for await (const line of linesOf(readInput(file))) {
    const header = line.startsWith('{"checkpoint":') ? parseHeader(line) : null;
    if (header && isFault(header)) throw new UsageError(`--earlier ${file}: ${header.fault}`);
    if (header) heads.set(header.stream, header.heads);
  }
  if (heads.size === 0) throw new UsageError(`--earlier ${file}: there is no bundle in it`);
  return heads;
}
