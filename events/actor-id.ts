import { BOOTSTRAP_ACTOR } from './bootstrap-actor.ts';
import { isId } from './id.ts';

/** The prefix of an actor's id. */
export const ACTOR_PREFIX = 'act';

/** Whether a text is the id of an actor, whoever may have it. */
export function isActorId(text: string): boolean {
  return text === BOOTSTRAP_ACTOR || isId(ACTOR_PREFIX, text);
}
