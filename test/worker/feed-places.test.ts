import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Envelope } from '../../events/envelope.ts';
import { clearContexts, projectContext, projectContexts } from '../../projections/contexts.ts';
import { type FeedFilter, feedEnd, isWanted, readFeed } from '../../projections/feed.ts';
import { rebuildPart } from '../../src/delivery/rebuild.ts';
import { contextState } from '../support/search.ts';
import { printedSeed } from '../support/seed.ts';

const CONTEXTS = [1, 2, 3];
const EVERYTHING = { readableBy: null, among: null };
const TYPES = ['context_updated', 'context_deleted', 'context_restored'];

/** An event of a context; of which type, by whom and when follows from its version. */
function eventOf(context: number, version: number): Envelope {
  return {
    id: `event-${context}-${version}`,
    stream: `context/${contextState(context).id}`,
    version,
    type: TYPES[version % 3] ?? '',
    schemaVersion: 1,
    time: new Date(Date.UTC(2026, 10, 24) + version * 1_000).toISOString(),
    actor: `act_${version % 2}`,
    correlationId: '',
    causationId: null,
    commandId: '',
    data: {},
    leafHash: '0'.repeat(64),
  };
}

const placeOf = ({ stream, version }: Envelope) => `${stream.slice('context/'.length)} ${version}`;

/** Brings the events `first` to `last` of a context, and its state, as its outbox does. */
async function bring(context: number, first: number, last: number, version = last): Promise<void> {
  const events = Array.from({ length: last - first + 1 }, (_, index) => eventOf(context, first + index));
  await projectContext(env.DB, contextState(context, { version }), events);
}

/** Everything after a position, page by page, as it is answered: what is wanted, each with its place. */
async function readAll(
  filter: FeedFilter,
  after: number,
  limit: number,
): Promise<{ place: string; position: number }[]> {
  const found: { place: string; position: number }[] = [];
  for (let from = after; ; ) {
    const { runs, position, isUpToDate } = await readFeed(env.DB, { ...EVERYTHING, ...filter }, from, limit);
    for (const run of runs) {
      const context = CONTEXTS.find((each) => contextState(each).id === run.context) ?? 0;
      for (let version = run.first; version <= run.last; version++) {
        const event = eventOf(context, version);
        if (isWanted(event, filter))
          found.push({ place: placeOf(event), position: run.position - (run.last - version) });
      }
    }
    if (isUpToDate) return found;
    expect(position).toBeGreaterThan(from);
    from = position;
  }
}

const placesIn = (found: readonly { place: string }[]) => found.map(({ place }) => place);

beforeEach(async () => {
  await clearContexts(env.DB);
});

