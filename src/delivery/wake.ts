import type { Env } from '../env.ts';
import { streamObject } from './stream-object.ts';

/**
 * Has a stream do what is due, as its alarm would. What waits for a confirmation, or because it was refused, goes on
 * waiting.
 *
 * @param stream `<stream type>/<id>`
 * @returns whether it has nothing more to deliver; also true when there is no such type of stream
 */
export async function wake(env: Env, stream: string): Promise<boolean> {
  return (await streamObject(env, stream)?.wake()) ?? true;
}

/** Has a stream deliver everything that it can, now, whatever it was waiting for. @param stream `<stream type>/<id>` */
export async function deliverNow(env: Env, stream: string): Promise<void> {
  await streamObject(env, stream)?.flushOutbox();
}

/**
 * Has a stream send everything from a version on to a destination again, when it next delivers.
 *
 * @returns false when the stream has no such destination
 */
export async function resend(env: Env, stream: string, destination: string, from: number): Promise<boolean> {
  return (await streamObject(env, stream)?.resend(destination, from)) ?? false;
}

/**
 * Has a stream send everything from a version on to a destination again that was emptied, now.
 *
 * @returns whether it has all; false when that takes longer than `timeoutMs`
 */
export async function redeliver(
  env: Env,
  stream: string,
  destination: string,
  from: number,
  timeoutMs: number,
): Promise<boolean> {
  return (await streamObject(env, stream)?.redeliver(destination, from, timeoutMs)) ?? true;
}

/** Tells a stream that the head of its first `size` events is in the log of logs: there now, whatever brought it. */
export async function tellLogged(env: Env, stream: string, size: number): Promise<void> {
  await streamObject(env, stream)?.reportDelivery({
    log: { first: 1, last: size, generation: Number.POSITIVE_INFINITY },
  });
}
