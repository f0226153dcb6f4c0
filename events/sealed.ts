import { scanCanonical } from './canonical-scan.ts';
import { type Fault, isFault } from './fault.ts';
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

/**
 * Opens a sealed event (`sealEvent`) without parsing it. It must be canonical; so the bytes without the member
 * `leafHash` are the canonical text of the envelope without it, and that is what is hashed.
 *
 * @returns its facts, or why it is no sealed event.
 */
export function openSealed(text: string): SealedFacts | Fault {
  if (text.length > EVENT_CHARS_MAX) return { fault: 'it is longer than an event can be' };
  const members = scanCanonical(text);
  if (isFault(members)) return members;
  const facts = { id: '', leafHash: '', stream: '', time: '', type: '', version: '' };
  let hashPlace = { start: 0, end: 0 };
  let next = 0;
  for (const { name, start, value, end } of members) {
    // Both lists rise, so one walk through them finds all.
    const wanted = FORMS[next];
    if (wanted?.name !== name) continue;
    const written = text.slice(value, end);
    if (!wanted.form.test(written)) return { fault: `its ${name} is not of the form that it must have` };
    facts[wanted.name] = wanted.name === 'version' ? written : written.slice(1, -1);
    if (wanted.name === 'leafHash') hashPlace = { start, end };
    next++;
  }
  const absent = FORMS[next];
  if (absent) return { fault: `it has no ${absent.name}` };
  const { id, stream, type, time, leafHash } = facts;
  const version = Number(facts.version);
  if (!isUlid(id)) return { fault: 'its id is no ULID' };
  if (!Number.isSafeInteger(version)) return { fault: 'its version is beyond any stream' };
  // The prefix of a leaf, 0x00, is a character of one byte.
  // A member follows `leafHash` in every event (version, at least), so the comma after it goes with it.
  const contentHash = sha256(`\0${text.slice(0, hashPlace.start)}${text.slice(hashPlace.end + 1)}`);
  const isIntact = isHexOf(leafHash, contentHash);
  if (!isIntact && !HEX_HASH.test(leafHash)) return { fault: 'its leafHash is no hash' };
  return { stream, version, id, type, time, claimedHash: leafHash, contentHash, isIntact };
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
