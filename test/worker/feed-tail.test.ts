import { createExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { type FeedPart, type FeedQuery, feedEnd, readFeed } from '../../projections/feed.ts';
import { FeedTail } from '../../projections/feed-tail.ts';
import { handleRequest } from '../../src/http/router.ts';
import { expectJson } from '../support/actors.ts';
import { BASE, type ContextJson } from '../support/api.ts';
import { feedOffset, objectOf } from '../support/rest.ts';
import { printedSeed } from '../support/seed.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

const NOW = Date.UTC(2026, 0, 1);
const EVERYTHING: FeedQuery = { readableBy: null, among: null };

/** The database, and how many statements were prepared on it. */
function counted() {
  const statements: string[] = [];
  const DB = new Proxy(env.DB, {
    get: (db, name) => {
      if (name !== 'prepare') return Reflect.get(db, name);
      return (sql: string) => {
        statements.push(sql);
        return db.prepare(sql);
      };
    },
  });
  return { DB, statements };
}

/** The single events that a part of the feed speaks of. */
function eventsIn({ runs }: FeedPart): string[] {
  return runs.flatMap(({ context, first, last }) =>
    Array.from({ length: last - first + 1 }, (_, index) => `${context} ${first + index}`),
  );
}

/** Waits until the feed has all events of a context. */
async function arrive(path: string): Promise<void> {
  const { version } = await expectJson<ContextJson>(await ownerOf(path).call(path), 200);
  expect(await objectOf(idOf(path)).whenDelivered('d1', version, 10_000)).toBe(true);
}

let ann: Person;
let bob: Person;
let contexts: string[];
beforeAll(async () => {
  [ann, bob] = [await person('Ann'), await person('Bob')];
  contexts = [await contextOf(ann), await contextOf(ann), await contextOf(bob)];
  const [shared] = contexts;
  await share(ann, String(shared), bob);
  for (const path of contexts) await arrive(path);
});

const ownerOf = (path: string) => (path === contexts[2] ? bob : ann);

/** Makes changes, a few of them arriving together. */
async function change(changes: readonly { readonly which: number; readonly count: number }[]): Promise<void> {
  for (const { which, count } of changes) {
    const path = String(contexts[which % contexts.length]);
    for (let n = 0; n < count; n++) await ownerOf(path).patch(path, { name: `Name ${Math.random()}` });
    await arrive(path);
  }
}

describe('the end of the feed, as all who follow it in an isolate know it', () => {
  it('costs one query a second, whether one follows or a thousand', async () => {
    for (const followers of [1, 1_000]) {
      const { DB, statements } = counted();
      const tail = new FeedTail();
      for (let at = 0; at < 10_000; at += 500) {
        for (let n = 0; n < followers; n++) {
          await tail.refresh(DB, NOW + at + n / 10);
          tail.after(EVERYTHING, 0, 100);
        }
      }
      // The first asks where the feed ends.
      expect(statements.length, `${followers}`).toBe(10);
    }
  });

  it('costs one query a second for a hundred open streams, whoever they belong to', { timeout: 90_000 }, async () => {
    const { DB, statements } = counted();
    // One environment for all of them, as in an isolate.
    const own = { ...env, DB };
    const send = (headers: Record<string, string>, query = '') =>
      handleRequest(new Request(`${BASE}/v1/events${query}`, { headers }), own, createExecutionContext());
    const open = async ({ key }: Person) => {
      const response = await send({ Accept: 'text/event-stream', 'X-API-Key': key }, '?offset=now');
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      if (!reader) throw new Error('no stream');
      // What comes is taken up all the time, as a client does.
      const texts: string[] = [];
      const taken = (async () => {
        for (let part = await reader.read(); !part.done; part = await reader.read()) texts.push(part.value);
      })();
      return { texts, close: () => Promise.all([reader.cancel(), taken]) };
    };
    const followers = await Promise.all(Array.from({ length: 100 }, (_, n) => open(n % 2 === 0 ? ann : bob)));
    const [opened, since] = [statements.length, performance.now()];
    await change([{ which: 1, count: 2 }]);
    await vi.waitFor(
      () => {
        for (const { texts } of followers.filter((_, n) => n % 2 === 0)) expect(texts.join('')).toContain('data: ');
      },
      { timeout: 30_000, interval: 100 },
    );
    await scheduler.wait(2_000);
    const seconds = (performance.now() - since) / 1_000;
    expect(statements.length - opened).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
    expect(followers.filter(({ texts }) => texts.join('').includes('data: '))).toHaveLength(50);
    // And nothing when they come back to where they were, as they have to once a minute.
    const [before, at] = [statements.length, performance.now()];
    const headers = {
      Accept: 'text/event-stream',
      'X-API-Key': ann.key,
      'Last-Event-ID': await feedOffset(await feedEnd(env.DB)),
    };
    const again = await Promise.all(Array.from({ length: 100 }, () => send(headers)));
    expect(again.every(({ status }) => status === 200)).toBe(true);
    expect(statements.length - before).toBeLessThanOrEqual(Math.ceil((performance.now() - at) / 1_000) + 1);
    await Promise.all(again.map(({ body }) => body?.cancel()));
    await Promise.all(followers.map(({ close }) => close()));
  });

  it('gives each who follows what the query for them alone would give', { timeout: 180_000 }, async () => {
    const query = fc.record(
      {
        readableBy: fc.constantFrom(null, 'ann', 'bob', 'nobody'),
        among: fc.constantFrom(null, [], [0], [0, 2]),
        context: fc.constantFrom(0, 1, 2),
        type: fc.constantFrom('context_updated', 'context_created'),
        actor: fc.constantFrom('ann', 'bob', 'nobody'),
        from: fc.constantFrom('2020-01-01T00:00:00.000Z', '2999-01-01T00:00:00.000Z'),
        to: fc.constantFrom('2020-01-01T00:00:00.000Z', '2999-01-01T00:00:00.000Z'),
      },
      { requiredKeys: ['readableBy', 'among'] },
    );
    const batches = fc.array(fc.record({ which: fc.nat(2), count: fc.integer({ min: 1, max: 4 }) }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(batches, batches),
        fc.array(fc.tuple(query, fc.nat(12)), { minLength: 5, maxLength: 15 }),
        async ([early, late], asked) => {
          const ids: Record<string, string> = { ann: ann.id, bob: bob.id, nobody: 'act_nobody' };
          const tail = new FeedTail();
          const begin = await feedEnd(env.DB);
          await tail.refresh(env.DB, NOW);
          await change(early);
          await tail.refresh(env.DB, NOW + 1_000);
          await change(late);
          await tail.refresh(env.DB, NOW + 2_000);
          const end = await feedEnd(env.DB);
          for (const [{ readableBy, among, context, actor, ...rest }, offset] of asked) {
            const wanted: FeedQuery = {
              ...rest,
              readableBy: readableBy && String(ids[readableBy]),
              among: among?.map((which) => idOf(String(contexts[which]))) ?? null,
              ...(context !== undefined && { context: idOf(String(contexts[context])) }),
              ...(actor !== undefined && { actor: String(ids[actor]) }),
            };
            const after = Math.min(begin + offset, end);
            const known = tail.after(wanted, after, 1_000);
            const asked = await readFeed(env.DB, wanted, after, 1_000);
            if (known === null) throw new Error('it is known');
            expect(eventsIn(known)).toEqual(eventsIn(asked));
            expect(known).toMatchObject({ position: end, isUpToDate: true });
          }
        },
      ),
      { seed: printedSeed('the end of the feed'), numRuns: 15 },
    );
  });

  it('is given in parts, from any position within what arrived together', async () => {
    const tail = new FeedTail();
    const begin = await feedEnd(env.DB);
    await tail.refresh(env.DB, NOW);
    await change([
      { which: 0, count: 4 },
      { which: 1, count: 3 },
    ]);
    await tail.refresh(env.DB, NOW + 1_000);
    const whole = tail.after(EVERYTHING, begin, 1_000);
    if (whole === null) throw new Error('it is known');
    expect(eventsIn(whole)).toHaveLength(7);
    for (const limit of [1, 2, 3, 5]) {
      const events: string[] = [];
      let position = begin;
      for (;;) {
        const part = tail.after(EVERYTHING, position, limit);
        if (part === null) throw new Error('it is known');
        events.push(...eventsIn(part));
        position = part.position;
        if (part.isUpToDate) break;
      }
      expect(events, `in parts of ${limit}`).toEqual(eventsIn(whole));
    }
  });

  it('is not known to those who are further back, nor after nobody has looked for a while', async () => {
    await change([{ which: 0, count: 1 }]);
    const tail = new FeedTail();
    const begin = await feedEnd(env.DB);
    expect(tail.after(EVERYTHING, begin, 100)).toBeNull();
    await tail.refresh(env.DB, NOW);
    expect(tail.after(EVERYTHING, begin - 1, 100)).toBeNull();
    expect(tail.after(EVERYTHING, begin, 100)).toEqual({ runs: [], position: begin, isUpToDate: true });
    await change([{ which: 0, count: 1 }]);
    expect(tail.end(NOW + 60_000)).toBeNull();
    await tail.refresh(env.DB, NOW + 60_000);
    expect(tail.after(EVERYTHING, begin, 100)).toBeNull();
    expect(tail.after(EVERYTHING, begin + 1, 100)?.isUpToDate).toBe(true);
    expect(tail.end(NOW + 60_000)).toBe(begin + 1);
  });

  it('is asked for again by somebody else when who asked got no answer', async () => {
    const tail = new FeedTail();
    const begin = await feedEnd(env.DB);
    await tail.refresh(env.DB, NOW);
    await change([{ which: 0, count: 1 }]);
    const broken = new Proxy(env.DB, {
      get: () => () => {
        throw new Error('D1_ERROR: this database is out of order');
      },
    });
    await expect(tail.refresh(broken, NOW + 1_000)).rejects.toThrow('out of order');
    await tail.refresh(env.DB, NOW + 1_500);
    expect(tail.after(EVERYTHING, begin, 100)?.runs).toEqual([]);
    await tail.refresh(env.DB, NOW + 2_000);
    expect(tail.after(EVERYTHING, begin, 100)?.runs).toHaveLength(1);
  });
});
