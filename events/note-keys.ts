import { ed25519 } from '@noble/curves/ed25519.js';
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { fromBase64, toBase64 } from './bytes.ts';
import type { Fault } from './fault.ts';
import { sha256 } from './sha256.ts';

/** What a signature says, and over which bytes it is made: the byte that C2SP signed-note assigns to it. */
export const SIGNATURE_TYPE = {
  /** The signer made this text: Ed25519 over the text. */
  note: 0x01,
  /** The signer saw this checkpoint at a time: C2SP tlog-cosignature, `cosignature/v1`. */
  cosignature: 0x04,
} as const;

/** One of the signature types that this code knows. */
export type SignatureType = (typeof SIGNATURE_TYPE)[keyof typeof SIGNATURE_TYPE];

/** The public half of a key that signs notes. */
export interface VerifierKey {
  /** Not empty, without spaces and `+`. A log's key is named as the log's origin. */
  readonly name: string;
  /** Tells keys of one name apart: 8 hexadecimal digits, computed from the rest. */
  readonly id: string;
  readonly type: SignatureType;
  /** 32 bytes (RFC 8032). */
  readonly publicKey: Uint8Array;
}

/** A key that signs notes. */
export interface SigningKey extends VerifierKey {
  /** The secret: 32 bytes (RFC 8032). */
  readonly seed: Uint8Array;
}

/** Bytes of an Ed25519 public key, and of a seed. */
const KEY_BYTES = 32;
/** Characters of a key's name that are accepted at most. */
const NAME_MAX = 256;
/** Characters of a key as text at most: a name, and what the fixed parts take. */
const KEY_TEXT_MAX = NAME_MAX + 100;

/** Whether a text can name a key (C2SP signed-note): not empty, without Unicode spaces, `+` and control characters. */
export function isKeyName(name: string): boolean {
  return name.length > 0 && name.length <= NAME_MAX && name.isWellFormed() && !/[\p{White_Space}\p{Cc}+]/u.test(name);
}

/**
 * The key of that name: its id is SHA-256(name ‖ 0x0A ‖ type ‖ public key), cut to 4 bytes.
 *
 * @throws RangeError when the name cannot be one or the public key has not 32 bytes
 */
export function verifierKey(name: string, type: SignatureType, publicKey: Uint8Array): VerifierKey {
  if (!isKeyName(name)) throw new RangeError('A key needs a name without spaces and plus signs');
  if (publicKey.length !== KEY_BYTES) throw new RangeError(`A public key has ${KEY_BYTES} bytes`);
  return { name, id: keyId(name, type, publicKey), type, publicKey };
}

/**
 * The signing key of a secret. The same seed gives the same key for ever.
 *
 * @param seed 32 bytes from a good source of randomness
 * @throws RangeError when the name cannot be one or the seed has not 32 bytes
 */
export function signingKey(name: string, type: SignatureType, seed: Uint8Array): SigningKey {
  if (seed.length !== KEY_BYTES) throw new RangeError(`A seed has ${KEY_BYTES} bytes`);
  return { ...verifierKey(name, type, ed25519.getPublicKey(seed)), seed };
}

/** Writes a verifier key as C2SP signed-note does: `name+id+base64(type ‖ public key)`. */
export function formatVerifierKey(key: VerifierKey): string {
  return `${key.name}+${key.id}+${toBase64(concatBytes(Uint8Array.of(key.type), key.publicKey))}`;
}

/** Reads a verifier key. Its id must be the one that the rest gives. */
export function parseVerifierKey(text: string): VerifierKey | Fault {
  return parseKey(text, (name, type, publicKey) => verifierKey(name, type, publicKey));
}

/** What stands before a signing key, so that nobody takes it for a public one (golang.org/x/mod/sumdb/note). */
const PRIVATE_PREFIX = 'PRIVATE+KEY+';

/** Writes a signing key, to be kept as a secret: `PRIVATE+KEY+name+id+base64(type ‖ seed)`, as Go's sumdb/note does. */
export function formatSigningKey(key: SigningKey): string {
  return `${PRIVATE_PREFIX}${key.name}+${key.id}+${toBase64(concatBytes(Uint8Array.of(key.type), key.seed))}`;
}

/** Reads a signing key. Its id must be the one that the rest gives. */
export function parseSigningKey(text: string): SigningKey | Fault {
  if (!text.startsWith(PRIVATE_PREFIX)) return { fault: `A signing key begins with ${PRIVATE_PREFIX}` };
  return parseKey(text.slice(PRIVATE_PREFIX.length), signingKey);
}

function parseKey<Key extends VerifierKey>(
  text: string,
  make: (name: string, type: SignatureType, material: Uint8Array) => Key,
): Key | Fault {
  if (text.length > KEY_TEXT_MAX) return { fault: 'The key is too long' };
  // Base 64 may hold plus signs, so only the first two divide.
  const [, name, id, encoded] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/s.exec(text) ?? [];
  if (name === undefined || id === undefined || encoded === undefined) {
    return { fault: 'A key is name+id+base64, its id 8 hexadecimal digits' };
  }
  if (!isKeyName(name)) return { fault: 'The name of the key is empty, too long, or has spaces in it' };
  const bytes = fromBase64(encoded);
  if (!bytes) return { fault: 'The last part of the key is not base64' };
  const type = signatureType(bytes[0]);
  if (type === null) return { fault: 'The key is for a kind of signature that is not known here' };
  if (bytes.length !== 1 + KEY_BYTES) return { fault: `The key has not ${KEY_BYTES} bytes` };
  const key = make(name, type, bytes.slice(1));
  return key.id === id ? key : { fault: 'The id of the key does not fit the rest' };
}

function signatureType(byte: number | undefined): SignatureType | null {
  return Object.values(SIGNATURE_TYPE).find((type) => type === byte) ?? null;
}

function keyId(name: string, type: SignatureType, publicKey: Uint8Array): string {
  return bytesToHex(sha256(concatBytes(utf8ToBytes(name), Uint8Array.of(0x0a, type), publicKey)).subarray(0, 4));
}
