import { describe, expect, it } from 'vitest';
import { contextView } from '../../actors/collaboration.ts';
import { contextDecider } from '../../actors/context.ts';
import type { ContextEvent } from '../../events/context.ts';
import { specify } from '../support/given.ts';
import { ADMINISTRATOR, principalOf } from '../support/principals.ts';

const DAY_MS = 86_400_000;
/** The time of the first event of every specification. */
const START = Date.UTC(2026, 0, 1);

const created: ContextEvent = {
  type: 'context_created',
  data: { name: 'Planning', description: '', owner: 'act_ann', systems: [], tools: [], metadata: {} },
};
const deleted: ContextEvent = { type: 'context_deleted', data: {} };

type Role = 'owner' | 'editor' | 'viewer' | 'auditor';

const sent = (invitation: string, actor: string, role: Role = 'editor', days = 7): ContextEvent => ({
  type: 'invitation_sent',
  data: { invitation, actor, role, expiresAt: new Date(START + days * DAY_MS).toISOString() },
});
const accepted = (invitation: string, actor: string, role: Role = 'editor'): ContextEvent => ({
  type: 'invitation_accepted',
  data: { invitation, actor, role },
});
const joined = (actor: string, role: Role = 'editor') => [
  sent(`inv_${actor}`, actor, role),
  accepted(`inv_${actor}`, actor, role),
];
const invite = (actor: string, more: { role?: Role; expiresAt?: string } = {}) =>
  ({ type: 'invite', invitation: 'inv_1', actor, role: 'editor', ...more }) as const;

const ann = principalOf('act_ann');
const bob = principalOf('act_bob');
const context = specify(contextDecider, 'context/ctx_1');