describe('the places of events in the feed', () => {
  it('are each event’s own, in the order of arrival, whatever comes in parts, twice or late', {
    timeout: 180_000,
  }, async () => {
    const part = fc.record({
      context: fc.constantFrom(...CONTEXTS),
      // How far back it begins, and how many more it brings.
      back: fc.nat(4),
      more: fc.integer({ min: 0, max: 6 }),
      // Whether the state is further than the events.
      ahead: fc.nat(2),
    });
    const filters = fc.record<FeedFilter>(
      {
        type: fc.constantFrom(...TYPES),
        actor: fc.constantFrom('act_0', 'act_1'),
        from: fc.constantFrom(eventOf(1, 3).time, eventOf(1, 9).time),
        to: fc.constantFrom(eventOf(1, 5).time, eventOf(1, 12).time),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { maxLength: 20 }),
        filters,
        fc.integer({ min: 1, max: 9 }),
        async (parts, filter, limit) => {
          await clearContexts(env.DB);
          const start = await feedEnd(env.DB);
          const fed = new Map<number, number>();
          const arrived: Envelope[] = [];
          for (const { context, back, more, ahead } of parts) {
            const before = fed.get(context) ?? 0;
            const [first, last] = [Math.max(1, before - back + 1), before + more];
            if (last < first) continue;
            await bring(context, first, last, last + ahead);
            for (let version = before + 1; version <= last; version++) arrived.push(eventOf(context, version));
            fed.set(context, last);
          }
          const all = await readAll({}, 0, limit);
          expect(placesIn(all)).toEqual(arrived.map(placeOf));
          expect(all.map(({ position }) => position)).toEqual(arrived.map((_, index) => start + index + 1));
          const wanted = arrived.filter((event) => isWanted(event, filter)).map(placeOf);
          expect(placesIn(await readAll(filter, 0, limit))).toEqual(wanted);
          for (const { position } of all) {
            expect(placesIn(await readAll({}, position, limit))).toEqual(arrived.slice(position - start).map(placeOf));
          }
        },
      ),
      { seed: printedSeed('feed places'), numRuns: 30 },
    );
  });

  it('are not given to what does not follow on what is there: it comes again with what is missing', async () => {
    // As what was on its way comes after the read models were emptied.
    await bring(1, 5, 6);
    expect(await readAll({}, 0, 10)).toEqual([]);
    await bring(1, 1, 6);
    expect(await readAll({}, 0, 10)).toHaveLength(6);
  });

  it('are given also when the state was there already, and an older one takes nothing back', async () => {
    await projectContexts(env.DB, [contextState(1, { version: 9, name: 'Newest' })]);
    await bring(1, 1, 4, 8);
    expect(await readAll({}, 0, 10)).toHaveLength(4);
    expect(await env.DB.prepare('SELECT version, fed FROM contexts').first()).toEqual({ version: 9, fed: 4 });
  });

  it('are never given twice, also when the feed is made anew; what was before is passed over at once', async () => {
    await bring(1, 1, 5_000);
    const last = await feedEnd(env.DB);
    await clearContexts(env.DB);
    expect(await feedEnd(env.DB)).toBe(last);
    expect(await readFeed(env.DB, EVERYTHING, 0, 10)).toEqual({ runs: [], position: last, isUpToDate: true });
    await bring(1, 1, 2);
    const { runs, isUpToDate } = await readFeed(env.DB, EVERYTHING, 0, 10);
    expect(runs).toMatchObject([{ first: 1, last: 2, position: last + 2 }]);
    expect(isUpToDate).toBe(true);
  });

  it('are kept of what arrives while a rebuild is emptying the tables', async () => {
    await bring(1, 1, 2);
    // Between any two steps of it comes what an outbox delivers.
    let before: Promise<unknown> = Promise.resolve();
    const batch = (statements: D1PreparedStatement[]) => {
      const results = before.then(() => env.DB.batch(statements));
      before = results.then(() => bring(2, 1, 3));
      return before.then(() => results);
    };
    const DB = new Proxy(env.DB, {
      get: (db, name) => {
        if (name === 'batch') return batch;
        const value: unknown = Reflect.get(db, name);
        return typeof value === 'function' ? value.bind(db) : value;
      },
    });
    await rebuildPart({ ...env, DB }, null);
    expect(placesIn(await readAll({}, 0, 10))).toEqual([1, 2, 3].map((version) => placeOf(eventOf(2, version))));
    expect(await env.DB.prepare('SELECT fed FROM contexts').first('fed')).toBe(3);
  });

  it('are looked through a part at a time: no page reads more than 2,000 events', async () => {
    await bring(1, 1, 5_000);
    const page = await readFeed(
      env.DB,
      { ...EVERYTHING, type: 'context_deleted' },
      (await feedEnd(env.DB)) - 5_000,
      500,
    );
    expect(page).toMatchObject({ runs: [{ first: 1, last: 2_000 }], isUpToDate: false });
  });

  it('cost one row for all that come together', async () => {
    await bring(1, 1, 3);
    let written = 0;
    const db = new Proxy(env.DB, {
      get(target, key) {
        if (key !== 'batch') return key === 'prepare' ? target.prepare.bind(target) : Reflect.get(target, key);
        return async (statements: D1PreparedStatement[]) => {
          const results = await target.batch(statements);
          for (const { meta } of results) written += meta.rows_written;
          return results;
        };
      },
    });
    const events = Array.from({ length: 100 }, (_, index) => eventOf(1, 4 + index));
    await projectContext(db, contextState(1, { version: 103 }), events);
    // The context's own row, and the one in the feed.
    expect(written).toBe(2);
  });
});
