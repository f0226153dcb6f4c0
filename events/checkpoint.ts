import { equalBytes, fromBase64, toBase64 } from './bytes.ts';
import { cosignatureTime } from './cosignature.ts';
import { type Fault, isFault } from './fault.ts';
import { HASH_BYTES, verifyConsistency } from './merkle.ts';
import { openNote, parseNote } from './note.ts';
import { SIGNATURE_TYPE, type VerifierKey } from './note-keys.ts';

/** A tree at some size. */
export interface TreeHead {
  readonly size: number;
  readonly root: Uint8Array;
}

/** What a log says of itself (C2SP tlog-checkpoint). */
export interface Checkpoint extends TreeHead {
  /** The log's name, such as `example.com/log`. */
  readonly origin: string;
  /** Further lines, which mean nothing here. */
  readonly extensions: readonly string[];
}

/** A witness's word that it saw a checkpoint. */
interface Cosignature {
  readonly key: VerifierKey;
  /** Seconds since 1970. */
  readonly time: number;
}

/** A checkpoint that the log has signed with a known key. */
export interface SignedCheckpoint extends Checkpoint {
  /** The known keys of the log that have signed it; never empty. */
  readonly signedBy: readonly VerifierKey[];
  /** The known witnesses that have signed it too. */
  readonly cosignatures: readonly Cosignature[];
}

/** Writes a checkpoint as the text of a note. */
export function formatCheckpoint({ origin, size, root, extensions }: Checkpoint): string {
  return [origin, size, toBase64(root), ...extensions].map((line) => `${line}\n`).join('');
}

/** Reads the text of a note as a checkpoint. */
export function parseCheckpoint(text: string): Checkpoint | Fault {
  const [origin, count, encoded, ...rest] = text.split('\n');
  const end = rest.pop();
  if (origin === undefined || count === undefined || encoded === undefined || end !== '') {
    return { fault: 'A checkpoint has three lines: origin, size and root' };
  }
  if (origin === '') return { fault: 'The checkpoint has no origin' };
  if (!/^(?:0|[1-9]\d{0,18})$/.test(count)) return { fault: 'The size of the checkpoint is no number' };
  const size = Number(count);
  if (!Number.isSafeInteger(size)) return { fault: 'The size of the checkpoint is beyond what can be counted here' };
  const root = fromBase64(encoded);
  if (root?.length !== HASH_BYTES) return { fault: 'The root of the checkpoint is not base64 of 32 bytes' };
  if (rest.includes('')) return { fault: 'The checkpoint has an empty line' };
  return { origin, size, root, extensions: rest };
}

/** Reads a checkpoint from its note without verifying a signature: for what it claims, no more. */
export function claimedCheckpoint(note: string): Checkpoint | Fault {
  const parsed = parseNote(note);
  return isFault(parsed) ? parsed : parseCheckpoint(parsed.text);
}

/**
 * Reads a checkpoint and verifies it. The log must have signed it with a known key that is named as its origin: so a
 * known log cannot speak for another. While keys rotate, both are known, and one signature is enough.
 *
 * @param keys the keys that are trusted, of logs and of witnesses
 */
export function openCheckpoint(note: string, keys: readonly VerifierKey[]): SignedCheckpoint | Fault {
  const opened = openNote(note, keys);
  if (isFault(opened)) return opened;
  const checkpoint = parseCheckpoint(opened.text);
  if (isFault(checkpoint)) return checkpoint;
  const signedBy: VerifierKey[] = [];
  const cosignatures: Cosignature[] = [];
  for (const { key, bytes } of opened.verified) {
    if (key.type === SIGNATURE_TYPE.note) {
      if (key.name === checkpoint.origin) signedBy.push(key);
    } else {
      const time = cosignatureTime(bytes);
      if (time !== null) cosignatures.push({ key, time });
    }
  }
  if (signedBy.length === 0) return { fault: `No known key of ${checkpoint.origin} has signed the checkpoint` };
  return { ...checkpoint, signedBy, cosignatures };
}

/**
 * What a later head of a tree is to an earlier one:
 *
 * - `same`, `grown`: all is well; the later one begins with the earlier one.
 * - `truncated`: it has fewer leaves.
 * - `split`: it has as many leaves, and other ones: two histories are told.
 * - `rewritten`: it has more leaves, and the proof does not show that it begins with the earlier ones.
 */
export type Relation = 'same' | 'grown' | 'truncated' | 'split' | 'rewritten';

/**
 * Compares two heads of one tree.
 *
 * @param proof the consistency proof between them; not looked at when their sizes are the same
 */
export function compareHeads(earlier: TreeHead, later: TreeHead, proof: readonly Uint8Array[]): Relation {
  if (later.size < earlier.size) return 'truncated';
  if (later.size === earlier.size) return equalBytes(earlier.root, later.root) ? 'same' : 'split';
  const sizes = { from: earlier.size, to: later.size };
  const isGrown = verifyConsistency({ ...sizes, fromRoot: earlier.root, toRoot: later.root, proof });
  return isGrown ? 'grown' : 'rewritten';
}

/** Compares two checkpoints; those of different logs have nothing to do with each other: `other-log`. */
export function compareCheckpoints(
  earlier: Checkpoint,
  later: Checkpoint,
  proof: readonly Uint8Array[],
): Relation | 'other-log' {
  return earlier.origin === later.origin ? compareHeads(earlier, later, proof) : 'other-log';
}
