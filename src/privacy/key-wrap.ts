import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { randomBytes } from '@noble/ciphers/utils.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { KeyWrap } from '../../actors/key-wrap.ts';
import { fromBase64, toBase64 } from '../../events/bytes.ts';

/**
 * The keys of people's words at rest: XChaCha20-Poly1305 under a key made from KEY_ENCRYPTION_KEY. WebCrypto, which seals
 * the signing keys, answers later; these are needed in the turn of a change.
 *
 * A wrapped key is `w1.<id of the wrapping key>.<base 64 of nonce and ciphertext>`; `w0..<base 64>` is one that was stored
 * where there is no KEY_ENCRYPTION_KEY. It is destroyed like the others, and is wrapped when there is one.
 */

/** The part of the configuration that says how keys are wrapped; see `Env`. */
interface Wrapping {
  readonly KEY_ENCRYPTION_KEY?: string;
  readonly KEY_ENCRYPTION_KEY_PREVIOUS?: string;
}

/** Bytes of a nonce. */
const NONCE_BYTES = 24;

const WRAPPED = /^w([01])\.([0-9a-f]{16})?\.([A-Za-z0-9+/=]+)$/;

interface WrappingKey {
  readonly id: string;
  readonly bytes: Uint8Array;
}

/** Those that were made, by the text that they were made from: there are two at most. */
const made = new Map<string, WrappingKey>();

/** How keys are wrapped in this configuration. */
export function keyWrapOf(env: Wrapping): KeyWrap {
  const present = wrappingKey(env.KEY_ENCRYPTION_KEY);
  const known = [present, wrappingKey(env.KEY_ENCRYPTION_KEY_PREVIOUS)];
  return {
    wrap(key, label) {
      if (present === null) return `w0..${toBase64(key)}`;
      const nonce = randomBytes(NONCE_BYTES);
      const ciphertext = xchacha20poly1305(present.bytes, nonce, utf8ToBytes(label)).encrypt(key);
      return `w1.${present.id}.${toBase64(new Uint8Array([...nonce, ...ciphertext]))}`;
    },
    unwrap(wrapped, label) {
      const [, form, id, text = ''] = WRAPPED.exec(wrapped) ?? [];
      const bytes = fromBase64(text);
      if (bytes === null || form === '0') return bytes;
      const key = known.find((each) => each?.id === id);
      if (!key) return null;
      try {
        const cipher = xchacha20poly1305(key.bytes, bytes.subarray(0, NONCE_BYTES), utf8ToBytes(label));
        return cipher.decrypt(bytes.subarray(NONCE_BYTES));
      } catch {
        return null;
      }
    },
    isCurrent: (wrapped) => wrapped.startsWith(present === null ? 'w0.' : `w1.${present.id}.`),
  };
}

function wrappingKey(text: string | undefined): WrappingKey | null {
  const trimmed = text?.trim() ?? '';
  // The same form as for the signing keys: 32 bytes in base64url.
  if (!/^[\w-]{43}$/.test(trimmed)) return null;
  const known = made.get(trimmed);
  if (known) return known;
  const bytes = sha256(utf8ToBytes(`keys of people's words ${trimmed}`));
  const key = { id: bytesToHex(sha256(bytes)).slice(0, 16), bytes };
  made.set(trimmed, key);
  return key;
}
