import { describe, expect, it } from 'vitest';
import { type ContextCommand, type ContextState, contextDecider } from '../../actors/context.ts';
import type { Past } from '../../actors/decider.ts';
import type { ContextEvent } from '../../events/context.ts';
import { specify } from '../support/given.ts';
import { principalOf } from '../support/principals.ts';

const created: ContextEvent = {
  type: 'context_created',
  data: {
    name: 'Planning',
    description: '',
    owner: 'act_1',
    systems: ['github'],
    tools: [],
    metadata: { priority: 2, tags: { a: 1, b: 2 } },
  },
};
const updated = (data: Extract<ContextEvent, { type: 'context_updated' }>['data']): ContextEvent => ({
  type: 'context_updated',
  data,
});
const deleted: ContextEvent = { type: 'context_deleted', data: {} };
const restored: ContextEvent = { type: 'context_restored', data: {} };

const context = specify(contextDecider, 'context/ctx_1');

describe('creating a context', () => {
  it('happens once', () => {
    context.given([]).when({ type: 'create', data: created.data }).yields([created]);
    context.given([created]).when({ type: 'create', data: created.data }).isRefused('already-exists');
  });

  it('gives an active context of version 1', () => {
    expect(context.given([created]).state).toEqual({
      id: 'ctx_1',
      chittyId: null,
      ...created.data,
      members: [{ actor: 'act_1', role: 'owner', since: '2026-01-01T00:00:00.000Z' }],
      status: 'active',
      version: 1,
      createdAt: '2026-01-01T00:00:00.000Z',
      updatedAt: '2026-01-01T00:00:00.000Z',
      provisioning: { status: 'pending', steps: {} },
    });
  });
});

describe('updating a context', () => {
  it('records only what changes', () => {
    context
      .given([created])
      .when({ type: 'update', data: { name: 'Planning', description: 'new', systems: ['github'], tools: ['linear'] } })
      .yields([updated({ description: 'new', tools: ['linear'] })]);
  });

  it('to what it is already records nothing', () => {
    context.given([created]).when({ type: 'update', data: {} }).yieldsNothing();
    context
      .given([created])
      .when({ type: 'update', data: { name: 'Planning', systems: ['github'], metadata: { priority: 2, none: null } } })
      .yieldsNothing();
  });

  it('keeps the order of systems and tools, which may matter to people', () => {
    context
      .given([created, updated({ systems: ['a', 'b'] })])
      .when({ type: 'update', data: { systems: ['b', 'a'] } })
      .yields([updated({ systems: ['b', 'a'] })]);
  });

  it('merges metadata and records the part of the patch that counts', () => {
    const change = updated({ metadata: { priority: 3, tags: { a: null } } });
    context
      .given([created])
      .when({ type: 'update', data: { metadata: { priority: 3, tags: { a: null, b: 2 } } } })
      .yields([change]);
    expect(context.given([created, change]).state).toMatchObject({ metadata: { priority: 3, tags: { b: 2 } } });
  });

  it('empties the metadata when it is null', () => {
    const change = updated({ metadata: null });
    context
      .given([created])
      .when({ type: 'update', data: { metadata: null } })
      .yields([change]);
    expect(context.given([created, change]).state).toMatchObject({ metadata: {} });
    context
      .given([created, change])
      .when({ type: 'update', data: { metadata: null } })
      .yieldsNothing();
  });

  it('is refused when the merged metadata would be too large', () => {
    const large = updated({ metadata: { first: 'x'.repeat(40_000) } });
    context
      .given([created, large])
      .when({ type: 'update', data: { metadata: { second: 'x'.repeat(40_000) } } })
      .isRefused('invalid');
  });

  it('moves version and updatedAt, and leaves createdAt', () => {
    expect(context.given([created, updated({ name: 'B' })]).state).toMatchObject({
      name: 'B',
      version: 2,
      createdAt: '2026-01-01T00:00:00.000Z',
      updatedAt: '2026-01-01T00:00:01.000Z',
    });
  });

  it('needs a context that is there and not deleted', () => {
    context
      .given([])
      .when({ type: 'update', data: { name: 'B' } })
      .isRefused('not-found');
    context
      .given([created, deleted])
      .when({ type: 'update', data: { name: 'B' } })
      .isRefused('deleted');
  });
});

