import type { DeliveryReport } from '../../actors/outbox.ts';
import type { Env } from '../env.ts';

/** What of a stream's object delivers. */
interface Delivering {
  redeliver(destination: string, timeoutMs: number): Promise<boolean>;
  flushOutbox(): Promise<boolean>;
  resend(destination: string, from: number): Promise<boolean>;
  reportDelivery(reports: Readonly<Record<string, DeliveryReport>>): Promise<void>;
}

/**
 * Has a stream deliver everything that it can, now.
 *
 * @param stream `<stream type>/<id>`
 * @returns whether it has nothing more to deliver; also true when there is no such type of stream
 */
export async function wake(env: Env, stream: string): Promise<boolean> {
  return (await objectOf(env, stream)?.flushOutbox()) ?? true;
}

/**
 * Has a stream send everything from a version on to a destination again, when it next delivers.
 *
 * @returns false when the stream has no such destination
 */
export async function resend(env: Env, stream: string, destination: string, from: number): Promise<boolean> {
  return (await objectOf(env, stream)?.resend(destination, from)) ?? false;
}

/**
 * Has a stream send everything to a destination again that was emptied.
 *
 * @returns whether it has all; false when that takes longer than `timeoutMs`
 */
export async function redeliver(env: Env, stream: string, destination: string, timeoutMs: number): Promise<boolean> {
  return (await objectOf(env, stream)?.redeliver(destination, timeoutMs)) ?? true;
}

/** Tells a stream that the head of its first `size` events is in the log of logs. */
export async function tellLogged(env: Env, stream: string, size: number): Promise<void> {
  await objectOf(env, stream)?.reportDelivery({ log: { first: 1, last: size } });
}

function objectOf(env: Env, stream: string): Delivering | null {
  const [type, id = ''] = stream.split('/');
  switch (type) {
    case 'context':
      return env.CONTEXTS.get(env.CONTEXTS.idFromName(id));
    case 'actor':
      return env.ACTORS.get(env.ACTORS.idFromName(id));
    case 'audit':
      return env.AUDIT.get(env.AUDIT.idFromName(id));
    case 'connection':
      return env.CONNECTIONS.get(env.CONNECTIONS.idFromName(id));
    case 'dead_letter':
      return env.DEAD_LETTERS.get(env.DEAD_LETTERS.idFromName(id));
    case 'installation':
      return env.INSTALLATIONS.get(env.INSTALLATIONS.idFromName(id));
    case 'keyring':
      return env.SIGNING_KEYS.get(env.SIGNING_KEYS.idFromName(id));
    case 'limits':
      return env.LIMITS.get(env.LIMITS.idFromName(id));
    default:
      return null;
  }
}
