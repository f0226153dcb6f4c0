import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import { canonicalText } from './canonical.ts';
import { CanonicalScanner } from './canonical-scan.ts';
import type { TreeHead } from './checkpoint.ts';
import type { Fault } from './fault.ts';
import { Line } from './line.ts';
import { hexHash, leafHashOf } from './merkle.ts';

/**
 * The proof bundle of one stream: NDJSON, so that it is written, piped and verified as it comes, however long. Its
 * first line proves; each line after it is an event, sealed as in the log, in the order of the versions.
 */

/** What the first line of a bundle calls itself. */
const BUNDLE_FORMAT = 'chittyconnect-bundle/1';

/** Characters of a bundle's first line at most. */
const HEADER_CHARS_MAX = 1024 * 1024;
/** Heads of the stream in a bundle at most. */
const HEADS_MAX = 256;
/** Hashes of a proof at most: the height of the highest tree that can be counted. */
const PROOF_MAX = 53;

const streamName = z
  .string()
  .max(200)
  .regex(/^[a-z]+\/[A-Za-z0-9_]+$/);

const headerSchema = z.strictObject({
  format: z.literal(BUNDLE_FORMAT),
  stream: streamName,
  /** The log's checkpoint: a signed note. */
  checkpoint: z.string().max(64 * 1024),
  /** The keys to verify it with; to be trusted only by who knows them from elsewhere. */
  keys: z.array(z.string().max(400)).max(32),
  /** Heads of the stream that are in the log, by their size. The last is that of all the events of the bundle. */
  heads: z
    .array(
      z.strictObject({
        size: z.int().min(1),
        root: hexHash,
        /** Where in the log the head is, and the proof that it is there in the tree of the checkpoint. */
        index: z.int().min(0),
        proof: z.array(hexHash).max(PROOF_MAX),
      }),
    )
    .min(1)
    .max(HEADS_MAX)
    .refine(
      (heads) => heads.every(({ size }, at) => at === 0 || size > (heads[at - 1]?.size ?? 0)),
      'must rise by their sizes',
    ),
});

/** A head of the stream, and the proof that the log has it. */
interface LoggedHead extends TreeHead {
  readonly index: number;
  readonly proof: readonly Uint8Array[];
}

/** The first line of a bundle. */
export interface BundleHeader {
  readonly stream: string;
  /** A signed note (C2SP tlog-checkpoint). */
  readonly checkpoint: string;
  /** Verifier keys as text (C2SP signed-note). */
  readonly keys: readonly string[];
  /** By rising size; the last is that of all the events. */
  readonly heads: readonly LoggedHead[];
}

/** Writes the first line of a bundle, without its line feed. */
export function formatHeader({ stream, checkpoint, keys, heads }: BundleHeader): string {
  return canonicalText({
    format: BUNDLE_FORMAT,
    stream,
    checkpoint,
    keys,
    heads: heads.map(({ size, root, index, proof }) => ({
      size,
      root: bytesToHex(root),
      index,
      proof: proof.map((hash) => bytesToHex(hash)),
    })),
  });
}

/** Reads the first line of a bundle. Only canonical text is read, so no name in it can stand twice. */
export function parseHeader(text: string): BundleHeader | Fault {
  if (text.length > HEADER_CHARS_MAX) return { fault: 'the first line is too long' };
  const problem = new CanonicalScanner().scan(Line.of(text));
  if (problem) return { fault: `the first line is not canonical JSON: ${problem.fault}` };
  const parsed = headerSchema.safeParse(JSON.parse(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { fault: `the first line is not that of a bundle: ${issue?.path.join('.')} ${issue?.message}` };
  }
  const { stream, checkpoint, keys, heads } = parsed.data;
  const hashed = heads.map(({ size, root, index, proof }) => ({
    size,
    root: hexToBytes(root),
    index,
    proof: proof.map((hash) => hexToBytes(hash)),
  }));
  return { stream, checkpoint, keys, heads: hashed };
}

/**
 * What the log of logs holds for the head of a stream: the canonical JSON of `{root, size, stream}` in UTF-8. It is a
 * function of the head alone, so that a head that is handed in twice is known for the same.
 */
export function headEntry(stream: string, { size, root }: TreeHead): Uint8Array {
  return utf8ToBytes(canonicalText({ root: bytesToHex(root), size, stream }));
}

/** The leaf hash of `headEntry` in the log. */
export function headLeaf(stream: string, head: TreeHead): Uint8Array {
  return leafHashOf(headEntry(stream, head));
}
