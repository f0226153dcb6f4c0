import { base64url } from 'jose';
import type { Env } from '../env.ts';

/**
 * Private keys at rest: AES-256-GCM (NIST SP 800-38D) under a key that is configuration and never stored with them.
 * A sealed key is the text `v1.<id of the encryption key>.<base64url of nonce and ciphertext>`.
 */

/** Bytes of an AES-256 key. */
const KEY_BYTES = 32;

/** Bytes of a nonce. It is random: a key encrypts far fewer than the 2^32 texts that are safe with that. */
const NONCE_BYTES = 12;

const SEALED = /^v1\.([\w-]{11})\.([\w-]+)$/;

const encoder = new TextEncoder();

interface EncryptionKey {
  /** Tells the keys apart without telling anything about them. */
  readonly id: string;
  readonly key: CryptoKey;
}

/** Seals what is to be stored, and opens what was. */
export interface Sealer {
  /** Encrypts under the present key. @param label what it belongs to; it opens with the same label only */
  seal(secret: Uint8Array, label: string): Promise<string>;
  /** Decrypts what was sealed under the present key or the one before it; null when it cannot be opened. */
  open(sealed: string, label: string): Promise<Uint8Array | null>;
}

/** The sealer of a configuration; null when KEY_ENCRYPTION_KEY is missing or is no key. */
export async function sealerOf(env: Env): Promise<Sealer | null> {
  const present = await encryptionKey(env.KEY_ENCRYPTION_KEY);
  if (present === null) return null;
  const previous = await encryptionKey(env.KEY_ENCRYPTION_KEY_PREVIOUS);
  return {
    async seal(secret, label) {
      const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
      const ciphertext = await crypto.subtle.encrypt(algorithm(nonce, label), present.key, secret);
      const bytes = new Uint8Array(NONCE_BYTES + ciphertext.byteLength);
      bytes.set(nonce);
      bytes.set(new Uint8Array(ciphertext), NONCE_BYTES);
      return `v1.${present.id}.${base64url.encode(bytes)}`;
    },
    async open(sealed, label) {
      const [, id, text] = SEALED.exec(sealed) ?? [];
      const key = [present, previous].find((candidate) => candidate?.id === id)?.key;
      if (key === undefined || text === undefined) return null;
      try {
        const bytes = base64url.decode(text);
        const nonce = bytes.subarray(0, NONCE_BYTES);
        return new Uint8Array(await crypto.subtle.decrypt(algorithm(nonce, label), key, bytes.subarray(NONCE_BYTES)));
      } catch {
        return null;
      }
    },
  };
}

function algorithm(nonce: Uint8Array, label: string) {
  return { name: 'AES-GCM', iv: nonce, additionalData: encoder.encode(label) };
}

/** Reads a key: 32 bytes in base64url. */
async function encryptionKey(text: string | undefined): Promise<EncryptionKey | null> {
  const trimmed = text?.trim() ?? '';
  if (!/^[\w-]{43}$/.test(trimmed)) return null;
  const bytes = base64url.decode(trimmed);
  if (bytes.byteLength !== KEY_BYTES) return null;
  const [key, hash] = await Promise.all([
    crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt']),
    crypto.subtle.digest('SHA-256', encoder.encode(`key encryption key ${trimmed}`)),
  ]);
  return { id: base64url.encode(new Uint8Array(hash).subarray(0, 8)), key };
}
