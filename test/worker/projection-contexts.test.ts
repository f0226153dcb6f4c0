import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Context } from '../../actors/context.ts';
import { clearContexts, projectContexts } from '../../projections/contexts.ts';
import { contextState, found } from '../support/search.ts';
import { printedSeed } from '../support/seed.ts';

/** Everything that the read model holds but the rowids, and the tokens in the index by context. */
async function everything(): Promise<{ rows: unknown[]; index: unknown[] }> {
  const { results: rows } = await env.DB.prepare(
    'SELECT id, version, status, created_at, updated_at, updated_hour, terms, search, body FROM contexts ORDER BY id',
  ).all();
  await env.DB.prepare('DROP TABLE IF EXISTS vocabulary').run();
  await env.DB.prepare("CREATE VIRTUAL TABLE vocabulary USING fts5vocab('contexts_fts', 'instance')").run();
  const { results: index } = await env.DB.prepare(
    'SELECT c.id, v.term FROM vocabulary v LEFT JOIN contexts c ON c.rowid = v.doc ORDER BY c.id, v.term',
  ).all();
  return { rows, index };
}

/** The database, counting the rows that it writes, by table. */
function counting(): { db: D1Database; rowsWritten: () => number } {
  let total = 0;
  const db = new Proxy(env.DB, {
    get(target, key) {
      if (key !== 'batch') return key === 'prepare' ? target.prepare.bind(target) : Reflect.get(target, key);
      return async (statements: D1PreparedStatement[]) => {
        const results = await target.batch(statements);
        for (const { meta } of results) total += meta.rows_written;
        return results;
      };
    },
  });
  return { db, rowsWritten: () => total };
}

async function rowsWrittenBy(state: Context): Promise<number> {
  const { db, rowsWritten } = counting();
  await projectContexts(db, [state]);
  return rowsWritten();
}

/** The nth version of the nth context, in which what is searched, filtered and shown changes at times. */
function version(context: number, n: number): Context {
  const words = ['budget', 'plan', 'Größe', '東京', 'review'];
  return contextState(context, {
    name: `${words[(context + (n >> 1)) % words.length]} ${context}`,
    systems: n % 3 === 0 ? ['github'] : [],
    metadata: { n },
    status: n % 4 === 3 ? 'deleted' : 'active',
    version: n,
    updatedAt: new Date(Date.UTC(2026, 1, 1) + n * 1_800_000).toISOString(),
  });
}

beforeEach(() => clearContexts(env.DB));

