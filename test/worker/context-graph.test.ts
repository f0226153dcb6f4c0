import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type ContextGraph, contextGraph, GRAPH_BOUNDS } from '../../projections/context-graph.ts';
import { expectJson, issueKey } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { connectContexts } from '../support/connections.ts';
import { drawnWorld, READER, type World, writeWorld } from '../support/graph-world.ts';
import { derivedId, expectProblem } from '../support/rest.ts';
import { printedSeed } from '../support/seed.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

/** What a graph must be, found out the simple way: the depth of each context, and the connections between them. */
function expected(world: World, root: number, depth: number, isShown: (index: number) => boolean) {
  const living = world.connections.filter(({ status }) => status === 'active' || status === 'idle');
  const depths = new Map([[root, 0]]);
  for (let step = 1; step <= depth; step++) {
    for (const [here, at] of [...depths]) {
      if (at !== step - 1) continue;
      for (const { from, to } of living) {
        const there = from === here ? to : to === here ? from : here;
        if (!depths.has(there) && isShown(there)) depths.set(there, step);
      }
    }
  }
  const edges = living.filter(({ from, to }) => depths.has(from) && depths.has(to));
  return { depths, edges };
}

/** A graph with the numbers of its world. */
function byNumber({ nodes, edges }: ContextGraph, ids: readonly string[]) {
  return {
    depths: new Map(nodes.map(({ id, depth }) => [ids.indexOf(id), depth])),
    edges: edges.map(({ from, to, type, direction, status }) =>
      JSON.stringify([ids.indexOf(from), ids.indexOf(to), type, direction, status]),
    ),
  };
}

