import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Envelope } from '../../events/envelope.ts';
import { firstUlidOf, nextUlid } from '../../events/ulid.ts';
import { clearAudit, listAudit } from '../../projections/audit.ts';
import type { AuditRow } from '../../projections/audit-entries.ts';
import { forgetOldAudit } from '../../src/delivery/audit-retention.ts';
import { auditSink } from '../../src/delivery/audit-sink.ts';
import { sweep } from '../../src/delivery/sweeper.ts';
import { api, createContext } from '../support/api.ts';
import { auditedLike, auditTrail, payTrail } from '../support/audit.ts';
import { printedSeed } from '../support/seed.ts';

const START = Date.UTC(2026, 10, 24, 12);
const STREAM = 'context/ctx_x';

/** What an event is made of; the rest is the same for all. */
interface Act {
  readonly afterMs: number;
  readonly actor?: string;
  readonly type?: string;
  readonly field?: string;
  readonly credential?: string;
}

/** A log with these events. */
function logOf(acts: readonly Act[], stream = STREAM): Envelope[] {
  let time = START;
  let id: string | undefined;
  return acts.map(
    ({ afterMs, actor = 'act_a', type = 'context_updated', field = 'name', credential = 'key_a' }, index) => {
      time += afterMs;
      id = nextUlid(time, id);
      return {
        id,
        stream,
        version: index + 1,
        type,
        schemaVersion: 1,
        time: new Date(time).toISOString(),
        actor,
        credential,
        correlationId: `request-${index + 1}`,
        causationId: null,
        commandId: `request-${index + 1}`,
        data: { [field]: 'value' },
        leafHash: '0'.repeat(64),
      };
    },
  );
}

/** Delivers `count` events after a version, as an outbox that stands there does. */
async function deliver(log: readonly Envelope[], after: number, count: number, AUDIT_KEEP_DAYS = ''): Promise<void> {
  const stored = log.map((envelope) => ({ version: envelope.version, text: JSON.stringify(envelope) }));
  await auditSink({ DB: env.DB, AUDIT_KEEP_DAYS }).deliver({
    stream: STREAM,
    state: null,
    version: log.length,
    destinations: ['audit'],
    events: () => stored.slice(after, after + count),
    generation: 0,
    eventsBefore: (before) => stored.slice(Math.max(0, after - before), after),
  });
}

async function rows(): Promise<AuditRow[]> {
  return (await listAudit(env.DB, { among: null, withSystem: true, limit: 10_000 })).reverse();
}

const rangesOf = (entries: readonly AuditRow[]) =>
  entries.map(({ detail, last_version, occurrences }) => [JSON.parse(detail).version, last_version, occurrences]);

beforeEach(() => clearAudit(env.DB));

describe('changes that are alike', () => {
  it('are one entry, which says from which version to which, how many they are, and from when to when', async () => {
    await deliver(logOf([{ afterMs: 0 }, { afterMs: 500 }, { afterMs: 1_000 }]), 0, 3);
    expect(await rows()).toMatchObject([
      {
        time: '2026-11-24T12:00:00.000Z',
        command_id: 'request-1',
        last_version: 3,
        last_time: '2026-11-24T12:00:01.500Z',
        occurrences: 3,
      },
    ]);
  });

  it('are entries of their own when anything that is said of them differs', async () => {
    const differing: Act[] = [
      { afterMs: 0, actor: 'act_b' },
      { afterMs: 0, type: 'context_deleted' },
      { afterMs: 0, field: 'tools' },
      { afterMs: 0, credential: 'key_b' },
    ];
    await deliver(logOf([{ afterMs: 0 }, ...differing, { afterMs: 0 }]), 0, 6);
    expect(rangesOf(await rows())).toEqual([
      [1, 6, 2],
      [2, null, null],
      [3, null, null],
      [4, null, null],
      [5, null, null],
    ]);
  });

  it('end with the minute, and with every 256th version', async () => {
    await deliver(logOf([{ afterMs: 59_999 }, { afterMs: 0 }, { afterMs: 1 }]), 0, 3);
    expect(rangesOf(await rows())).toEqual([
      [1, 2, 2],
      [3, null, null],
    ]);
    await clearAudit(env.DB);
    await deliver(logOf(Array.from({ length: 257 }, () => ({ afterMs: 1 }))), 0, 257);
    expect(rangesOf(await rows())).toEqual([
      [1, 256, 256],
      [257, null, null],
    ]);
  });

  it('are not refusals and reads, which are an entry each', async () => {
    const act = { afterMs: 0, type: 'sensitive_read' };
    await deliver(logOf([act, act, act], 'audit/20261124_00'), 0, 3);
    expect(rangesOf(await rows())).toEqual([
      [1, null, null],
      [2, null, null],
      [3, null, null],
    ]);
  });

  it('end in the same rows however they are delivered: in parts, twice, out of order', {
    timeout: 60_000,
  }, async () => {
    const act = fc.record({
      afterMs: fc.constantFrom(0, 1, 900, 20_000, 60_000),
      actor: fc.constantFrom('act_a', 'act_b', 'act_system'),
      field: fc.constantFrom('name', 'tools'),
    });
    // Long enough for two spans at times.
    const acts = fc
      .tuple(fc.integer({ min: 0, max: 256 }), fc.array(act, { minLength: 1, maxLength: 40 }))
      .map(([before, some]) => [...Array.from({ length: before }, () => ({ afterMs: 1 })), ...some]);
    const parts = fc.array(fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 120 })), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(acts, parts, fc.integer({ min: 1, max: 100 }), async (some, delivered, step) => {
        const log = logOf(some);
        await clearAudit(env.DB);
        await deliver(log, 0, log.length);
        const atOnce = await rows();
        const total = atOnce.reduce((sum, { occurrences }) => sum + (occurrences ?? 1), 0);
        expect(total).toBe(log.length);
        expect(atOnce.map(({ id }) => id)).toEqual(atOnce.map(({ id }) => id).toSorted());

        await clearAudit(env.DB);
        for (const [after, count] of delivered) await deliver(log, after, count);
        for (let after = 0; after < log.length; after += step) await deliver(log, after, step);
        for (const [after, count] of delivered.toReversed()) await deliver(log, after, count);
        expect(await rows()).toEqual(atOnce);
      }),
      { seed: printedSeed('audit entries'), numRuns: 40 },
    );
  });

  it('are found by the time of any of them, and shown whole', async () => {
    // 12:00:10, :20 and :30.
    await deliver(logOf([{ afterMs: 10_000 }, { afterMs: 10_000 }, { afterMs: 10_000 }]), 0, 3);
    const at = (seconds: number) => new Date(START + seconds * 1_000).toISOString();
    const between = async (from?: number, to?: number) => {
      const found = await listAudit(env.DB, {
        among: null,
        withSystem: true,
        limit: 10,
        ...(from !== undefined && { from: at(from) }),
        ...(to !== undefined && { before: firstUlidOf(Date.parse(at(to))) }),
      });
      return rangesOf(found);
    };
    const whole = [[1, 3, 3]];
    for (const [from, to] of [
      [10, 40],
      [20, 21],
      [30, undefined],
      [undefined, 10.001],
      [29, 30],
    ]) {
      expect(await between(from, to), `${from} to ${to}`).toEqual(whole);
    }
    for (const [from, to] of [
      [30.001, undefined],
      [undefined, 10],
      [0, 10],
      [40, 50],
    ]) {
      expect(await between(from, to), `${from} to ${to}`).toEqual([]);
    }
  });
});

