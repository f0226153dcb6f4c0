import { bytesToHex } from '@noble/hashes/utils.js';
import { sha256 } from './sha256.ts';

/** The byte that RFC 9162 (section 2.1.1) puts before a leaf, so that a leaf can never pass for an inner node. */
const LEAF_PREFIX = '\0';

/** SHA-256 (FIPS 180-4) of the UTF-8 bytes of `text`: 64 lowercase hexadecimal digits. Synchronous. */
export function sha256Hex(text: string): string {
  return bytesToHex(sha256(text));
}

/** SHA-256 (FIPS 180-4) of bytes: 64 lowercase hexadecimal digits. Synchronous. */
export function sha256HexOfBytes(bytes: Uint8Array): string {
  return bytesToHex(sha256(bytes));
}

/** The Merkle leaf hash of `text`, SHA-256(0x00 ‖ UTF-8(text)) (RFC 9162, section 2.1.1): 64 hexadecimal digits. */
export function leafHash(text: string): string {
  return sha256Hex(LEAF_PREFIX + text);
}
