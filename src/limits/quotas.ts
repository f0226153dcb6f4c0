import type { Quotas } from '../../actors/quota-object.ts';
import type { Env } from '../env.ts';
import type { Counted } from './headers.ts';

/** Requests that an isolate asks for at once, at most. */
const LEASE_MAX = 100;
/** The part of what is left of a quota that one lease may take: the nearer the end, the smaller the leases. */
const LEASE_PART = 20;
/** Actors whose leases are kept. */
const LEASES_MAX = 10_000;

interface Held {
  /** Requests that may still be let through. */
  unused: number;
  /** The UTC day that it was for. */
  readonly day: string;
  readonly left: Quotas;
}

/** What an actor has left of their quotas. */
export interface QuotaReading {
  readonly isAllowed: boolean;
  readonly left: Quotas;
}

const leases = new Map<string, Held>();

/**
 * Uses one request of an actor's quotas up, if there is one: out of what this isolate has in hand, else it asks the one
 * object that counts.
 */
export async function takeQuota(env: Env, actor: string, quotas: Quotas, now: number): Promise<QuotaReading> {
  const day = new Date(now).toISOString().slice(0, 10);
  const held = leases.get(actor);
  if (held && held.day === day && held.unused > 0) {
    held.unused -= 1;
    return { isAllowed: true, left: leftOf(held) };
  }
  const smallest = Math.min(held?.left.day ?? quotas.day ?? LEASE_MAX, held?.left.month ?? quotas.month ?? LEASE_MAX);
  const wanted = Math.max(1, Math.min(LEASE_MAX, Math.floor(smallest / LEASE_PART)));
  const object = env.QUOTAS.get(env.QUOTAS.idFromName(actor));
  const { granted, left } = await object.lease(quotas, wanted, now);
  if (granted === 0) return { isAllowed: false, left };
  // Another request may have asked meanwhile: what it got is used as well.
  const others = leases.get(actor);
  const unused = granted - 1 + (others && others.day === day ? others.unused : 0);
  if (leases.size >= LEASES_MAX) leases.clear();
  const lease = { unused, day, left };
  leases.set(actor, lease);
  return { isAllowed: true, left: leftOf(lease) };
}

/** An actor's quotas as limits are told. @param left what there is of them, as `takeQuota` gives it */
export function countedQuotas(quotas: Quotas, left: Quotas, now: number): Counted[] {
  return (['day', 'month'] as const).flatMap((policy) => {
    const [requests, remaining] = [quotas[policy], left[policy]];
    if (requests === null || remaining === null) return [];
    const { beginsAt, endsAt } = periodOf(policy, now);
    const resetS = Math.ceil((endsAt - now) / 1000);
    const reading = { isAllowed: remaining > 0, remaining, resetS, retryAfterS: remaining > 0 ? 0 : resetS };
    return [{ policy, rate: { requests, seconds: (endsAt - beginsAt) / 1000 }, reading }];
  });
}

/** The UTC day or month that a time is in, from its first millisecond to that of the next (milliseconds since 1970). */
export function periodOf(policy: keyof Quotas, now: number): { readonly beginsAt: number; readonly endsAt: number } {
  const date = new Date(now);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  return policy === 'month'
    ? { beginsAt: Date.UTC(year, month), endsAt: Date.UTC(year, month + 1) }
    : { beginsAt: Date.UTC(year, month, day), endsAt: Date.UTC(year, month, day + 1) };
}

function leftOf({ left, unused }: Held): Quotas {
  return {
    day: left.day === null ? null : left.day + unused,
    month: left.month === null ? null : left.month + unused,
  };
}
