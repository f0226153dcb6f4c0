import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ContextState, contextDecider } from '../../actors/context.ts';
import { recorded } from '../../actors/decider.ts';
import { Outbox } from '../../actors/outbox.ts';
import type { ContextEvent } from '../../events/context.ts';
import { sealEvent } from '../../events/envelope.ts';
import { derivedId } from '../../events/id.ts';
import { nextUlid } from '../../events/ulid.ts';
import { auditSink } from '../../src/delivery/audit-sink.ts';
import { readModelSink } from '../../src/delivery/sinks.ts';
import { hotLog } from '../support/hot-log.ts';

// Taken before a test puts its own in its place: the database answers in real time.
const realSetTimeout = setTimeout;

beforeEach(() => {
  // The middle of a minute, so that every run is cut into the same ones.
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'], now: Date.UTC(2026, 10, 24, 12, 0, 30) });
});

afterEach(() => {
  vi.useRealTimers();
});

/** The database, counting the rows that it writes, and how much it has under way. */
function counting() {
  const counts = { rowsWritten: 0, underWay: 0 };
  const counted = async <Value>(write: () => Promise<Value>, rowsOf: (value: Value) => number): Promise<Value> => {
    counts.underWay += 1;
    try {
      const value = await write();
      counts.rowsWritten += rowsOf(value);
      return value;
    } finally {
      counts.underWay -= 1;
    }
  };
  const rowsOfOne = ({ meta }: D1Result) => meta.rows_written;
  const db = new Proxy(env.DB, {
    get(target, key) {
      if (key === 'batch') {
        return (statements: D1PreparedStatement[]) =>
          counted(
            () => target.batch(statements),
            (results) => results.reduce((sum, result) => sum + rowsOfOne(result), 0),
          );
      }
      if (key !== 'prepare') return Reflect.get(target, key);
      return (query: string) => ({
        bind: (...values: unknown[]) => {
          const statement = target.prepare(query).bind(...values);
          // A batch takes the statement itself.
          return new Proxy(statement, {
            get: (bound, name) =>
              name === 'run' ? () => counted(() => bound.run(), rowsOfOne) : Reflect.get(bound, name),
          });
        },
      });
    },
  });
  return { db, counts };
}

/** Changes a context so often, for so long, with read models and audit trail behind it. @returns rows in D1 for a change */
async function rowsPerChange(name: string, perSecond: number, seconds: number): Promise<number> {
  const id = derivedId('ctx', name);
  const { db, counts } = counting();
  return runInDurableObject(env.COUNTERS.get(env.COUNTERS.idFromName(name)), async (_object, { storage: { sql } }) => {
    let state: ContextState = null;
    let version = 0;
    let lastId: string | undefined;
    const { log, cold } = hotLog(sql);
    log.create();
    const source = {
      log,
      cold,
      stream: () => `context/${id}`,
      state: () => state,
      version: () => version,
      armBy: () => undefined,
    };
    const outbox = new Outbox(sql, source, [readModelSink(db), auditSink({ DB: db })]);
    const append = ({ type, data }: ContextEvent) => {
      version += 1;
      lastId = nextUlid(Date.now(), lastId);
      const { text } = sealEvent({
        id: lastId,
        stream: `context/${id}`,
        version,
        type,
        schemaVersion: 1,
        time: new Date().toISOString(),
        actor: 'act_1',
        correlationId: `r${version}`,
        causationId: null,
        commandId: `c${version}`,
        data,
      });
      log.append(version, text);
      state = contextDecider.evolve(state, recorded<ContextEvent>(JSON.parse(text)));
      outbox.appended(Date.now());
    };
    const passes = async (ms: number) => {
      await vi.advanceTimersByTimeAsync(ms);
      while (counts.underWay > 0) {
        await new Promise((resolve) => realSetTimeout(resolve, 0));
        await vi.advanceTimersByTimeAsync(0);
      }
    };
    append({
      type: 'context_created',
      data: { name: 'New', description: '', owner: 'act_1', systems: [], tools: [], metadata: {} },
    });
    await passes(60_000);
    const before = counts.rowsWritten;
    const changes = perSecond * seconds;
    for (let change = 1; change <= changes; change++) {
      append({ type: 'context_updated', data: { name: `Quarterly planning ${change}` } });
      await passes(1_000 / perSecond);
    }
    await passes(60_000);
    expect([...outbox.cursors.values()].every(({ confirmed }) => confirmed === version)).toBe(true);
    return (counts.rowsWritten - before) / changes;
  });
}

describe('the rows in D1 that a change leads to', () => {
  // Rows of the audit trail and the feed are among them: one for each event would be five.
  it.each([
    [10, 120, 0.2],
    [60, 60, 0.1],
  ])('at %i changes a second', { timeout: 120_000 }, async (perSecond, seconds, most) => {
    const rows = await rowsPerChange(`busy rows ${perSecond}`, perSecond, seconds);
    console.log(`${perSecond} changes a second: ${rows.toFixed(4)} rows each`);
    expect(rows).toBeLessThan(most);
    expect(rows).toBeGreaterThan(0);
  });
});
