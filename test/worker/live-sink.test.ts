import { describe, expect, it } from 'vitest';
import type { EndedAccess } from '../../actors/ended-access.ts';
import { liveSink } from '../../actors/live-sink.ts';

const REVOKED = { type: 'key_revoked', data: { key: 'key_1' } };
const SUSPENDED = { type: 'actor_suspended', data: { reason: '' } };
const UPDATED = { type: 'actor_updated', data: { name: 'x' } };

/** Contexts `c000`, `c001` … that have been watched, and what they were told. */
function world(contexts: number) {
  const ids = Array.from({ length: contexts }, (_, index) => `c${String(index).padStart(4, '0')}`);
  const told: [string, EndedAccess][] = [];
  const down = new Set<string>();
  const list = (after: string, limit: number) => ids.filter((id) => id > after).slice(0, limit);
  const sink = liveSink({ list }, async (context, ended) => {
    if (down.has(context)) throw new Error(`${context} is down`);
    told.push([context, ended]);
  });
  const deliver = (first: number, ...events: object[]) => {
    const stored = events.map((event, index) => ({ version: first + index, text: JSON.stringify(event) }));
    return sink.deliver({
      stream: 'actor/act_1',
      state: null,
      version: first + events.length - 1,
      destinations: ['live'],
      generation: 0,
      eventsBefore: () => [],
      events: () => stored,
    });
  };
  return { ids, told, down, deliver };
}

describe('word of ended credentials', () => {
  it('goes to every context that has been watched, and says all that ended', async () => {
    const { ids, told, deliver } = world(120);
    expect(await deliver(5, UPDATED, REVOKED, SUSPENDED)).toEqual({ confirmed: 7 });
    expect(told.map(([id]) => id)).toEqual(ids);
    expect(told[0]?.[1]).toMatchObject({ credentials: ['key_1'], actors: ['act_1'] });
  });

  it('is not sent when nothing ended', async () => {
    const { told, deliver } = world(3);
    expect(await deliver(2, UPDATED)).toEqual({ confirmed: 2 });
    expect(told).toEqual([]);
  });

  it('is not confirmed while a context has not heard it', async () => {
    const { told, down, deliver } = world(3);
    down.add('c0001');
    await expect(deliver(2, REVOKED)).rejects.toThrow('c0001 is down');
    down.clear();
    expect(await deliver(2, REVOKED)).toEqual({ confirmed: 2 });
    expect(new Set(told.map(([id]) => id)).size).toBe(3);
  });

  it('to more contexts than one delivery can tell goes on where it stood', async () => {
    const { ids, told, deliver } = world(1_234);
    let deliveries = 1;
    while (!(await deliver(2, REVOKED).catch(() => null))) deliveries += 1;
    expect(deliveries).toBe(3);
    expect(told.map(([id]) => id)).toEqual(ids);
  });
});
