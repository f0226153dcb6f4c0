import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, expect, it, vi } from 'vitest';
import { AlarmClock } from '../../actors/alarm-clock.ts';
import { Outbox, type Progress } from '../../actors/outbox.ts';
import { hotLog } from '../support/hot-log.ts';

afterEach(() => {
  vi.useRealTimers();
});

it('a delivery that is too long for one request goes on in the next, at once, and counts as no failure', () =>
  runInDurableObject(env.COUNTERS.get(env.COUNTERS.idFromName('parts')), async (_object, { storage: { sql } }) => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
    const began = Date.now();
    const { log, cold } = hotLog(sql);
    log.create();
    log.append(1, '{}');
    let alarmAt = Number.POSITIVE_INFINITY;
    const storage = {
      getAlarm: async () => null,
      sync: async () => {},
      setAlarm: async (time: number) => {
        alarmAt = time;
      },
    };
    const clock = new AlarmClock({ storage, blockConcurrencyWhile: (work) => work() }, false);
    const armBy = (time: number, latest?: number) => clock.armBy(time, latest);
    const source = { log, cold, stream: () => 'counter/parts', state: () => null, version: () => 1, armBy };
    const parts: { at: number; inAlarm: boolean }[] = [];
    let inAlarm = false;
    const sink = {
      destinations: ['parts'],
      intervalMs: 1_000,
      isReady: () => true,
      deliver: async (): Promise<Progress> => {
        parts.push({ at: Date.now() - began, inAlarm });
        return parts.length < 20 ? { isUnfinished: true } : { confirmed: 1 };
      },
    };
    const monitor = { behind: vi.fn(async () => {}), caughtUp: vi.fn(async () => {}) };
    const outbox = new Outbox(sql, source, [sink], monitor);
    outbox.appended(began);
    await vi.advanceTimersByTimeAsync(0);
    expect(parts).toEqual([{ at: 0, inAlarm: false }]);
    while (outbox.cursors.get('parts')?.confirmed === 0) {
      expect(outbox.cursors.get('parts')).toMatchObject({ attempts: 0, lastError: null });
      await vi.advanceTimersByTimeAsync(alarmAt - Date.now());
      inAlarm = true;
      const soFar = parts.length;
      await clock.ring(() => outbox.alarm());
      expect(parts.length).toBe(soFar + 1);
      inAlarm = false;
    }
    expect(parts.slice(1).every((part) => part.inAlarm)).toBe(true);
    expect(parts.at(-1)?.at).toBeLessThan(2_500);
    expect(monitor.behind).not.toHaveBeenCalled();
  }));
