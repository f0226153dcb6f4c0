import type { AccessView } from '../../actors/actor-access.ts';
import type { Principal } from '../../actors/principal.ts';
import { sha256Hex } from '../../events/hash.ts';
import type { Env } from '../env.ts';
import { accessView, freshAccessView, noteUse } from './access-views.ts';
import { actorOfKey } from './api-key.ts';
import { equalInConstantTime } from './constant-time.ts';

interface Hashed {
  readonly actor: string;
  readonly hash: string;
}

/** Keys that were found right, with their hashes: neither checksum nor hash is computed again. Wrong ones are not kept. */
const verified = new Map<string, Hashed>();

/** Keys that are remembered before all are forgotten. */
const VERIFIED_MAX = 1_000;

/**
 * Finds out whose API key this is.
 *
 * @returns null when it is no key, or none that is good (now), whatever the reason
 */
export function authenticateKey(env: Env, text: string): Principal | null | Promise<Principal | null> {
  const hashed = verified.get(text) ?? hashedKey(text);
  if (hashed === null) return null;
  const check = (view: AccessView) => {
    const principal = principalOfKey(view, hashed.hash, Date.now());
    if (principal === null) return null;
    if (verified.size >= VERIFIED_MAX) verified.clear();
    verified.set(text, hashed);
    noteUse(env, hashed.actor, principal.credential.id);
    return principal;
  };
  const view = accessView(env, hashed.actor);
  if (view instanceof Promise) return view.then(check);
  // What is known may be a little older than the key.
  return check(view) ?? freshAccessView(env, hashed.actor).then(check);
}

function hashedKey(text: string): Hashed | null {
  const actor = actorOfKey(text);
  return actor === null ? null : { actor, hash: sha256Hex(text) };
}

/** Compares with every key of the actor, so that the time tells nothing about which it was. */
function principalOfKey(
  { actor, status, capabilities, keys }: AccessView,
  hash: string,
  now: number,
): Principal | null {
  const found = keys.filter((key) => equalInConstantTime(key.hash, hash))[0];
  const expiresAt = found?.expiresAt ? Date.parse(found.expiresAt) : null;
  if (!found || status !== 'active' || (expiresAt !== null && expiresAt <= now)) return null;
  const { id, scopes, contexts } = found;
  return {
    actor,
    subject: actor,
    capabilities,
    scopes,
    contexts,
    credential: { kind: 'api-key', id },
    chain: [],
    expiresAt,
  };
}
