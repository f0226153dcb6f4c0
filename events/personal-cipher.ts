import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { bytesToHex, randomBytes } from '@noble/ciphers/utils.js';
import { fromBase64, toBase64 } from './bytes.ts';
import type { Json } from './json.ts';
import { readSealed, writeSealed } from './personal.ts';

/**
 * How words are sealed: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) over the value's JSON text, which is filled up
 * with spaces so that its length tells little. The stream, the person and the key's id are authenticated: a sealed value
 * opens in the stream that it was made for and nowhere else. Its place within the stream is vouched for by the event's hash.
 */

/** Bytes of a key. */
export const PERSONAL_KEY_BYTES = 32;

/** Bytes of a nonce. It is random, and long enough for that whatever the number of values. */
const NONCE_BYTES = 24;

/** The length of what is encrypted is a multiple of this, in bytes. */
const PADDED_TO = 32;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A key by which the words of one person in one stream are sealed. */
export interface PersonalKey {
  /** 16 hexadecimal digits. */
  readonly id: string;
  readonly bytes: Uint8Array;
}

/** A new key. */
export function newPersonalKey(): PersonalKey {
  return { id: bytesToHex(randomBytes(8)), bytes: randomBytes(PERSONAL_KEY_BYTES) };
}

/** Seals a value. @param stream `<stream type>/<id>` */
export function sealValue(value: Json, subject: string, key: PersonalKey, stream: string): string {
  const text = encoder.encode(JSON.stringify(value));
  const padded = new Uint8Array(Math.ceil(text.length / PADDED_TO) * PADDED_TO).fill(0x20);
  padded.set(text);
  const nonce = randomBytes(NONCE_BYTES);
  const ciphertext = xchacha20poly1305(key.bytes, nonce, boundTo(stream, subject, key.id)).encrypt(padded);
  const box = new Uint8Array(NONCE_BYTES + ciphertext.length);
  box.set(nonce);
  box.set(ciphertext, NONCE_BYTES);
  return writeSealed({ subject, key: key.id, box: toBase64(box) });
}

/** Opens a sealed value; undefined when it is none, or was not made with this key for this stream. */
export function openValue(text: string, key: PersonalKey, stream: string): Json | undefined {
  const sealed = readSealed(text);
  const box = sealed?.key === key.id ? fromBase64(sealed.box) : null;
  if (sealed === null || box === null) return undefined;
  try {
    const cipher = xchacha20poly1305(key.bytes, box.subarray(0, NONCE_BYTES), boundTo(stream, sealed.subject, key.id));
    const value: Json = JSON.parse(decoder.decode(cipher.decrypt(box.subarray(NONCE_BYTES))));
    return value;
  } catch {
    return undefined;
  }
}

function boundTo(stream: string, subject: string, key: string): Uint8Array {
  return encoder.encode(`${stream} ${subject} ${key}`);
}
