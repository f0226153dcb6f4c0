import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { EndedAccess } from '../../actors/ended-access.ts';
import { liveSink } from '../../actors/live-sink.ts';
import { Watching } from '../../actors/watching.ts';

const REVOKED = { type: 'key_revoked', data: { key: 'key_1' } };
const SUSPENDED = { type: 'actor_suspended', data: { reason: '' } };
const UPDATED = { type: 'actor_updated', data: { name: 'x' } };

/** Contexts `c0000`, `c0001` … that have been watched, and what they were told. */
function world(contexts: number) {
  const ids = Array.from({ length: contexts }, (_, index) => `c${String(index).padStart(4, '0')}`);
  const told: [string, EndedAccess][] = [];
  const down = new Set<string>();
  const watching: Pick<Watching, 'list' | 'announcement'> = {
    list: (after: string, limit: number) => ids.filter((id) => id > after).slice(0, limit),
    announcement: null,
  };
  // A new one each time, as an object has it that was idle between two deliveries.
  const deliver = (first: number, ...events: object[]) => {
    const stored = events.map((event, index) => ({ version: first + index, text: JSON.stringify(event) }));
    const sink = liveSink(watching, async (context, ended) => {
      if (down.has(context)) throw new Error(`${context} is down`);
      told.push([context, ended]);
    });
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
  const heard = () => told.splice(0).map(([id]) => id);
  return { ids, told, down, deliver, heard };
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

  it('reaches the others all the same, and then only that one is told again', async () => {
    const { ids, down, deliver, heard } = world(120);
    down.add('c0001');
    await expect(deliver(2, REVOKED)).rejects.toThrow('1 contexts cannot be told: Error: c0001 is down');
    expect(heard()).toEqual(ids.filter((id) => id !== 'c0001'));
    await expect(deliver(2, REVOKED)).rejects.toThrow('c0001 is down');
    expect(heard()).toEqual([]);
    down.clear();
    expect(await deliver(2, REVOKED)).toEqual({ confirmed: 2 });
    expect(heard()).toEqual(['c0001']);
  });

  it('that one context does not hear holds up no later word', async () => {
    const { ids, told, down, deliver, heard } = world(120);
    down.add('c0001');
    await expect(deliver(2, REVOKED)).rejects.toThrow();
    heard();
    await expect(deliver(2, REVOKED, SUSPENDED)).rejects.toThrow();
    expect(told.every(([, { actors = [] }]) => actors.includes('act_1'))).toBe(true);
    expect(heard()).toEqual(ids.filter((id) => id !== 'c0001'));
  });

  it('is not sent to all when the first of them all cannot be told', async () => {
    const { ids, down, deliver, heard } = world(400);
    for (const id of ids) down.add(id);
    await expect(deliver(2, REVOKED)).rejects.toThrow('50 contexts cannot be told');
    down.clear();
    expect(await deliver(2, REVOKED)).toEqual({ confirmed: 2 });
    expect(heard()).toEqual(ids);
  });

  it('to more contexts than one delivery can tell goes on where it stood', async () => {
    const { ids, deliver, heard } = world(1_234);
    expect(await deliver(2, REVOKED)).toEqual({ isUnfinished: true });
    expect(await deliver(2, REVOKED)).toEqual({ isUnfinished: true });
    expect(await deliver(2, REVOKED)).toEqual({ confirmed: 2 });
    expect(heard()).toEqual(ids);
    expect(await deliver(3, REVOKED)).toEqual({ isUnfinished: true });
    expect(heard()).toEqual(ids.slice(0, 500));
  });

  it('goes on where it stood also when more has happened since, of which all hear next', async () => {
    const { ids, told, deliver, heard } = world(1_234);
    expect(await deliver(2, UPDATED, REVOKED)).toEqual({ isUnfinished: true });
    expect(await deliver(2, UPDATED, REVOKED, SUSPENDED)).toEqual({ isUnfinished: true });
    expect(await deliver(2, UPDATED, REVOKED, SUSPENDED, UPDATED)).toEqual({ confirmed: 3 });
    expect(told.filter(([, { actors = [] }]) => actors.length > 0)).toEqual([]);
    expect(heard()).toEqual(ids);
    expect(await deliver(4, SUSPENDED, UPDATED)).toEqual({ isUnfinished: true });
    expect(await deliver(4, SUSPENDED, UPDATED)).toEqual({ isUnfinished: true });
    expect(await deliver(4, SUSPENDED, UPDATED)).toEqual({ confirmed: 5 });
    expect(heard()).toEqual(ids);
  });

  it('that is sent again from further back begins with all', async () => {
    const { ids, deliver, heard } = world(700);
    expect(await deliver(3, REVOKED)).toEqual({ isUnfinished: true });
    heard();
    expect(await deliver(2, REVOKED, REVOKED)).toEqual({ isUnfinished: true });
    expect(heard()).toEqual(ids.slice(0, 500));
  });

  it('keeps how far it came over the end of the object', () =>
    runInDurableObject(env.COUNTERS.get(env.COUNTERS.idFromName('announcement')), (_object, { storage }) => {
      const word = { first: 2, last: 3, context: 'c0499', untold: ['c0001'] };
      const watching = new Watching(storage.sql);
      expect(watching.announcement).toBeNull();
      watching.announcement = { ...word, context: 'c0099' };
      watching.announcement = word;
      expect(new Watching(storage.sql).announcement).toEqual(word);
      watching.announcement = null;
      expect(new Watching(storage.sql).announcement).toBeNull();
    }));
});
