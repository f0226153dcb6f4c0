import { TransparencyLogActor } from '../../actors/transparency-log-object.ts';
import { TransparencyShardActor } from '../../actors/transparency-shard-object.ts';
import { tellLogged } from '../delivery/wake.ts';
import type { Env } from '../env.ts';
import { transparencyLog } from './log.ts';
import { signCheckpoint } from './signing.ts';
import { tileStore } from './tile-store.ts';
import { witnessesOf } from './witnesses.ts';

/** What a log is called that was given no name: as the service is reached, with this after it. */
const LOG_PATH = '/log';

/** The shortest time from one checkpoint to the next, in milliseconds: each costs a few writes to the bucket. */
const CHECKPOINT_MS = 2_000;
/** How long heads are collected, in milliseconds. A lone one is so logged before its stream's alarm asks for it. */
const COLLECT_MS = 1_000;

/** The log of logs. */
export class TransparencyLogObject extends TransparencyLogActor {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env, {
      origin: env.LOG_ORIGIN || new URL(env.PUBLIC_URL ?? 'https://connect.chitty.cc').host + LOG_PATH,
      intervalMs: CHECKPOINT_MS,
      tiles: tileStore(env.LOG_TILES),
      witnesses: witnessesOf(env.WITNESSES),
      sign: (origin, text) => signCheckpoint(env, origin, text),
    });
  }
}

/** Collects heads for it. */
export class TransparencyShardObject extends TransparencyShardActor {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env, {
      collectMs: COLLECT_MS,
      append: async (heads) => transparencyLog(env).append([...heads]),
      tell: (stream, size) => tellLogged(env, stream, size),
    });
  }
}
