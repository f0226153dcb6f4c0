import { describe, expect, it } from 'vitest';
import { contextDecider } from '../../actors/context.ts';
import type { ContextEvent } from '../../events/context.ts';
import { specify } from '../support/given.ts';

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

describe('a log that does not begin with a creation', () => {
  it('is a fault that is not passed over', () => {
    expect(() => context.given([deleted])).toThrow('context_deleted at the start of context/ctx_1');
  });
});
