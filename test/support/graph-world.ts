import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import type { Connection } from '../../actors/connection.ts';
import type { Context } from '../../actors/context.ts';
import { derivedId } from '../../events/id.ts';
import { projectConnection } from '../../projections/connections.ts';
import { projectContexts } from '../../projections/contexts.ts';

const AT = '2026-01-01T00:00:00.000Z';

/** A world of contexts and connections by numbers. */
export interface World {
  readonly contexts: readonly { readonly isDeleted: boolean; readonly members: readonly string[] }[];
  readonly connections: readonly {
    readonly from: number;
    readonly to: number;
    readonly type: string;
    readonly direction: Connection['direction'];
    readonly status: Connection['status'];
  }[];
}

let worlds = 0;

/** Puts a world into the read models. @returns the ids of its contexts, and of its connections */
export async function writeWorld(world: World): Promise<{ ids: string[]; connectionIds: string[] }> {
  worlds += 1;
  const ids = world.contexts.map((_, index) => derivedId('ctx', `graph ${worlds} ${index}`));
  const id = (index: number) => ids[index] ?? '';
  await projectContexts(
    env.DB,
    world.contexts.map(
      ({ isDeleted, members }, index): Context => ({
        id: id(index),
        chittyId: null,
        name: `Context ${index}`,
        description: '',
        owner: 'act_owner',
        members: ['act_owner', ...members].map((actor) => ({ actor, role: 'owner', since: AT })),
        systems: [],
        tools: [],
        metadata: {},
        status: isDeleted ? 'deleted' : 'active',
        version: 1,
        createdAt: AT,
        updatedAt: AT,
        provisioning: { status: 'pending', steps: {} },
      }),
    ),
  );
  const connectionIds = world.connections.map((_, index) => derivedId('con', `graph ${worlds} ${index}`));
  for (const [index, { from, to, ...rest }] of world.connections.entries()) {
    await projectConnection(env.DB, {
      ...rest,
      id: connectionIds[index] ?? '',
      from: id(from),
      to: id(to),
      reason: null,
      idleAfterSeconds: 300,
      createdBy: 'act_owner',
      consentedBy: null,
      version: 1,
      createdAt: AT,
      updatedAt: AT,
    });
  }
  return { ids, connectionIds };
}

/** Somebody who is a member of some of the contexts of a drawn world. */
export const READER = 'act_reader';

const context = fc.record({
  isDeleted: fc.boolean(),
  members: fc.subarray([READER, 'act_other']),
});

/** Draws worlds. */
export const drawnWorld: fc.Arbitrary<World> = fc.integer({ min: 2, max: 9 }).chain((size) => {
  const place = fc.nat({ max: size - 1 });
  return fc.record({
    contexts: fc.array(
      fc.oneof({ weight: 4, arbitrary: context.map((each) => ({ ...each, isDeleted: false })) }, context),
      {
        minLength: size,
        maxLength: size,
      },
    ),
    connections: fc.array(
      fc
        .record({
          from: place,
          to: place,
          type: fc.constantFrom('uses', 'part_of'),
          direction: fc.constantFrom('directed' as const, 'undirected' as const),
          status: fc.constantFrom(...(['active', 'active', 'idle', 'pending', 'failed', 'disconnected'] as const)),
        })
        .filter(({ from, to }) => from !== to),
      { maxLength: 20 },
    ),
  });
});
