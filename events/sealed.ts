import { CanonicalScanner } from './canonical-scan.ts';
import type { Fault } from './fault.ts';
import type { Line } from './line.ts';
import { sha256 } from './sha256.ts';
import { isUlid } from './ulid.ts';

/** What is told of an event by its sealed text alone, without parsing its payload. */
export interface SealedFacts {
  readonly stream: string;
  readonly version: number;
  readonly id: string;
  readonly type: string;
  readonly time: string;
  /** The leaf hash that is written in the text, in hexadecimal. */
  readonly claimedHash: string;
  /** The leaf hash of the text without that member: 32 bytes. */
  readonly contentHash: Uint8Array;
  /** Whether the two are the same: the content is what was hashed. */
  readonly isIntact: boolean;
}

/** Characters of an event's text at most: what a row of its object's database can hold. */
const EVENT_CHARS_MAX = 2 * 1024 * 1024;

/** The members that are looked at, in their canonical order, and what they must be as they stand in the text. */
const FORMS = [
  { name: 'id', form: /^"[0-9A-Z]{26}"$/ },
  { name: 'leafHash', form: /^"[^"]*"$/ },
  { name: 'stream', form: /^"[a-z]+\/[A-Za-z0-9_]+"$/ },
  { name: 'time', form: /^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"$/ },
  { name: 'type', form: /^"[a-z]+(?:_[a-z0-9]+)*"$/ },
  { name: 'version', form: /^[1-9]\d{0,15}$/ },
] as const;

const HEX_HASH = /^[0-9a-f]{64}$/;

/** The hexadecimal digits. */
const DIGITS = [...'0123456789abcdef'].map((digit) => digit.charCodeAt(0));

/** Reads one event after the other; what it knows of one is used before the next is read. */
const scanner = new CanonicalScanner();

/** What is hashed of an event: one buffer for all, which grows to the longest. The byte before a leaf is 0x00. */
let leaf = new Uint8Array(4096);

/**
 * Opens a sealed event (`sealEvent`) without parsing it. It must be canonical; so the bytes without the member
 * `leafHash` are the canonical text of the envelope without it, and that is what is hashed.
 *
 * @returns its facts, or why it is no sealed event.
 */
export function openSealed(line: Line): SealedFacts | Fault {
  if (line.text.length > EVENT_CHARS_MAX) return { fault: 'it is longer than an event can be' };
  const problem = scanner.scan(line);
  if (problem) return problem;
  const facts = { id: '', leafHash: '', stream: '', time: '', type: '', version: '' };
  const hashPlace = { start: 0, end: 0 };
  let next = 0;
  for (let member = 0; member < scanner.count; member++) {
    // Both lists rise, so one walk through them finds all.
    const wanted = FORMS[next];
    if (!wanted) break;
    if (!scanner.isNamed(member, wanted.name)) continue;
    const written = line.slice(scanner.value(member), scanner.end(member));
    if (!wanted.form.test(written)) return { fault: `its ${wanted.name} is not of the form that it must have` };
    facts[wanted.name] = wanted.name === 'version' ? written : written.slice(1, -1);
    if (wanted.name === 'leafHash') [hashPlace.start, hashPlace.end] = [scanner.start(member), scanner.end(member)];
    next++;
  }
  const absent = FORMS[next];
  if (absent) return { fault: `it has no ${absent.name}` };
  const { id, stream, type, time, leafHash } = facts;
  const version = Number(facts.version);
  if (!isUlid(id)) return { fault: 'its id is no ULID' };
  if (!Number.isSafeInteger(version)) return { fault: 'its version is beyond any stream' };
  // A member follows `leafHash` in every event (version, at least), so the comma after it goes with it.
  const contentHash = sha256(leafWithout(line.bytes, hashPlace.start, hashPlace.end + 1));
  const isIntact = isHexOf(leafHash, contentHash);
  if (!isIntact && !HEX_HASH.test(leafHash)) return { fault: 'its leafHash is no hash' };
  return { stream, version, id, type, time, claimedHash: leafHash, contentHash, isIntact };
}

/** The leaf of bytes without those from `start` to `end`: good until the next is made. */
function leafWithout(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const length = 1 + bytes.length - (end - start);
  if (leaf.length < length) leaf = new Uint8Array(2 * length);
  leaf.set(bytes.subarray(0, start), 1);
  leaf.set(bytes.subarray(end), 1 + start);
  return leaf.subarray(0, length);
}

/** Whether `hex` writes `bytes`; digit by digit, which beats making another string. */
function isHexOf(hex: string, bytes: Uint8Array): boolean {
  if (hex.length !== 2 * bytes.length) return false;
  for (let at = 0; at < hex.length; at++) {
    const byte = bytes[at >> 1] ?? 0;
    if (hex.charCodeAt(at) !== DIGITS[at % 2 === 0 ? byte >> 4 : byte & 0xf]) return false;
  }
  return true;
}
