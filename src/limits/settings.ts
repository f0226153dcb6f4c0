import { isRefusal } from '../../actors/decider.ts';
import type { LimitsRecord } from '../../actors/limits.ts';
import { SYSTEM } from '../../actors/principal.ts';
import { DEFAULT_LIMITS, LIMITS_ID, type Limits } from '../../events/limits.ts';
import type { Env } from '../env.ts';
import { readModelBacklog } from '../metrics/outbox.ts';
import { isWithin } from '../within.ts';
import { pressure } from './pressure.ts';

/** How long limits are used before it is looked whether they have changed, in milliseconds. */
const FRESH_MS = 2_000;

/** The limits as this isolate knows them. */
let known: Limits = DEFAULT_LIMITS;
/** When they were asked for last, in milliseconds since 1970. */
let askedAt = 0;

/**
 * The limits. Never waited for: they are looked up in the background, so that a change holds a few seconds later, and
 * when they cannot be had the last ones stay.
 */
export function limitsOf(env: Env, execution: ExecutionContext): Limits {
  const now = Date.now();
  if (!isWithin(FRESH_MS, askedAt, now)) {
    askedAt = now;
    execution.waitUntil(refresh(env).catch(() => undefined));
  }
  return known;
}

/** Takes limits that were set just now, by this isolate. */
export function noteLimits(limits: Limits): void {
  known = limits;
  askedAt = Date.now();
}

async function refresh(env: Env): Promise<void> {
  pressure.noteBacklog(await readModelBacklog(env));
  const view = await env.LIMITS.get(env.LIMITS.idFromName(LIMITS_ID)).view(SYSTEM);
  if (isRefusal(view)) {
    known = DEFAULT_LIMITS;
    return;
  }
  const { limits }: LimitsRecord = JSON.parse(view.body);
  known = limits;
}