describe('what is projected', () => {
  it('ends in the same rows and the same index whatever the order, the duplicates and the batches', async () => {
    const states = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 6 }));
    const deliveries = fc.array(fc.array(states, { maxLength: 6 }), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(deliveries, async (batches) => {
        await clearContexts(env.DB);
        for (const batch of batches)
          await projectContexts(
            env.DB,
            batch.map(([context, n]) => version(context, n)),
          );
        const lived = await everything();

        const latest = new Map<number, number>();
        for (const [context, n] of batches.flat()) latest.set(context, Math.max(n, latest.get(context) ?? 0));
        await clearContexts(env.DB);
        await projectContexts(
          env.DB,
          [...latest].map(([context, n]) => version(context, n)),
        );
        expect(lived).toEqual(await everything());
        expect(lived.rows).toHaveLength(latest.size);
      }),
      { numRuns: 30, seed: printedSeed('interleavings') },
    );
  });

  it('is complete when a rebuild and live changes come in any order', async () => {
    await projectContexts(
      env.DB,
      [1, 2, 3].map((context) => version(context, 1)),
    );
    await clearContexts(env.DB);
    // The rebuild read context 2 at version 1 and brings it after the live change to version 2.
    await projectContexts(env.DB, [version(2, 2), version(4, 1)]);
    await projectContexts(
      env.DB,
      [1, 2, 3].map((context) => version(context, 1)),
    );
    const rebuilt = await everything();

    await clearContexts(env.DB);
    for (const [context, n] of [
      [1, 1],
      [2, 1],
      [3, 1],
      [2, 2],
      [4, 1],
    ] as const) {
      await projectContexts(env.DB, [version(context, n)]);
    }
    expect(rebuilt).toEqual(await everything());
  });

  it('keeps apart hundreds of contexts of the same millisecond', async () => {
    const createdAt = '2026-01-01T00:00:00.000Z';
    const states = Array.from({ length: 600 }, (_, n) => contextState(n, { name: `Same ${n}`, createdAt }));
    await projectContexts(env.DB, states.slice(0, 300));
    await projectContexts(env.DB, states);
    const { results } = await env.DB.prepare('SELECT body FROM contexts').all<{ body: string }>();
    expect(new Set(results.map(({ body }) => body))).toEqual(new Set(states.map((state) => JSON.stringify(state))));
    expect(await found('Same 599')).toEqual(['Same 599']);
  });

  it('takes a context as large as contexts get', async () => {
    const description = '経😀'.repeat(5000);
    const metadata = { text: '"\\'.repeat(16_000) };
    const labels = Array.from({ length: 100 }, (_, n) => `${n}-`.padEnd(100, '界'));
    const state = contextState(1, { name: '名'.repeat(200), description, metadata, systems: labels, tools: labels });
    await projectContexts(env.DB, [state, { ...state, id: contextState(2).id }, contextState(3)]);
    expect(await found('経😀経')).toHaveLength(2);
  });

  it('keeps a deleted context as a row, found only among the deleted', async () => {
    await projectContexts(env.DB, [contextState(1, { name: 'Old plan' })]);
    await projectContexts(env.DB, [contextState(1, { name: 'Old plan', version: 2, status: 'deleted' })]);
    expect(await found('plan')).toEqual([]);
    expect(await found('plan', { status: 'deleted' })).toEqual(['Old plan']);
    await projectContexts(env.DB, [contextState(1, { name: 'Old plan', version: 3 })]);
    expect(await found('plan')).toEqual(['Old plan']);
  });
});

// What SQLite writes inside the index for its one row is not among what the local D1 counts.
describe('rows written, which are billed', () => {
  it('are four for a new context of words in use: the row, its two index entries and the search index', async () => {
    await projectContexts(env.DB, [contextState(1, { name: 'Budget plan' })]);
    expect(await rowsWrittenBy(contextState(2, { name: 'Plan budget' }))).toBe(4);
  });

  it('are two more for each new word of the dictionary, and for a new owner', async () => {
    await projectContexts(env.DB, [contextState(1, { name: 'Budget plan' })]);
    expect(await rowsWrittenBy(contextState(2, { name: 'Budget review', tools: ['q3'] }))).toBe(6);
    expect(await rowsWrittenBy(contextState(3, { name: 'Budget review', owner: 'act_x' }))).toBe(6);
  });

  it('is one for a change that touches nothing that is searched', async () => {
    await projectContexts(env.DB, [contextState(1)]);
    expect(await rowsWrittenBy(contextState(1, { version: 2, metadata: { a: 1 } }))).toBe(1);
  });

  it('is two or three when the hour of the change is another one', async () => {
    await projectContexts(env.DB, [contextState(1)]);
    const updatedAt = '2026-06-01T00:00:00.000Z';
    expect(await rowsWrittenBy(contextState(1, { version: 2, updatedAt }))).toBeLessThanOrEqual(3);
    expect(await rowsWrittenBy(contextState(1, { version: 3, updatedAt }))).toBe(1);
  });

  it('is none for what is there already or is older', async () => {
    await projectContexts(env.DB, [contextState(1, { version: 5 })]);
    expect(await rowsWrittenBy(contextState(1, { version: 5, name: 'Never' }))).toBe(0);
    expect(await rowsWrittenBy(contextState(1, { version: 4, name: 'Never' }))).toBe(0);
  });

  it('is one more for the index when the name changes to words in use', async () => {
    await projectContexts(env.DB, [contextState(1, { name: 'Alpha' }), contextState(2, { name: 'Beta' })]);
    expect(await rowsWrittenBy(contextState(1, { name: 'Beta', version: 2 }))).toBe(2);
  });
});
