import { base64url, calculateJwkThumbprint, importJWK, type JWK } from 'jose';
import { z } from 'zod';
import type { NewSigningKey, SigningKey } from '../../actors/signing-keys.ts';
import type { SigningPurpose } from '../../events/signing-keys.ts';
import type { Sealer } from './sealing.ts';

/** How tokens are signed: Ed25519 (RFC 8032), by the name that JOSE has for it (RFC 8037). */
export const SIGNING_ALGORITHM = 'EdDSA';

const exportedPair = z.object({ x: z.string(), d: z.string() });

/** Makes a key that signs from `notBefore` on; its private half leaves this function only sealed. */
export async function newSigningKey(sealer: Sealer, purpose: SigningPurpose, notBefore: Date): Promise<NewSigningKey> {
  const pair = await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify']);
  if (!('privateKey' in pair)) throw new Error('Ed25519 keys come in pairs');
  const { x, d } = exportedPair.parse(await crypto.subtle.exportKey('jwk', pair.privateKey));
  const publicJwk = { kty: 'OKP', crv: 'Ed25519', x } as const;
  const kid = await calculateJwkThumbprint(publicJwk, 'sha256');
  const sealedPrivateKey = await sealer.seal(base64url.decode(d), labelOf({ kid, purpose }));
  return { kid, purpose, publicJwk, sealedPrivateKey, notBefore: notBefore.toISOString() };
}

/** Opens a private key and seals it anew; null when it cannot be opened. */
export async function resealedPrivateKey(sealer: Sealer, key: SigningKey): Promise<string | null> {
  const secret = await sealer.open(key.sealedPrivateKey, labelOf(key));
  return secret && sealer.seal(secret, labelOf(key));
}

/** The private key, for signing only; null when it cannot be opened. */
export async function openPrivateKey(sealer: Sealer, key: SigningKey): Promise<CryptoKey | null> {
  const secret = await sealer.open(key.sealedPrivateKey, labelOf(key));
  return secret && importKey({ ...key.publicJwk, d: base64url.encode(secret) });
}

/** The public key, for verifying. */
export function openPublicKey({ publicJwk }: SigningKey): Promise<CryptoKey> {
  return importKey({ ...publicJwk });
}

async function importKey(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, SIGNING_ALGORITHM);
  if (key instanceof Uint8Array) throw new Error('an Ed25519 key is no secret');
  return key;
}

/** A private key opens only as what it was sealed as: neither under another name nor for another purpose. */
function labelOf({ kid, purpose }: Pick<SigningKey, 'kid' | 'purpose'>): string {
  return `signing key ${purpose} ${kid}`;
}
