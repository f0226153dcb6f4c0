import type { HandIn } from '../../actors/log-sink.ts';
import { shardOf } from '../../events/spread.ts';
import type { Env } from '../env.ts';
import type { Problem } from '../http/problem.ts';

/** Where the log of logs is: one object that writes it, and others that collect for it. */

/** Objects among which the streams are spread. */
const SHARDS = 16;

/** What is answered where there is no log. */
export const NO_LOG: Problem = {
  problem: 'not-configured',
  detail: 'There is no transparency log here: it needs the secret KEY_ENCRYPTION_KEY and the bucket LOG_TILES.',
};

/** Whether there is a log: somewhere to put its tiles, and something to keep its keys under. */
export function hasLog(env: Env): boolean {
  return Boolean(env.LOG_TILES && env.KEY_ENCRYPTION_KEY);
}

/** The log. */
export function transparencyLog(env: Env) {
  return env.TRANSPARENCY_LOG.get(env.TRANSPARENCY_LOG.idFromName('log'));
}

/** The shard that collects the heads of a stream and knows where in the log they are. */
export function transparencyShard(env: Env, stream: string) {
  return env.TRANSPARENCY_SHARDS.get(env.TRANSPARENCY_SHARDS.idFromName(`shard/${shardOf(stream, SHARDS)}`));
}

/** Where streams hand in their heads; null when there is no log. */
export function handInTo(env: Env): HandIn | null {
  if (!hasLog(env)) return null;
  return async (stream, head) => transparencyShard(env, stream).offer(stream, head);
}
