import { utf8ToBytes } from '@noble/hashes/utils.js';
import { base64url } from 'jose';
import type { SigningKey } from '../../actors/signing-keys.ts';
import type { Signed } from '../../actors/transparency-log-object.ts';
import { formatVerifierKey, SIGNATURE_TYPE, type VerifierKey, verifierKey } from '../../events/note-keys.ts';
import { signersOf } from '../auth/key-ring.ts';
import type { Env } from '../env.ts';
import { isProblem } from '../http/problem.ts';

/** How long a key goes on signing beside its successor, in milliseconds: so long have readers to learn of the new one. */
export const LOG_KEY_OVERLAP_MS = 30 * 24 * 60 * 60_000;

/**
 * Signs a checkpoint with every key of the log that signs now: while one takes over from another, these are both.
 *
 * @throws when no key can be opened
 */
export async function signCheckpoint(env: Env, origin: string, text: string): Promise<Signed> {
  const signers = await signersOf(env, 'log');
  if (isProblem(signers)) throw new Error(signers.detail);
  const made = await Promise.all(
    signers.map(async ({ signingKey, key }) => {
      const verifier = logKey(origin, signingKey);
      const signature = await crypto.subtle.sign('Ed25519', key, utf8ToBytes(text));
      return { verifier, bytes: new Uint8Array(signature) };
    }),
  );
  return {
    signatures: made.map(({ verifier, bytes }) => ({ name: verifier.name, keyId: verifier.id, bytes })),
    keys: made.map(({ verifier }) => formatVerifierKey(verifier)),
  };
}

/** A key of the ring as those who verify checkpoints know it. */
export function logKey(origin: string, { publicJwk }: Pick<SigningKey, 'publicJwk'>): VerifierKey {
  return verifierKey(origin, SIGNATURE_TYPE.note, base64url.decode(publicJwk.x));
}
