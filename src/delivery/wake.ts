import type { Env } from '../env.ts';

/**
 * Has a stream deliver everything that it can, now.
 *
 * @param stream `<stream type>/<id>`
 * @returns whether it has nothing more to deliver; also true when there is no such type of stream
 */
export async function wake(env: Env, stream: string): Promise<boolean> {
  const [type, id = ''] = stream.split('/');
  switch (type) {
    case 'context':
      return env.CONTEXTS.get(env.CONTEXTS.idFromName(id)).flushOutbox();
    case 'actor':
      return env.ACTORS.get(env.ACTORS.idFromName(id)).flushOutbox();
    case 'dead_letter':
      return env.DEAD_LETTERS.get(env.DEAD_LETTERS.idFromName(id)).flushOutbox();
    case 'installation':
      return env.INSTALLATIONS.get(env.INSTALLATIONS.idFromName(id)).flushOutbox();
    default:
      return true;
  }
}
