import { Directory } from '../../actors/directory.ts';
import type { WordsPort } from '../../actors/words.ts';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { ensureFirstAdministrator } from '../auth/first-administrator.ts';
import type { Env } from '../env.ts';
import { keyWrapOf } from './key-wrap.ts';

/** What the objects need that hold people's words. */
export function wordsPort(env: Env): WordsPort {
  return {
    wrap: keyWrapOf(env),
    async introduce(subject, stream) {
      // Asking an object creates it, and a rule can name any actor.
      if (subject === BOOTSTRAP_ACTOR) await ensureFirstAdministrator(env);
      const isThere = subject === BOOTSTRAP_ACTOR || (await new Directory(env.DIRECTORY).has(`actor/${subject}`));
      return isThere ? env.ACTORS.get(env.ACTORS.idFromName(subject)).noteHolder(stream) : 'unknown';
    },
  };
}
