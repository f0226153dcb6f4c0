import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type ConnectionQuery, listConnections } from '../../projections/connections.ts';
import { drawnWorld, READER, writeWorld } from '../support/graph-world.ts';
import { printedSeed } from '../support/seed.ts';

type Place = NonNullable<ConnectionQuery['after']>;

/** All pages of a list, two at a time. */
async function pages(query: Omit<ConnectionQuery, 'limit' | 'after'>): Promise<string[]> {
  const found: string[] = [];
  for (let after: Place | undefined; ; ) {
    const bodies = await listConnections(env.DB, { ...query, limit: 2, ...(after && { after }) });
    const page = bodies.map((body): Place => JSON.parse(body));
    found.push(...page.map(({ id }) => id));
    after = page.at(-1);
    if (page.length < 2) return found;
  }
}

it('a list has, each once, what has an end that whoever looks may read', { timeout: 60_000 }, async () => {
  const seed = printedSeed('connection lists');
  const filters = fc.record(
    {
      type: fc.constantFrom('uses', 'part_of'),
      status: fc.constantFrom('active' as const, 'pending' as const, 'disconnected' as const),
      context: fc.nat({ max: 8 }),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(drawnWorld, filters, async (world, { context, ...wanted }) => {
      // The tables are shared: whoever sees everything would see the worlds before as well.
      await env.DB.batch(
        [
          'DELETE FROM connections',
          'DELETE FROM contexts',
          "INSERT INTO contexts_fts (contexts_fts) VALUES ('delete-all')",
        ].map((statement) => env.DB.prepare(statement)),
      );
      const { ids, connectionIds } = await writeWorld(world);
      const isAmong = (index: number) => index % 3 !== 1;
      const isMember = (index: number) => world.contexts[index]?.members.includes(READER) === true;
      const among = ids.filter((_, index) => isAmong(index));
      for (const [onlooker, isReadable] of [
        [{ readableBy: null, among: null }, () => true],
        [{ readableBy: READER, among: null }, isMember],
        [{ readableBy: null, among }, isAmong],
        [{ readableBy: READER, among }, (index: number) => isMember(index) && isAmong(index)],
      ] as const) {
        const expected = world.connections.flatMap(({ from, to, type, status }, index) => {
          const isWanted =
            (wanted.type === undefined || wanted.type === type) &&
            (wanted.status === undefined ? status !== 'disconnected' : wanted.status === status) &&
            (context === undefined || from === context || to === context);
          return isWanted && (isReadable(from) || isReadable(to)) ? [connectionIds[index]] : [];
        });
        const place = context === undefined ? {} : { context: ids[context] ?? 'ctx_none' };
        const found = await pages({ ...onlooker, ...wanted, ...place });
        expect(found.toSorted()).toEqual(expected.toSorted());
      }
    }),
    { seed, numRuns: 40 },
  );
});