describe('deleting and restoring', () => {
  it('delete an active context only', () => {
    context.given([created]).when({ type: 'delete' }).yields([deleted]);
    context.given([created, deleted]).when({ type: 'delete' }).isRefused('already-deleted');
    context.given([]).when({ type: 'delete' }).isRefused('not-found');
  });

  it('restore a deleted context only', () => {
    context.given([created, deleted]).when({ type: 'restore' }).yields([restored]);
    context.given([created]).when({ type: 'restore' }).isRefused('not-deleted');
    context.given([]).when({ type: 'restore' }).isRefused('not-found');
  });

  it('keep everything else', () => {
    const before = context.given([created]).state;
    expect(context.given([created, deleted, restored]).state).toEqual({
      ...before,
      version: 3,
      updatedAt: '2026-01-01T00:00:02.000Z',
    });
  });
});

describe('reverting a context', () => {
  const [ann, ben] = ['act_ann', 'act_ben'];
  const by = principalOf(ann);
  const revert = (to: number, more: Partial<Extract<ContextCommand, { type: 'revert' }>> = {}): ContextCommand => ({
    type: 'revert',
    to: { version: to },
    onConflict: 'refuse',
    ...more,
  });
  const reverted = (data: Extract<ContextEvent, { type: 'context_reverted' }>['data']): ContextEvent => ({
    type: 'context_reverted',
    data,
  });

  it('records what changes by it, and the version that it goes back to', () => {
    const change = updated({ name: 'B', tools: ['linear'], metadata: { priority: 9, tags: { a: null }, more: true } });
    const event = reverted({
      to: 1,
      name: 'Planning',
      tools: [],
      metadata: { set: { priority: 2, tags: { a: 1, b: 2 } }, removed: ['more'] },
    });
    context.given([created, change], [ann, ann]).when(revert(1), by).yields([event]);
    expect(context.given([created, change, event]).state).toMatchObject({ ...created.data, version: 3 });
  });

  it('goes back to a time as well', () => {
    context
      .given([created, updated({ name: 'B' }), updated({ name: 'C' })], [ann, ann, ann])
      .when(revert(1, { to: { time: '2026-01-01T00:00:01.500Z' } }), by)
      .yields([reverted({ to: 2, name: 'B' })]);
  });

  it('brings a null in the metadata back, which no merge patch could', () => {
    const withNull: ContextEvent = { type: 'context_created', data: { ...created.data, metadata: { a: null } } };
    const event = reverted({ to: 1, metadata: { set: { a: null }, removed: [] } });
    context
      .given([withNull, updated({ metadata: { a: 1 } })], [ann, ann])
      .when(revert(1), by)
      .yields([event]);
    expect(context.given([withNull, updated({ metadata: { a: 1 } }), event]).state?.metadata).toEqual({ a: null });
  });

  it('to what it is already records nothing', () => {
    context.given([created], [ann]).when(revert(1), by).yieldsNothing();
    context
      .given([created, updated({ name: 'B' }), updated({ name: 'Planning' })])
      .when(revert(1), by)
      .yieldsNothing();
  });

  it('leaves alone what nobody writes: whether it is deleted, and its place in ChittyOS', () => {
    const identified: ContextEvent = { type: 'context_identified', data: { chittyId: 'x', did: 'y' } };
    const events = [created, deleted, restored, identified, updated({ name: 'B' })];
    context
      .given(
        events,
        Array.from(events, () => ann),
      )
      .when(revert(2), by)
      .yields([reverted({ to: 2, name: 'Planning' })]);
    expect(context.given([...events, reverted({ to: 2, name: 'Planning' })]).state).toMatchObject({
      status: 'active',
      chittyId: 'x',
      name: 'Planning',
    });
  });

  it('brings back only the fields that are named', () => {
    context
      .given([created, updated({ name: 'B', systems: [] })], [ann, ann])
      .when(revert(1, { fields: ['systems', 'tools'] }), by)
      .yields([reverted({ to: 1, systems: ['github'] })]);
  });

  it('is refused when somebody else has changed since what it would change', () => {
    const events = [created, updated({ name: 'B' }), updated({ name: 'C', tools: ['linear'] })];
    const refusal = context.given(events, [ann, ann, ben]).when(revert(1), by).isRefused('conflict');
    expect(refusal?.conflicts).toEqual([
      { pointer: '/name', version: 3, actor: ben, time: '2026-01-01T00:00:02.000Z' },
      { pointer: '/tools', version: 3, actor: ben, time: '2026-01-01T00:00:02.000Z' },
    ]);
    expect(refusal?.detail).toContain('/name was changed by act_ben in version 3');
  });

  it('is not refused for what others changed at that version or before, or what the caller has changed since then', () => {
    const events = [created, updated({ name: 'B' }), updated({ name: 'C' }), updated({ name: 'D' })];
    context
      .given(events, [ben, ben, ben, ann])
      .when(revert(2), by)
      .yields([reverted({ to: 2, name: 'B' })]);
  });

  it('is not refused for what others have changed elsewhere, members of the metadata included', () => {
    const events = [
      created,
      updated({ metadata: { priority: 3 } }),
      updated({ description: 'x', metadata: { note: 'y' } }),
    ];
    context
      .given(events, [ann, ann, ben])
      .when(revert(1, { fields: ['metadata'] }), by)
      .isRefused('conflict');
    context
      .given([...events, updated({ metadata: { note: null } })], [ann, ann, ben, ben])
      .when(revert(1, { fields: ['metadata'] }), by)
      .yields([reverted({ to: 1, metadata: { set: { priority: 2 }, removed: [] } })]);
  });

  it.each([
    ['emptied the metadata', updated({ metadata: null }), ['/metadata/priority', '/metadata/tags']],
    [
      'applied a proposal',
      {
        type: 'proposal_applied' as const,
        data: { proposal: 'pro_1', change: { metadata: { priority: 9 } }, proposedBy: ann, approvedBy: [ben] },
      },
      ['/metadata/priority'],
    ],
    [
      'reverted',
      reverted({ to: 1, metadata: { set: { priority: 5 }, removed: ['tags'] } }),
      ['/metadata/priority', '/metadata/tags'],
    ],
    ['changed a member whose name has a slash', updated({ metadata: { 'a/b~c': 1 } }), ['/metadata/a~1b~0c']],
  ])('is refused when somebody else has %s', (_what, event, pointers) => {
    const refusal = context.given([created, event], [ann, ben]).when(revert(1), by).isRefused('conflict');
    expect(refusal?.conflicts?.map(({ pointer }) => pointer)).toEqual(pointers);
  });

  it('overwrites what others have changed when it is told to', () => {
    context
      .given([created, updated({ name: 'B' })], [ann, ben])
      .when(revert(1, { onConflict: 'overwrite' }), by)
      .yields([reverted({ to: 1, name: 'Planning' })]);
  });

  it('is refused, and not done blindly, when the past is too long to be read through', () => {
    const short: Past<ContextState, ContextEvent> = {
      at: () => ({ version: 1, state: context.given([created]).state }),
      newestFirst: () => [],
    };
    const { state } = context.given([created, updated({ name: 'B' })]);
    const decision = contextDecider.decide(revert(1), state, by, 0, short);
    expect(decision).toMatchObject({ refused: 'conflict', conflicts: [] });
    expect(contextDecider.decide(revert(1, { onConflict: 'overwrite' }), state, by, 0, short)).toHaveLength(1);
  });

  it('names twenty conflicts at most', () => {
    const many = updated({
      metadata: Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`k${index}`, index])),
    });
    const refusal = context.given([created, many], [ann, ben]).when(revert(1), by).isRefused('conflict');
    expect(refusal?.conflicts).toHaveLength(20);
  });

  it('needs a context that is there, not deleted, and has been at that version', () => {
    context.given([]).when(revert(1), by).isRefused('not-found');
    context.given([created, deleted]).when(revert(1), by).isRefused('deleted');
    context.given([created]).when(revert(2), by).isRefused('ahead-of-stream');
    context
      .given([created])
      .when(revert(1, { to: { time: '2025-12-31T23:59:59.999Z' } }), by)
      .isRefused('before-creation');
  });
});

describe('a log that does not begin with a creation', () => {
  it('is a fault that is not passed over', () => {
    expect(() => context.given([deleted])).toThrow('context_deleted at the start of context/ctx_1');
  });
});
