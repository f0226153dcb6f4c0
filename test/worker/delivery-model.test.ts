import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { clearChittyIds, projectChittyId } from '../../projections/chitty-ids.ts';
import { clearContexts, projectContexts } from '../../projections/contexts.ts';
import { DeliveryWorld, happen, happening } from '../support/delivery-world.ts';
import { printedSeed } from '../support/seed.ts';

/** Longer than a circuit breaker stays open: each run begins with services that nothing is known against. */
const BREAKER_MS = 60_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
  // The jitter of the pauses; a seed must lead to the same run again.
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function clearReadModels(): Promise<void> {
  await clearContexts(env.DB);
  await clearChittyIds(env.DB);
}

/** Everything that lists, search and addresses by ChittyID go by, but the order in which it was written. */
async function readModels() {
  const [contexts, index, ids] = await env.DB.batch([
    env.DB.prepare(
      'SELECT id, version, status, created_at, updated_at, updated_hour, terms, search, body FROM contexts ORDER BY id',
    ),
    env.DB.prepare('SELECT count(*) AS n FROM contexts_fts'),
    env.DB.prepare('SELECT * FROM chitty_ids ORDER BY id'),
  ]);
  return [contexts?.results, index?.results, ids?.results];
}

/** The versions of the one context that are in the feed, in the order in which they stand there. */
async function fedVersions(): Promise<number[]> {
  const query = "SELECT position, first, last FROM feed WHERE context <> '' ORDER BY position";
  const { results } = await env.DB.prepare(query).all<{ position: number; first: number; last: number }>();
  return results.flatMap(({ first, last }) => versions(last).slice(first - 1));
}

/** Runs `test` with the storage of an object that nothing else uses. */
function withStorage(name: string, test: (sql: SqlStorage) => Promise<void>): Promise<void> {
  return runInDurableObject(env.COUNTERS.get(env.COUNTERS.idFromName(name)), (_object, { storage }) =>
    test(storage.sql),
  );
}

/** What happens to one world. In a short life little comes after a failure that could make up for it. */
const life = fc.oneof(
  fc.array(happening, { maxLength: 8, size: 'max' }),
  fc.array(happening, { maxLength: 40, size: 'max' }),
);

const versions = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

describe('from the log to every sink', () => {
  it('each event comes once and in order, and the read models end as a replay has them, whatever fails', {
    timeout: 300_000,
  }, async () => {
    const seed = printedSeed('delivery model');
    await withStorage('delivery model', (sql) =>
      fc.assert(
        fc.asyncProperty(life, async (happenings) => {
          vi.setSystemTime(Date.now() + BREAKER_MS);
          await clearReadModels();
          const world = new DeliveryWorld(sql);
          for (const next of happenings) await happen(world, next);
          await world.settle();

          const { services } = world.chittyOs;
          const all = versions(world.version);
          expect(services.entries.map(({ data }) => Number(data.sequence))).toEqual(all);
          expect(services.sequences('dna_1')).toEqual(all);
          expect([...services.archived]).toEqual(world.state?.status === 'deleted' ? ['dna_1'] : []);
          for (const [name, { confirmed }] of world.cursors) expect([name, confirmed]).toEqual([name, world.version]);

          // Each event has one place in the feed, and each batch begins where the one before ended.
          expect(await fedVersions()).toEqual(all);

          const live = await readModels();
          await clearReadModels();
          if (world.state === null) throw new Error('there is no context');
          await projectContexts(env.DB, [world.state]);
          await projectChittyId(env.DB, world.state.chittyId ?? '', world.state.id);
          expect(live).toEqual(await readModels());
          expect(live[0]).toMatchObject([{ body: JSON.stringify(world.state) }]);
        }),
        { seed, numRuns: 100 },
      ),
    );
  });

  it('the record of a deleted context stays closed when a step of its provisioning ends only then', () =>
    withStorage('delivery archived', async (sql) => {
      const world = new DeliveryWorld(sql);
      await world.settle();
      world.change('turn');
      await world.settle();
      expect([...world.chittyOs.services.archived]).toEqual(['dna_1']);
      world.change('provision');
      await world.settle();
      expect(world.chittyOs.services.sequences('dna_1')).toEqual(versions(world.version));
      expect([...world.chittyOs.services.archived]).toEqual(['dna_1']);
    }));
});
