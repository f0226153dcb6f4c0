import { BOOTSTRAP_KEY } from '../../actors/actor-sessions.ts';
import { sha256Hex } from '../../events/hash.ts';
import type { Env } from '../env.ts';
import { equalInConstantTime } from './constant-time.ts';

/** Digits of the key's hash that tell one bootstrap key from another: nothing that helps to guess it. */
const HASH_DIGITS = 16;

/**
 * Credentials that were found right, with the hash they have: the next request with the same one need not be hashed. One
 * that is wrong is never kept, so nothing can be guessed against it.
 */
const verified = new Map<string, string>();

/** Credentials that are remembered before all are forgotten. */
const VERIFIED_MAX = 1_000;

/** The hash of a configured key, by the key: computed once per isolate. */
const hashOfKey = new Map<string, string>();

/** Whether a credential is the bootstrap key. */
export function isBootstrapKey(credential: string, env: Env): boolean {
  const expected = bootstrapKeyHash(env);
  if (expected === null) return false;
  if (verified.get(credential) === expected) return true;
  if (!equalInConstantTime(sha256Hex(credential), expected)) return false;
  if (verified.size >= VERIFIED_MAX) verified.clear();
  verified.set(credential, expected);
  return true;
}

/** What the sessions that the present bootstrap key starts are started with: another key ends them. */
export function bootstrapKeyId(env: Env): string {
  return `${BOOTSTRAP_KEY}:${(bootstrapKeyHash(env) ?? '').slice(0, HASH_DIGITS)}`;
}

/** The hash of a configured key. */
export function hashOf(key: string): string {
  const known = hashOfKey.get(key) ?? sha256Hex(key);
  hashOfKey.set(key, known);
  return known;
}

function bootstrapKeyHash(env: Env): string | null {
  if (env.BOOTSTRAP_API_KEY_SHA256) return env.BOOTSTRAP_API_KEY_SHA256.trim().toLowerCase();
  return env.BOOTSTRAP_API_KEY ? hashOf(env.BOOTSTRAP_API_KEY) : null;
}
