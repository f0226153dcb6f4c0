import { removeAuditBefore } from '../../projections/audit.ts';
import { minuteOf } from '../../projections/audit-entries.ts';
import type { Env } from '../env.ts';
import { readKeepDays } from './keep-days.ts';

const DAY_MS = 24 * 60 * 60_000;
/** Turns in which something is removed, each minute at most. */
const BATCHES = 5;

/**
 * From when on the trail in D1 has entries (ISO 8601); null for all there are. The logs keep what it no longer has. A
 * setting that makes no sense removes nothing.
 */
export function auditKeptSince(keepDays: string | undefined, now: number): string | null {
  const days = readKeepDays(keepDays);
  if (days === undefined) {
    console.error(JSON.stringify({ level: 'error', message: `AUDIT_KEEP_DAYS is "${keepDays}": all is kept` }));
  }
  return days ? minuteOf(new Date(now - days * DAY_MS).toISOString()) : null;
}

/** Removes what is older than is to be kept, in turns that leave room for everything else. */
export async function forgetOldAudit({ DB, AUDIT_KEEP_DAYS }: Pick<Env, 'DB' | 'AUDIT_KEEP_DAYS'>): Promise<void> {
  const since = auditKeptSince(AUDIT_KEEP_DAYS, Date.now());
  if (since === null) return;
  for (let batch = 0; batch < BATCHES; batch++) {
    if (!(await removeAuditBefore(DB, since))) return;
  }
}
