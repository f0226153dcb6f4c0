import type { ActorEvent } from '../events/actor.ts';

type Rotation = Pick<Extract<ActorEvent, { type: 'key_rotated' }>['data'], 'key' | 'successor'>;

/**
 * The keys that have taken a key's place one after the other, in the order in which they did; also of a key that has
 * ended long since, and across such keys.
 *
 * @param rotations those of the key's actor, in any order
 */
export function successorsOf(key: string, rotations: Iterable<Rotation>): readonly string[] {
  const next = new Map<string, string>();
  for (const { key: old, successor } of rotations) next.set(old, successor);
  const found: string[] = [];
  for (let at = next.get(key); at !== undefined; at = next.get(at)) found.push(at);
  return found;
}
