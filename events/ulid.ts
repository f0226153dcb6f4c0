import { decodeTime, encodeTime, incrementBase32, ulid } from 'ulid';

/** Letters of Crockford's base 32, the alphabet of ULIDs. */
const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** 26 characters of Crockford's base 32 whose value fits 128 bits (the first is at most 7). */
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** Characters of a ULID that carry its time (48 bits of milliseconds). */
const TIME_LENGTH = 10;

/** Random bytes fetched at once: asking the platform for each of a ULID's 16 digits costs more than all the rest. */
const POOL_BYTES = 1024;

const pool = new Uint8Array(POOL_BYTES);
let poolUsed = POOL_BYTES;

/** A number in [0, 1) from one random byte: `ulid` takes 5 bits of it, for which 8 are enough and unbiased. */
function random(): number {
  if (poolUsed === POOL_BYTES) {
    crypto.getRandomValues(pool);
    poolUsed = 0;
  }
  const byte = pool[poolUsed++] ?? 0;
  return byte / 256;
}

/** Tells whether `text` is a ULID in its canonical upper-case form. */
export function isUlid(text: string): boolean {
  return ULID.test(text);
}

/**
 * A new ULID (github.com/ulid/spec) that sorts after `previous`, also within one millisecond and when the clock has
 * gone back: it then keeps the time of `previous` and counts its random part up.
 *
 * @param now milliseconds since 1970
 * @param previous the ULID that came before it in the stream, if there is one
 */
export function nextUlid(now: number, previous?: string): string {
  if (previous === undefined || decodeTime(previous) < now) return ulid(now, random);
  const time = previous.slice(0, TIME_LENGTH);
  const counter = previous.slice(TIME_LENGTH);
  // All 80 random bits set: the only room left is the next millisecond.
  if (/^Z+$/.test(counter)) return ulid(decodeTime(previous) + 1, random);
  return time + incrementBase32(counter);
}

/** The least ULID of a time. @param time milliseconds since 1970; the least there is for times before */
export function firstUlidOf(time: number): string {
  return encodeTime(Math.max(0, time), TIME_LENGTH).padEnd(26, '0');
}

/** Writes the first 128 bits of `hex` (32 digits or more) as a ULID: for ids that are derived, not drawn. Their time is noise. */
export function ulidFromHex(hex: string): string {
  let value = BigInt(`0x${hex.slice(0, 32)}`);
  let text = '';
  for (let digit = 0; digit < 26; digit++) {
    text = CROCKFORD.charAt(Number(value & 31n)) + text;
    value >>= 5n;
  }
  return text;
}