describe('where the trail is kept for some days', () => {
  const HOUR_MS = 60 * 60_000;
  const DAY_MS = 24 * HOUR_MS;
  // An hour before it is as old as that, and after it.
  const acts = [{ afterMs: Date.now() - 30 * DAY_MS - HOUR_MS - START }, { afterMs: 2 * HOUR_MS }, { afterMs: DAY_MS }];
  const keepers = { DB: env.DB, AUDIT_KEEP_DAYS: '30' };

  it('what is older is removed each minute, and nothing else', async () => {
    await deliver(logOf(acts), 0, 3);
    await forgetOldAudit({ DB: env.DB });
    expect(await rows()).toHaveLength(3);
    await forgetOldAudit(keepers);
    expect(rangesOf(await rows())).toEqual([
      [2, null, null],
      [3, null, null],
    ]);
  });

  it('the sweep does it, also where it is much', async () => {
    const many = Array.from({ length: 2_500 }, () => ({ afterMs: 1, type: 'access_refused' }));
    const old = { afterMs: Date.now() - 60 * DAY_MS - START };
    await deliver(logOf([old, ...many], 'audit/20260926_00'), 0, 2_501);
    await sweep({ ...env, AUDIT_KEEP_DAYS: '30' });
    const kept = new Date(Date.now() - 30 * DAY_MS).toISOString();
    expect((await rows()).filter(({ time }) => time < kept)).toEqual([]);
    // It made the first administrator, which is an entry as well and must not come among those of the next test.
    await payTrail();
  });

  it('a rebuild does not bring it back', async () => {
    await deliver(logOf(acts), 0, 3, keepers.AUDIT_KEEP_DAYS);
    expect(rangesOf(await rows())).toEqual([
      [2, null, null],
      [3, null, null],
    ]);
  });

  it.each(['', '0', '-1', 'a year', '1e3'])('all is kept when that is "%s"', async (AUDIT_KEEP_DAYS) => {
    await deliver(logOf(acts), 0, 3, AUDIT_KEEP_DAYS);
    await forgetOldAudit({ DB: env.DB, AUDIT_KEEP_DAYS });
    expect(await rows()).toHaveLength(3);
  });
});

describe('over the API', () => {
  it('a burst of changes is few entries, which leave none out', async () => {
    const { id } = await createContext();
    for (let n = 0; n < 12; n++) await api(`/v1/contexts/${id}`, { method: 'PATCH', json: { name: `Name ${n}` } });
    const query = `context=${id}&action=context_updated`;
    const entries = await auditedLike(query, (found) => {
      expect(found.reduce((sum, { occurrences }) => sum + Number(occurrences ?? 1), 0)).toBe(12);
      return found;
    });
    // The minute may have ended meanwhile.
    expect(entries.length).toBeLessThanOrEqual(2);
    const [last] = entries;
    // It may have ended before the last of them, which is an entry of one change then.
    expect([last?.['lastVersion'] ?? last?.version, last?.fields]).toEqual([13, ['name']]);
    const lastTime = String(last?.['lastTime'] ?? last?.time);
    expect(await auditTrail(`${query}&from=${encodeURIComponent(lastTime)}`)).toEqual([last]);
  });
});
