import type { Env } from '../env.ts';

/**
 * Has a stream deliver everything that it can, now.
 *
 * @param stream `<stream type>/<id>`
 * @returns false when there is no such type of stream
 */
export async function wake(env: Env, stream: string): Promise<boolean> {
  const [type, id = ''] = stream.split('/');
  switch (type) {
    case 'context':
      await env.CONTEXTS.get(env.CONTEXTS.idFromName(id)).flushOutbox();
      return true;
    case 'dead_letter':
      await env.DEAD_LETTERS.get(env.DEAD_LETTERS.idFromName(id)).flushOutbox();
      return true;
    default:
      return false;
  }
}