describe('an invitation', () => {
  it('is open for a week unless something else is said', () => {
    const expiresAt = new Date(START + 1000 + 7 * DAY_MS).toISOString();
    context
      .given([created])
      .when(invite('act_bob'), ann)
      .yields([
        { type: 'invitation_sent', data: { invitation: 'inv_1', actor: 'act_bob', role: 'editor', expiresAt } },
      ]);
  });

  it.each([
    ['the past', START],
    ['the very moment', START + 1000],
    ['later than 30 days', START + 1001 + 30 * DAY_MS],
  ])('cannot end in %s', (_what, end) => {
    const command = invite('act_bob', { expiresAt: new Date(end).toISOString() });
    context.given([created]).when(command, ann).isRefused('invalid');
  });

  it('may last 30 days', () => {
    const expiresAt = new Date(START + 1000 + 30 * DAY_MS).toISOString();
    context
      .given([created])
      .when(invite('act_bob', { expiresAt }), ann)
      .yields([
        { type: 'invitation_sent', data: { invitation: 'inv_1', actor: 'act_bob', role: 'editor', expiresAt } },
      ]);
  });

  it('is for somebody else than who sends it, also than the hand that sends it in another name', () => {
    context.given([created]).when(invite('act_ann'), ann).isRefused('invalid');
    context.given([created]).when(invite(ADMINISTRATOR.actor), ADMINISTRATOR).isRefused('invalid');
    const agent = principalOf('act_agent', { subject: 'act_ann' });
    context.given([created]).when(invite('act_agent'), agent).isRefused('invalid');
  });

  it('is for somebody who is neither a member nor invited', () => {
    context
      .given([created, ...joined('act_bob')])
      .when(invite('act_bob'), ann)
      .isRefused('already-member');
    context
      .given([created, sent('inv_0', 'act_bob')])
      .when(invite('act_bob'), ann)
      .isRefused('already-invited');
  });

  it('can be sent again once the one before has expired, which it replaces', () => {
    const expired = sent('inv_0', 'act_bob', 'editor', 0);
    const again = sent('inv_1', 'act_bob');
    const { state } = context.given([created, expired, again]);
    expect(state?.collaboration?.invitations.map(({ id }) => id)).toEqual(['inv_1']);
    const now = START + 60_000;
    const expiresAt = new Date(now + 7 * DAY_MS).toISOString();
    context
      .given([created, expired])
      .when(invite('act_bob'), ann, now)
      .yields([
        { type: 'invitation_sent', data: { invitation: 'inv_1', actor: 'act_bob', role: 'editor', expiresAt } },
      ]);
  });

  it('can be one of a hundred, and no more', () => {
    const open = (count: number) => Array.from({ length: count }, (_, n) => sent(`inv_${n}x`, `act_${n}x`));
    context
      .given([created, ...open(100)])
      .when(invite('act_bob'), ann)
      .isRefused('limit-reached');
    const expiresAt = new Date(START + 100_000 + 7 * DAY_MS).toISOString();
    context
      .given([created, ...open(99)])
      .when(invite('act_bob'), ann)
      .yields([
        { type: 'invitation_sent', data: { invitation: 'inv_1', actor: 'act_bob', role: 'editor', expiresAt } },
      ]);
  });

  it('makes a member of who accepts it', () => {
    const given = context.given([created, sent('inv_1', 'act_bob', 'viewer')]);
    given.when({ type: 'acceptInvitation', invitation: 'inv_1' }, bob).yields([accepted('inv_1', 'act_bob', 'viewer')]);
    const { state } = context.given([created, ...joined('act_bob', 'viewer')]);
    expect(state?.members.at(-1)).toEqual({ actor: 'act_bob', role: 'viewer', since: '2026-01-01T00:00:02.000Z' });
    expect(state?.collaboration?.invitations).toEqual([]);
  });

  it('can be accepted by nobody else, and who may not see it is not told that it is there', () => {
    const given = context.given([created, sent('inv_1', 'act_bob')]);
    given.when({ type: 'acceptInvitation', invitation: 'inv_1' }, ann).isRefused('forbidden');
    given.when({ type: 'acceptInvitation', invitation: 'inv_1' }, principalOf('act_eve')).isRefused('not-found');
    given.when({ type: 'declineInvitation', invitation: 'inv_1' }, ann).isRefused('forbidden');
    given.when({ type: 'acceptInvitation', invitation: 'inv_2' }, bob).isRefused('not-found');
  });

  it('cannot be accepted after its end, nor once the context is deleted or full', () => {
    const command = { type: 'acceptInvitation', invitation: 'inv_1' } as const;
    const given = context.given([created, sent('inv_1', 'act_bob')]);
    given.when(command, bob, START + 7 * DAY_MS).isRefused('invitation-expired');
    given.when(command, bob, START + 7 * DAY_MS - 1).yields([accepted('inv_1', 'act_bob')]);
    context
      .given([created, sent('inv_1', 'act_bob'), deleted])
      .when(command, bob)
      .isRefused('deleted');
    const crowd = Array.from({ length: 99 }, (_, n) => joined(`act_${n}x`)).flat();
    context
      .given([created, ...crowd, sent('inv_1', 'act_bob')])
      .when(command, bob)
      .isRefused('limit-reached');
  });

  it('can be declined and withdrawn, once', () => {
    const declined: ContextEvent = { type: 'invitation_declined', data: { invitation: 'inv_1', actor: 'act_bob' } };
    const withdrawn: ContextEvent = { type: 'invitation_withdrawn', data: { invitation: 'inv_1', actor: 'act_bob' } };
    const given = context.given([created, sent('inv_1', 'act_bob')]);
    given.when({ type: 'declineInvitation', invitation: 'inv_1' }, bob).yields([declined]);
    given.when({ type: 'withdrawInvitation', invitation: 'inv_1' }, ann).yields([withdrawn]);
    for (const end of [declined, withdrawn]) {
      const after = context.given([created, sent('inv_1', 'act_bob'), end]);
      after.when({ type: 'acceptInvitation', invitation: 'inv_1' }, bob).isRefused('not-found');
      after.when({ type: 'withdrawInvitation', invitation: 'inv_1' }, ann).isRefused('not-found');
    }
  });

  it('does not outlive the ownership of who sent it', () => {
    const invited = [created, ...joined('act_bob', 'owner'), sent('inv_1', 'act_cem', 'owner')];
    const demoted: ContextEvent = { type: 'member_role_changed', data: { actor: 'act_ann', role: 'editor' } };
    const actors = ['act_ann', 'act_ann', 'act_bob', 'act_ann', 'act_bob'];
    expect(context.given(invited, actors).state?.collaboration?.invitations).toHaveLength(1);
    const { state } = context.given([...invited, demoted], actors);
    expect(state?.collaboration?.invitations).toEqual([]);
  });
});

