import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { type Fault, isFault } from '../events/fault.ts';
import { HASH_BYTES } from '../events/merkle.ts';
import { hashesOf, perfectRoot } from '../events/proof.ts';
import { sha256 } from '../events/sha256.ts';

/**
 * A segment: events of one stream that follow each other, as a gzip file of NDJSON. The first line says what it is and
 * holds snapshots that were taken among these events, so that the past in it is not far from one; then one event a
 * line, as they were stored. The events are the leaves of a perfect subtree of the stream's tree: 2^n of them, beginning
 * at a multiple of 2^n, so that one hash in the tree stands for them all.
 */

/** A state and the version it was reached at, as JSON text. */
export interface SnapshotText {
  readonly version: number;
  readonly state: string;
}

/** What a segment is made of. */
export interface SegmentDraft {
  /** `<stream type>/<id>`. */
  readonly stream: string;
  /** The version of the first event. */
  readonly first: number;
  /** Which form the states of the snapshots have. */
  readonly stateSchema: number;
  /** From the version before the first event on. */
  readonly snapshots: readonly SnapshotText[];
  /** The events as they are stored. */
  readonly texts: readonly string[];
}

/** What an object keeps of a segment that it has moved. */
export interface SegmentRow {
  /** The versions of its first and its last event. */
  readonly first: number;
  readonly last: number;
  /** SHA-256 of its content before compression, in hexadecimal digits. */
  readonly sha256: string;
  /** The root of its subtree, in hexadecimal digits. */
  readonly root: string;
  /** Bytes of its content before compression, and of the file. */
  readonly bytes: number;
  readonly fileBytes: number;
  /** The time of its last event. */
  readonly endsAt: string;
}

/** A segment that was read and found to be what was moved. */
export interface Segment {
  readonly first: number;
  readonly last: number;
  readonly texts: readonly string[];
  /** The leaf hashes of its events, one after the other. */
  readonly leafHashes: Uint8Array;
  readonly stateSchema: number;
  /** As text: states are several times as large when they are parsed, and few of them are ever looked at. */
  readonly snapshots: readonly SnapshotText[];
  /** Characters of its events and of its snapshots. */
  readonly chars: number;
}

/** The first line. */
interface Header {
  readonly segment: 1;
  readonly stream: string;
  readonly first: number;
  readonly last: number;
  readonly stateSchema: number;
  readonly snapshots: readonly { readonly version: number; readonly state: unknown }[];
}

/** Where the leaf hash is in an event's text: behind `data`, which alone could hold the same characters. */
const LEAF_HASH = '"leafHash":"';
/** The same for the time. */
const TIME = '"time":"';
/** Characters of a time in ISO 8601 with milliseconds. */
const TIME_CHARS = 24;

/** The byte that ends a line. */
const LINE_END = 0x0a;

/** Digits of a version in a file's name: as many as the largest has, so that names sort as versions do. */
const VERSION_DIGITS = 16;

/** Writes a segment. @returns its content, and all that its object has to keep but the size of the file */
export function writeSegment(draft: SegmentDraft): {
  readonly content: Uint8Array;
  readonly row: Omit<SegmentRow, 'fileBytes'>;
} {
  const { stream, first, stateSchema, snapshots, texts } = draft;
  const last = first + texts.length - 1;
  const states = snapshots.map(({ version, state }) => `{"version":${version},"state":${state}}`).join(',');
  const header =
    `{"segment":1,"stream":${JSON.stringify(stream)},"first":${first},"last":${last},` +
    `"stateSchema":${stateSchema},"snapshots":[${states}]}`;
  const content = new TextEncoder().encode(`${header}\n${texts.join('\n')}\n`);
  return {
    content,
    row: {
      first,
      last,
      sha256: bytesToHex(sha256(content)),
      root: bytesToHex(perfectRoot(texts.map((text) => hexToBytes(leafHashOf(text))))),
      bytes: content.length,
      endsAt: timeOf(texts.at(-1) ?? ''),
    },
  };
}

/** The name of a segment's file. It holds the hash of the content, so that one name never stands for two contents. */
export function segmentName(stream: string, { first, last, sha256: hash }: Omit<SegmentRow, 'fileBytes'>): string {
  const digits = (version: number) => String(version).padStart(VERSION_DIGITS, '0');
  return `${stream}/${digits(first)}-${digits(last)}.${hash}.ndjson.gz`;
}

/**
 * Opens the content of a segment.
 *
 * @param root of the subtree as the stream's own tree has it, in hexadecimal digits
 * @returns a fault when it is not, to the byte, what was moved, or not what the tree says
 */
function openSegment(
  content: Uint8Array,
  stream: string,
  row: Omit<SegmentRow, 'fileBytes'>,
  root: string,
): Segment | Fault {
  if (bytesToHex(sha256(content)) !== row.sha256) return { fault: 'is not what was moved there' };
  // Apart from each other: a piece of a text keeps all of it in memory.
  const headerEnd = content.indexOf(LINE_END);
  const header: Header = JSON.parse(new TextDecoder().decode(content.subarray(0, headerEnd)));
  const texts = new TextDecoder().decode(content.subarray(headerEnd + 1)).split('\n');
  texts.pop();
  const { first, last } = row;
  if (header.stream !== stream || header.first !== first || header.last !== last || texts.length !== last - first + 1) {
    return { fault: 'holds other events' };
  }
  const leafHashes = hexToBytes(texts.map(leafHashOf).join(''));
  const hasRoot = bytesToHex(perfectRoot(hashesOf(leafHashes))) === root;
  if (!hasRoot || root !== row.root) return { fault: 'is not what the stream’s tree stands for' };
  const snapshots = header.snapshots.map(({ version, state }) => ({ version, state: JSON.stringify(state) }));
  const chars = charsOf(texts) + charsOf(snapshots.map(({ state }) => state));
  return { first, last, texts, leafHashes, stateSchema: header.stateSchema, snapshots, chars };
}

/** How many characters texts have together. */
export function charsOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0);
}

/** The leaf hash that stands in an event's text, in hexadecimal digits. */
function leafHashOf(text: string): string {
  const at = text.lastIndexOf(LEAF_HASH) + LEAF_HASH.length;
  return text.slice(at, at + 2 * HASH_BYTES);
}

/** The time that stands in an event's text. */
export function timeOf(text: string): string {
  const at = text.lastIndexOf(TIME) + TIME.length;
  return text.slice(at, at + TIME_CHARS);
}

/** Compresses bytes (gzip, RFC 1952). */
export async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Decompresses a gzip file that is known to have so many bytes in it: what has more or fewer is a fault. */
async function gunzip(file: Uint8Array, length: number): Promise<Uint8Array | Fault> {
  const bytes = new Uint8Array(length);
  let at = 0;
  try {
    for await (const chunk of new Blob([file]).stream().pipeThrough(new DecompressionStream('gzip'))) {
      // Before it is kept: a file that was put there to fill the memory does not get far.
      if (at + chunk.length > length) return { fault: 'is longer than what was moved there' };
      bytes.set(chunk, at);
      at += chunk.length;
    }
  } catch {
    return { fault: 'is no gzip file' };
  }
  return at === length ? bytes : { fault: 'is shorter than what was moved there' };
}

/** Opens the file of a segment; as `openSegment` does. */
export async function openSegmentFile(
  file: Uint8Array,
  stream: string,
  row: Omit<SegmentRow, 'fileBytes'>,
  root: string,
): Promise<Segment | Fault> {
  const content = await gunzip(file, row.bytes);
  return isFault(content) ? content : openSegment(content, stream, row, root);
}
