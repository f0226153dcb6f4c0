import { sha256Hex } from '../../events/hash.ts';
import { isUlid, ulidFromHex } from '../../events/ulid.ts';

/**
 * The texts of credentials that are kept as hashes. A prefix by which scanners find one that was published by mistake,
 * the ids of whom it belongs to, so that it leads to the object that knows its hash, a secret, and a checksum, by which
 * one that was mistyped or made up is known to be wrong before anybody is asked.
 */

/** Letters of a secret: none that a double-click stops at, and none that has to be escaped anywhere. */
const LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Characters of a secret: 256 bits. */
export const SECRET_LENGTH = 43;

/** Characters of a checksum: 30 bits. */
const CHECKSUM_LENGTH = 6;

/** Characters of a ULID. */
const ULID_LENGTH = 26;

/** Random letters. */
export function randomLetters(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length))) {
      // The highest bytes are let go, or some letters would come more often than others.
      if (byte < 4 * LETTERS.length && text.length < length) text += LETTERS.charAt(byte % LETTERS.length);
    }
  }
  return text;
}

/** Puts a credential together. @param ulids of the ids in it, without their prefixes */
export function writeCredential(prefix: string, ulids: readonly string[], secret: string): string {
  const body = `${prefix}_${ulids.join('')}${secret}`;
  return body + checksumOf(body);
}

/**
 * Takes a credential apart.
 *
 * @param ulids how many ids it has
 * @returns null when it is not one of this kind, or its checksum is wrong
 */
export function readCredential(
  prefix: string,
  ulids: number,
  secretLength: number,
  text: string,
): { readonly ulids: readonly string[]; readonly secret: string } | null {
  const start = prefix.length + 1;
  const end = start + ulids * ULID_LENGTH;
  if (text.length !== end + secretLength + CHECKSUM_LENGTH || !text.startsWith(`${prefix}_`)) return null;
  const body = text.slice(0, -CHECKSUM_LENGTH);
  if (checksumOf(body) !== text.slice(-CHECKSUM_LENGTH)) return null;
  const found = Array.from({ length: ulids }, (_, index) =>
    text.slice(start + index * ULID_LENGTH).slice(0, ULID_LENGTH),
  );
  return found.every(isUlid) ? { ulids: found, secret: body.slice(end) } : null;
}

function checksumOf(body: string): string {
  return ulidFromHex(sha256Hex(body)).slice(-CHECKSUM_LENGTH);
}
