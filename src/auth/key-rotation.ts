import type { CommandReply, CommandRequest, RefusalReply } from '../../actors/messages.ts';
import type { SigningKeysCommand } from '../../actors/signing-keys.ts';
import type { SigningPurpose } from '../../events/signing-keys.ts';
import type { Env } from '../env.ts';
import type { Problem } from '../http/problem.ts';
import { changeRing, loadKeys, NOT_CONFIGURED, RING_FRESH_MS } from './key-ring.ts';
import { sealerOf } from './sealing.ts';
import { newSigningKey, resealedPrivateKey } from './signing-key.ts';

/** How long a key is published before it signs, in milliseconds: those who cache the public keys know it by then. */
export const PUBLISHED_AHEAD_MS = 5 * 60_000;

/** Who asks for a change of the keys, and why. */
type By = Pick<CommandRequest<SigningKeysCommand>, 'principal' | 'cause'>;

/**
 * Makes a new key and retires those before it, which verify until all that they may have signed has expired.
 *
 * @param longestMs the longest life of what keys of this purpose sign, in milliseconds
 * @param isCompromised whether what the keys before it have signed is refused from now on, because one has leaked
 */
export async function rotateKeys(
  env: Env,
  purpose: SigningPurpose,
  longestMs: number,
  isCompromised: boolean,
  by: By,
): Promise<CommandReply | RefusalReply | Problem> {
  const sealer = await sealerOf(env);
  if (sealer === null) return NOT_CONFIGURED;
  const now = Date.now();
  const at = new Date(now).toISOString();
  const begins = isCompromised ? now : now + PUBLISHED_AHEAD_MS;
  // Isolates that have yet to load the new key sign with the old one a little longer.
  const ends = isCompromised ? now : begins + RING_FRESH_MS + longestMs;
  const key = await newSigningKey(sealer, purpose, new Date(begins));
  return changeRing(env, { command: { type: 'rotate', key, at, validUntil: new Date(ends).toISOString() }, ...by });
}

/** Encrypts all private keys anew, under the present KEY_ENCRYPTION_KEY; a problem when one of them cannot be opened. */
export async function resealKeys(env: Env, by: By): Promise<CommandReply | RefusalReply | Problem> {
  const sealer = await sealerOf(env);
  if (sealer === null) return NOT_CONFIGURED;
  const keys: { kid: string; sealedPrivateKey: string }[] = [];
  for (const key of await loadKeys(env, 0)) {
    const sealedPrivateKey = await resealedPrivateKey(sealer, key);
    if (sealedPrivateKey === null) return NOT_CONFIGURED;
    keys.push({ kid: key.kid, sealedPrivateKey });
  }
  return changeRing(env, { command: { type: 'reseal', keys }, ...by });
}