describe('members', () => {
  const team = [created, ...joined('act_bob'), ...joined('act_cem', 'viewer')];

  it('get another role, once', () => {
    const command = { type: 'changeRole', actor: 'act_bob', role: 'viewer' } as const;
    const changed: ContextEvent = { type: 'member_role_changed', data: { actor: 'act_bob', role: 'viewer' } };
    context.given(team).when(command, ann).yields([changed]);
    context
      .given([...team, changed])
      .when(command, ann)
      .yieldsNothing();
    context
      .given(team)
      .when({ ...command, actor: 'act_eve' }, ann)
      .isRefused('not-found');
  });

  it('are removed and leave', () => {
    const removed: ContextEvent = { type: 'member_removed', data: { actor: 'act_bob' } };
    context.given(team).when({ type: 'removeMember', actor: 'act_bob' }, ann).yields([removed]);
    context
      .given(team)
      .when({ type: 'leave' }, bob)
      .yields([{ type: 'member_left', data: { actor: 'act_bob' } }]);
    const after = context.given([...team, removed]);
    expect(after.state?.members.map(({ actor }) => actor)).toEqual(['act_ann', 'act_cem']);
    after.when({ type: 'leave' }, bob).isRefused('not-found');
    after.when({ type: 'removeMember', actor: 'act_bob' }, ann).isRefused('not-found');
  });

  it('can be removed from a deleted context, whose history they could go on reading', () => {
    const given = context.given([...team, deleted]);
    given
      .when({ type: 'removeMember', actor: 'act_bob' }, ann)
      .yields([{ type: 'member_removed', data: { actor: 'act_bob' } }]);
    const removed: ContextEvent = { type: 'member_removed', data: { actor: 'act_bob' } };
    const { state } = context.given([...team, deleted, removed]);
    // The tombstone tells when it was deleted.
    expect(state?.updatedAt).toBe('2026-01-01T00:00:05.000Z');
  });

  it('always have an owner among them', () => {
    const given = context.given(team);
    given.when({ type: 'leave' }, ann).isRefused('last-owner');
    given.when({ type: 'removeMember', actor: 'act_ann' }, ADMINISTRATOR).isRefused('last-owner');
    given.when({ type: 'changeRole', actor: 'act_ann', role: 'editor' }, ann).isRefused('last-owner');
    const promoted: ContextEvent = { type: 'member_role_changed', data: { actor: 'act_bob', role: 'owner' } };
    context
      .given([...team, promoted])
      .when({ type: 'leave' }, ann)
      .yields([{ type: 'member_left', data: { actor: 'act_ann' } }]);
  });

  it('have the next owner as the one whom the context belongs to, when that one goes', () => {
    const promoted: ContextEvent = { type: 'member_role_changed', data: { actor: 'act_bob', role: 'owner' } };
    const left: ContextEvent = { type: 'member_left', data: { actor: 'act_ann' } };
    expect(context.given([...team, promoted, left]).state?.owner).toBe('act_bob');
  });

  it('hand the context over to another member', () => {
    const command = { type: 'transferOwnership', to: 'act_bob', formerRole: 'viewer' } as const;
    const transferred: ContextEvent = {
      type: 'ownership_transferred',
      data: { from: 'act_ann', to: 'act_bob', formerRole: 'viewer' },
    };
    context.given(team).when(command, ann).yields([transferred]);
    context
      .given(team)
      .when({ ...command, to: 'act_eve' }, ann)
      .isRefused('invalid');
    context
      .given(team)
      .when({ ...command, to: 'act_ann' }, ann)
      .yieldsNothing();
    const { state } = context.given([...team, transferred]);
    expect(state?.owner).toBe('act_bob');
    expect(state?.members.map(({ actor, role }) => [actor, role])).toEqual([
      ['act_ann', 'viewer'],
      ['act_bob', 'owner'],
      ['act_cem', 'viewer'],
    ]);
  });
});

describe('who has an owner’s rights for a while', () => {
  const chain = [
    { id: 'dlg_1', by: 'act_ann' },
    { id: 'dlg_2', by: 'act_bob' },
  ];
  const agent = principalOf('act_agent', { subject: 'act_ann', chain });
  const team = [created, ...joined('act_bob', 'viewer'), ...joined('act_agent', 'viewer'), ...joined('act_eve')];

  it('does not give them to those for good to whom they were handed: neither to oneself nor to who is in between', () => {
    for (const actor of ['act_agent', 'act_bob']) {
      context.given(team).when({ type: 'changeRole', actor, role: 'owner' }, agent).isRefused('forbidden');
      const transfer = { type: 'transferOwnership', to: actor, formerRole: 'owner' } as const;
      context.given(team).when(transfer, agent).isRefused('forbidden');
    }
    context.given([created]).when(invite('act_bob'), agent).isRefused('forbidden');
  });

  it('does with others what the owner does', () => {
    context
      .given(team)
      .when({ type: 'changeRole', actor: 'act_eve', role: 'viewer' }, agent)
      .yields([{ type: 'member_role_changed', data: { actor: 'act_eve', role: 'viewer' } }]);
  });
});

describe('what readers of the context get', () => {
  it('has its members, and nothing of invitations', () => {
    const { state } = context.given([created, ...joined('act_bob'), sent('inv_2', 'act_cem')]);
    const view = contextView(state);
    expect(view?.members).toHaveLength(2);
    expect(JSON.stringify(view)).not.toContain('inv_');
    expect(JSON.stringify(view)).not.toContain('act_cem');
  });

  it('does not count as changed when somebody is invited, and does when somebody comes', () => {
    expect(context.given([created, sent('inv_1', 'act_bob')]).state?.updatedAt).toBe('2026-01-01T00:00:00.000Z');
    expect(context.given([created, ...joined('act_bob')]).state?.updatedAt).toBe('2026-01-01T00:00:02.000Z');
  });
});
