import { sha256Hex } from './hash.ts';
import { isUlid, nextUlid, ulidFromHex } from './ulid.ts';

/** The last digits of an id's ULID, which are not random but computed from the rest: 5 × 5 = 25 bits. */
const CHECK_DIGITS = 5;

/**
 * Ids look like `ctx_01J…`: a prefix that tells the stream type and a ULID whose last five digits check the others.
 * An id that was mistyped or made up is known to be wrong (but once in 33 million times) before any object is asked,
 * which matters because asking a Durable Object creates it.
 */
function withCheck(prefix: string, ulid: string): string {
  const body = ulid.slice(0, -CHECK_DIGITS);
  const check = ulidFromHex(sha256Hex(`${prefix}_${body}`)).slice(-CHECK_DIGITS);
  return `${prefix}_${body}${check}`;
}

/** A new random id of the given prefix, ordered by `now` (milliseconds since 1970). */
export function newId(prefix: string, now: number): string {
  return withCheck(prefix, nextUlid(now));
}

/** The id that `seed` always leads to: a creation that is tried again reaches the object it made the first time. */
export function derivedId(prefix: string, seed: string): string {
  return withCheck(prefix, ulidFromHex(sha256Hex(seed)));
}

/** Ids that were found right lately: hashing an id at every request is a good part of what the request costs. */
const known = new Set<string>();

/** Ids that are remembered before all are forgotten. */
const KNOWN_MAX = 10_000;

/** Tells whether `text` is an id of the given prefix whose check digits fit. */
export function isId(prefix: string, text: string): boolean {
  if (known.has(text) && text.startsWith(`${prefix}_`)) return true;
  const isRight = hasRightCheck(prefix, text);
  if (isRight) {
    if (known.size >= KNOWN_MAX) known.clear();
    known.add(text);
  }
  return isRight;
}

function hasRightCheck(prefix: string, text: string): boolean {
  const ulid = text.slice(prefix.length + 1);
  return text.startsWith(`${prefix}_`) && isUlid(ulid) && withCheck(prefix, ulid) === text;
}