describe('a graph', () => {
  it('is what a simple search finds, for whoever looks', { timeout: 120_000 }, async () => {
    const seed = printedSeed('graphs');
    await fc.assert(
      fc.asyncProperty(drawnWorld, fc.integer({ min: 1, max: 4 }), async (drawn, depth) => {
        const { ids } = await writeWorld(drawn);
        const among = ids.filter((_, index) => index % 3 !== 1);
        const isActive = (index: number) => drawn.contexts[index]?.isDeleted === false;
        const isMember = (index: number) => drawn.contexts[index]?.members.includes(READER) === true;
        const isAmong = (index: number) => index % 3 !== 1;
        for (const [onlooker, isShown] of [
          [{ readableBy: null, among: null }, isActive],
          [{ readableBy: READER, among: null }, (index: number) => isActive(index) && isMember(index)],
          [{ readableBy: null, among }, (index: number) => isActive(index) && isAmong(index)],
          [{ readableBy: READER, among }, (index: number) => isActive(index) && isMember(index) && isAmong(index)],
        ] as const) {
          const graph = await contextGraph(env.DB, { id: ids[0] ?? '', name: 'Root' }, depth, onlooker);
          const found = byNumber(graph, ids);
          const wanted = expected(drawn, 0, depth, isShown);
          expect(found.depths).toEqual(wanted.depths);
          expect(found.edges.sort()).toEqual(
            wanted.edges
              .map((edge) => JSON.stringify([edge.from, edge.to, edge.type, edge.direction, edge.status]))
              .sort(),
          );
          expect(graph.truncated).toBe(false);
        }
      }),
      { seed, numRuns: 60 },
    );
  });

  /** A context with `size` others around it, all of them connected to it. */
  async function star(size: number): Promise<string> {
    const link = (to: number) => ({ from: 0, to, type: 'uses', direction: 'directed', status: 'active' }) as const;
    const { ids } = await writeWorld({
      contexts: Array.from({ length: size + 1 }, () => ({ isDeleted: false, members: [] })),
      connections: Array.from({ length: size }, (_, index) => link(index + 1)),
    });
    return ids[0] ?? '';
  }

  const everyone = { readableBy: null, among: null };

  it.each([
    ['contexts', { nodes: 5 }, 5, 4],
    ['connections', { edges: 3 }, 7, 3],
    ['connections that are looked at', { looked: 4 }, 6, 5],
  ])('says so when there are too many %s', async (_what, bound, nodes, edges) => {
    const id = await star(6);
    const graph = await contextGraph(env.DB, { id, name: '' }, 1, everyone, { ...GRAPH_BOUNDS, ...bound });
    expect(graph.truncated).toBe(true);
    expect(graph.nodes).toHaveLength(nodes);
    expect(graph.edges).toHaveLength(edges);
    const whole = { nodes: 7, edges: 6, looked: 6 };
    expect((await contextGraph(env.DB, { id, name: '' }, 1, everyone, whole)).truncated).toBe(false);
  });

  it('does not tell by being cut how much there is that must not be seen', async () => {
    const id = await star(6);
    const graph = await contextGraph(
      env.DB,
      { id, name: '' },
      4,
      { readableBy: READER, among: null },
      {
        nodes: 2,
        edges: 1,
        looked: 100,
      },
    );
    expect(graph).toEqual({ nodes: [{ id, name: '', depth: 0 }], edges: [], truncated: false });
  });

  it('asks the database one question for each step and one more', async () => {
    const { ids } = await writeWorld({
      contexts: Array.from({ length: 6 }, () => ({ isDeleted: false, members: [] })),
      connections: Array.from({ length: 5 }, (_, index) => {
        return { from: index, to: index + 1, type: 'next', direction: 'directed', status: 'active' } as const;
      }),
    });
    const prepare = vi.spyOn(env.DB, 'prepare');
    const graph = await contextGraph(env.DB, { id: ids[0] ?? '', name: '' }, 4, everyone);
    expect(prepare).toHaveBeenCalledTimes(5);
    prepare.mockRestore();
    expect(graph.nodes.map(({ depth }) => depth)).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('GET /v1/contexts/{id}/graph', () => {
  async function graph(by: Person, context: string, query = ''): Promise<ContextGraph> {
    return expectJson(await by.call(`${context}/graph${query}`), 200);
  }

  it('shows what the caller may read, and nothing through what they may not', async () => {
    const [ann, bob] = await Promise.all([person('Ann'), person('Bob')]);
    const [one, two, three] = await Promise.all([
      contextOf(ann, { name: 'One' }),
      contextOf(ann, { name: 'Two' }),
      contextOf(ann, { name: 'Three' }),
    ]);
    const first = await connectContexts(ann, one, two, { type: 'uses' });
    await connectContexts(ann, two, three, { type: 'uses', direction: 'undirected' });
    await connectContexts(ann, three, one, { type: 'part_of' });
    // The connections are in the read models, the contexts a moment later perhaps.
    const near = await vi.waitFor(async () => {
      const found = await graph(ann, one);
      expect(found.nodes).toEqual([
        { id: idOf(one), name: 'One', depth: 0 },
        ...[
          { id: idOf(two), name: 'Two', depth: 1 },
          { id: idOf(three), name: 'Three', depth: 1 },
        ].sort((a, b) => (a.id < b.id ? -1 : 1)),
      ]);
      return found;
    });
    expect(near.edges).toHaveLength(3);
    expect(near.edges).toContainEqual({
      id: idOf(first),
      from: idOf(one),
      to: idOf(two),
      type: 'uses',
      direction: 'directed',
      status: 'active',
    });
    await share(ann, one, bob, 'viewer');
    expect((await graph(bob, one, '?depth=4')).nodes).toEqual([{ id: idOf(one), name: 'One', depth: 0 }]);
    await share(ann, three, bob, 'viewer');
    await vi.waitFor(async () => {
      const { nodes, edges } = await graph(bob, one, '?depth=4');
      expect(nodes.map(({ name }) => name)).toEqual(['One', 'Three']);
      expect(edges.map(({ type }) => type)).toEqual(['part_of']);
    });
    await expectProblem(await bob.call(`${two}/graph`), 404, 'not-found');
  });

  it('loses what is disconnected', async () => {
    const ann = await person('Ann');
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    const path = await connectContexts(ann, one, two);
    await vi.waitFor(async () => expect((await graph(ann, two)).nodes).toHaveLength(2));
    await ann.call(path, { method: 'DELETE', headers: { Prefer: 'wait=10' } });
    expect(await graph(ann, two)).toMatchObject({ edges: [], truncated: false });
  });

  it.each(['depth=0', 'depth=5', 'depth=99', 'depth=x', 'depth=', 'depth=1&depth=2', 'x=1'])(
    'refuses %s',
    async (query) => {
      const ann = await person('Ann');
      await expectProblem(await ann.call(`${await contextOf(ann)}/graph?${query}`), 400, 'invalid');
    },
  );

  it('hides a context that one may not read, and needs both scopes', async () => {
    const [ann, eve] = await Promise.all([person('Ann'), person('Eve')]);
    const own = await contextOf(ann);
    const nobody = `/v1/contexts/${derivedId('ctx', 'graph: nobody')}`;
    const bodies = await Promise.all(
      [own, nobody].map(async (path) => {
        const { instance: _instance, ...body } = await expectProblem(await eve.call(`${path}/graph`), 404, 'not-found');
        return body;
      }),
    );
    expect(bodies[0]).toEqual(bodies[1]);
    for (const scopes of [['contexts:read'], ['connections:read']]) {
      const { key } = await issueKey(ann.id, { scopes });
      const response = await api(`${own}/graph`, { headers: { Authorization: `Bearer ${key}` } });
      await expectProblem(response, 403, 'insufficient-scope');
    }
  });
});
