import { sha256 as portable } from '@noble/hashes/sha2.js';

/** SHA-256 (FIPS 180-4): 32 bytes. Synchronous. */
type Sha256 = (bytes: Uint8Array) => Uint8Array;

/**
 * SHA-256 of bytes: the runtime's own where it can be called synchronously, which Node and workerd offer and is some
 * five times as fast; the portable one everywhere else. It is asked for at run time, not imported, so that browsers
 * load the same code.
 */
export const sha256: Sha256 = nativeSha256() ?? portable;

function nativeSha256(): Sha256 | null {
  const runtime: unknown = Reflect.get(globalThis, 'process');
  if (!hasMethod(runtime, 'getBuiltinModule')) return null;
  const crypto = runtime.getBuiltinModule('node:crypto');
  if (!hasMethod(crypto, 'hash')) return null;
  const { hash } = crypto;
  const native: Sha256 = (bytes) => {
    const digest = hash('sha256', bytes, 'buffer');
    if (!(digest instanceof Uint8Array)) throw new TypeError('node:crypto gave no bytes');
    // A plain view of it: Node's own class of bytes behaves differently in places.
    return new Uint8Array(digest.buffer, digest.byteOffset, digest.length);
  };
  return native;
}

function hasMethod<Name extends string>(
  value: unknown,
  name: Name,
): value is Record<Name, (...parameters: unknown[]) => unknown> {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, name) === 'function';
}
