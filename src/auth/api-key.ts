import { ACTOR_PREFIX, isActorId } from '../../events/actor.ts';
import { sha256Hex } from '../../events/hash.ts';
import { randomLetters, readCredential, SECRET_LENGTH, writeCredential } from './credential-text.ts';

/** What every API key begins with. */
const PREFIX = 'cck';

/** Characters of an actor's id before its ULID. */
const ACTOR_START = ACTOR_PREFIX.length + 1;

/** A new API key of an actor and the hash by which it is known from then on. */
export function newApiKey(actor: string): { readonly key: string; readonly hash: string } {
  const key = writeCredential(PREFIX, [actor.slice(ACTOR_START)], randomLetters(SECRET_LENGTH));
  return { key, hash: sha256Hex(key) };
}

/** The id of the actor whose key this would be; null when it is no such key. */
export function actorOfKey(text: string): string | null {
  const actor = `${ACTOR_PREFIX}_${readCredential(PREFIX, 1, SECRET_LENGTH, text)?.ulids[0] ?? ''}`;
  return isActorId(actor) ? actor : null;
}
