import { env } from 'cloudflare:workers';
import { expect, it, vi } from 'vitest';
import { Directory } from '../../actors/directory.ts';
import { SYSTEM } from '../../actors/principal.ts';
import { rebuildAll } from '../../src/delivery/rebuild.ts';
import { streamObject } from '../../src/delivery/stream-object.ts';
import { connectContexts } from '../support/connections.ts';
import { consumeDead } from '../support/delivery.ts';
import { deliver, payload, repository } from '../support/github.ts';
import { objectOf } from '../support/rest.ts';
import { contextOf, idOf, invite, person, share } from '../support/sharing.ts';
import { receiver, standInForNetwork, webhookOf } from '../support/webhooks.ts';

/** No read models of a stream: the migrations, marks of the database, the index's own tables. The feed is looked at by itself. */
const OTHERS = /^(d1_migrations|_cf_\w+|sqlite_\w+|feed|feed_identity|rebuild_wanted|contexts_fts(_\w+)?)$/;

/** What is counted anew by each rebuild: places in the feed, and the number of a row by which the index knows it. */
const COUNTED = new Set(['position', 'fed', 'rowid']);

/** Every row of every table that a rebuild fills, in an order that does not depend on when it was written. */
async function readModels(): Promise<Record<string, unknown[]>> {
  const { results } = await env.DB.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all<{
    name: string;
  }>();
  const tables = results.map(({ name }) => name).filter((name) => !OTHERS.test(name));
  const rows = await Promise.all(
    tables.map(async (name) => {
      const all = await env.DB.prepare(`SELECT * FROM ${name}`).all<Record<string, unknown>>();
      const told = all.results.map((row) => Object.entries(row).filter(([column]) => !COUNTED.has(column)));
      return [name, told.map((row) => JSON.stringify(row)).sort()];
    }),
  );
  return Object.fromEntries(rows);
}

/** Every event that the feed has, in the order of its places for each context: a rebuild gives a place to more at once. */
async function feed(): Promise<unknown[]> {
  const { results } = await env.DB.prepare("SELECT * FROM feed WHERE context <> '' ORDER BY context, position").all<{
    context: string;
    first: number;
    last: number;
    types: string;
  }>();
  return results.flatMap(({ context, first, last, types }) => {
    const inOrder: unknown[] = JSON.parse(types);
    expect(inOrder).toHaveLength(last - first + 1);
    return inOrder.map((type, index) => [context, first + index, type]);
  });
}

/** Which terms lead to which context, as the index itself has it. */
async function indexed(): Promise<unknown[]> {
  await env.DB.exec("CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab('contexts_fts', 'instance')");
  const { results } = await env.DB.prepare(
    'SELECT DISTINCT term, id FROM vocabulary LEFT JOIN contexts ON contexts.rowid = doc ORDER BY term, id',
  ).all();
  await env.DB.exec('DROP TABLE vocabulary');
  return results;
}

/** What is done has to be done, for a refused change would show nothing. */
async function done(act: Promise<Response>): Promise<void> {
  const response = await act;
  expect(response.ok, await response.text()).toBe(true);
}

/** Waits until every stream has nothing left to deliver. */
async function everythingArrived(): Promise<void> {
  for (const shard of new Directory(env.DIRECTORY).shards()) {
    for (const stream of await shard.list('', 1_000)) {
      await vi.waitFor(async () => expect(await streamObject(env, stream)?.flushOutbox()).toBe(true), 20_000);
    }
  }
}

it('every row of every read model is after a rebuild as it was kept live', { timeout: 60_000 }, async () => {
  standInForNetwork();
  const [ann, bob] = [await person('Ann'), await person('Bob')];
  const [work, home, gone] = [
    await contextOf(ann, { name: 'Zwölf Boxkämpfer', description: 'jagen Viktor', tools: ['linear'] }),
    await contextOf(bob, { name: '東京の会議', systems: ['github'], metadata: { priority: 3 } }),
    await contextOf(ann, { name: 'Old plans' }),
  ];
  await done(ann.patch(work, { name: 'Zwanzig Boxkämpfer' }));
  await share(bob, home, ann, 'viewer');
  await invite(ann, work, bob);
  const kept = await connectContexts(ann, work, gone, { type: 'relates_to' });
  await done(ann.post(`${kept}/heartbeat`));
  const ended = await connectContexts(ann, gone, work);
  await done(ann.remove(ended));
  await done(ann.remove(gone));
  const { path: hook } = await webhookOf(ann, receiver());
  await done(ann.patch(hook, { description: 'For the office' }));
  await done(bob.remove((await webhookOf(bob, receiver())).path));
  const event = {
    type: 'context_identified',
    data: { chittyId: '03-1-USA-0001-P-2611-1-77', did: 'did:chitty:1' },
  } as const;
  const cause = { correlationId: 'r', causationId: null, commandId: 'c' };
  const command = { type: 'recordProvisioning', event } as const;
  await objectOf(idOf(work)).execute({ id: idOf(work), command, principal: SYSTEM, cause });
  await done(ann.patch(`/v1/actors/${ann.id}`, { name: 'Ann of the office' }));
  await done(deliver({ body: JSON.stringify(payload(71, 'created', { repositories: [repository(1)] })) }));
  await done(deliver({ body: JSON.stringify(payload(72, 'created', { repositories: [repository(2)] })) }));
  await done(deliver({ body: JSON.stringify(payload(72, 'deleted')) }));
  await consumeDead(env, { 'never-taken': { from: 'somewhere else' } });
  await everythingArrived();

  const live = await readModels();
  for (const [table, rows] of Object.entries(live)) expect(rows, table).not.toEqual([]);
  // The name that nobody has any more stays in the dictionary until a rebuild.
  live.context_words = live.context_words?.filter((row) => !String(row).includes('zwolf')) ?? [];
  const [terms, places] = [await indexed(), await feed()];
  expect(places).toHaveLength(4 + 3 + 2);
  for (const context of [work, home, gone]) {
    expect(terms).toContainEqual({ term: expect.any(String), id: idOf(context) });
  }

  await rebuildAll(env);
  await everythingArrived();
  expect(await readModels()).toEqual(live);
  expect(await indexed()).toEqual(terms);
  expect(await feed()).toEqual(places);
});
