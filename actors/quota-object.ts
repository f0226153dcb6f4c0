import { DurableObject } from 'cloudflare:workers';

/** Requests that may be made in a UTC day and in a UTC month; null for as many as one likes. */
export interface Quotas {
  readonly day: number | null;
  readonly month: number | null;
}

/** What an isolate got of an actor's quota. */
export interface Lease {
  /** Requests that it may let through; 0 when a quota is used up. */
  readonly granted: number;
  /** What is left of each quota after this, in other isolates' hands not included. */
  readonly left: Quotas;
}

/**
 * How much of their quotas one actor has used. It is counted here and nowhere else, and handed out in leases before it
 * is used: so no number of isolates can ever let more through than the quota, and few requests have to ask. A lease that
 * dies with its isolate counts as used.
 */
export class QuotaObject extends DurableObject<unknown> {
  readonly #sql = this.ctx.storage.sql;

  /** Hands out up to `wanted` requests. @param now milliseconds since 1970 */
  lease(quotas: Quotas, wanted: number, now: number): Lease {
    const [day, month] = periodsOf(now);
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS used (period TEXT PRIMARY KEY, requests INTEGER NOT NULL) WITHOUT ROWID',
    );
    const used = new Map(
      this.#sql
        .exec<{ period: string; requests: number }>(
          'SELECT period, requests FROM used WHERE period IN (?, ?)',
          day,
          month,
        )
        .toArray()
        .map(({ period, requests }) => [period, requests]),
    );
    const left = {
      day: quotas.day === null ? null : Math.max(0, quotas.day - (used.get(day) ?? 0)),
      month: quotas.month === null ? null : Math.max(0, quotas.month - (used.get(month) ?? 0)),
    };
    const granted = Math.min(wanted, left.day ?? wanted, left.month ?? wanted);
    if (granted > 0) {
      for (const period of [day, month]) {
        this.#sql.exec('INSERT OR REPLACE INTO used VALUES (?, ?)', period, (used.get(period) ?? 0) + granted);
      }
      this.#sql.exec('DELETE FROM used WHERE period NOT IN (?, ?)', day, month);
    }
    return {
      granted,
      left: {
        day: left.day === null ? null : left.day - granted,
        month: left.month === null ? null : left.month - granted,
      },
    };
  }
}

/** The UTC day and month of a time. */
function periodsOf(now: number): [day: string, month: string] {
  const time = new Date(now).toISOString();
  return [time.slice(0, 10), time.slice(0, 7)];
}
