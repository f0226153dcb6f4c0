import { evictDurableObject } from 'cloudflare:test';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Role } from '../../actors/access.ts';
import type { ContextCommand } from '../../actors/context.ts';
import { isRefusal } from '../../actors/decider.ts';
import type { Principal } from '../../actors/principal.ts';
import { createContext } from '../support/api.ts';
import { ADMINISTRATOR, principalOf } from '../support/principals.ts';
import { objectOf } from '../support/rest.ts';
import { printedSeed } from '../support/seed.ts';

/** Everybody there is. The first owner is the administrator, who goes on seeing everything and is no part of the model. */
const PEOPLE = ['act_a', 'act_b', 'act_c', 'act_d'] as const;
type Name = (typeof PEOPLE)[number];

/** The reference model: who is what, and who may become what. */
interface Model {
  roles: Map<Name, Role>;
  invitations: Map<Name, { id: string; role: Role; by: Name }>;
}

const name = fc.constantFrom(...PEOPLE);
const role = fc.constantFrom<Role>('owner', 'editor', 'viewer', 'auditor');
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('invite' as const), by: name, who: name, role }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('accept' as const), by: name, who: name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('decline' as const), by: name, who: name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), by: name, who: name }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('changeRole' as const), by: name, who: name, role }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), by: name, who: name }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), by: name }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('transfer' as const), by: name, who: name, role }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('evict' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const owners = ({ roles }: Model) => [...roles].filter(([, each]) => each === 'owner').map(([who]) => who);

/** Takes a role away or gives another; what somebody began as owner ends with their ownership. */
function settle(model: Model, who: Name, next: Role | null): void {
  if (next === null) model.roles.delete(who);
  else model.roles.set(who, next);
  if (next === 'owner') return;
  for (const [guest, { by }] of model.invitations) if (by === who) model.invitations.delete(guest);
}

const isLastOwner = (model: Model, who: Name) => model.roles.get(who) === 'owner' && owners(model).length === 1;

/** What the model says of a step: the command that it is, and what becomes of it. */
function expected(
  step: Exclude<Step, { kind: 'evict' }>,
  model: Model,
  owner: Name,
  id: string,
): { command: ContextCommand; succeeds: boolean; apply?: () => Name | undefined } {
  const { by } = step;
  const mine = model.roles.get(by);
  const isOwner = mine === 'owner';
  switch (step.kind) {
    case 'invite': {
      const { who, role } = step;
      const succeeds = isOwner && who !== by && !model.roles.has(who) && !model.invitations.has(who);
      const apply = () => void model.invitations.set(who, { id, role, by });
      return { command: { type: 'invite', invitation: id, actor: who, role }, succeeds, apply };
    }
    case 'accept':
    case 'decline': {
      const invitation = model.invitations.get(step.who);
      const type = step.kind === 'accept' ? 'acceptInvitation' : 'declineInvitation';
      const command = { type, invitation: invitation?.id ?? 'inv_none' } as const;
      const apply = () => {
        model.invitations.delete(by);
        if (invitation && step.kind === 'accept') model.roles.set(by, invitation.role);
        return undefined;
      };
      return { command, succeeds: invitation !== undefined && step.who === by, apply };
    }
    case 'withdraw': {
      const invitation = model.invitations.get(step.who);
      const apply = () => void model.invitations.delete(step.who);
      const command = { type: 'withdrawInvitation', invitation: invitation?.id ?? 'inv_none' } as const;
      return { command, succeeds: isOwner && invitation !== undefined, apply };
    }
    case 'changeRole': {
      const { who, role } = step;
      const current = model.roles.get(who);
      const keepsOwner = role === 'owner' || !isLastOwner(model, who);
      const apply = () => void (current === role || settle(model, who, role));
      return { command: { type: 'changeRole', actor: who, role }, succeeds: isOwner && !!current && keepsOwner, apply };
    }
    case 'remove': {
      const { who } = step;
      const succeeds = isOwner && model.roles.has(who) && !isLastOwner(model, who);
      return { command: { type: 'removeMember', actor: who }, succeeds, apply: () => void settle(model, who, null) };
    }
    case 'leave': {
      const succeeds = mine !== undefined && !isLastOwner(model, by);
      return { command: { type: 'leave' }, succeeds, apply: () => void settle(model, by, null) };
    }
    case 'transfer': {
      const { who, role } = step;
      const apply = () => {
        if (who === owner) return undefined;
        settle(model, who, 'owner');
        settle(model, owner, role);
        return who;
      };
      const command = { type: 'transferOwnership', to: who, formerRole: role } as const;
      return { command, succeeds: isOwner && model.roles.has(who), apply };
    }
    default:
      return step satisfies never;
  }
}

/** Makes somebody owner of a new context, from which the administrator then goes. */
async function contextOwnedBy(owner: Name): Promise<string> {
  const { id } = await createContext();
  const run = async (principal: Principal, command: ContextCommand) => {
    const cause = { correlationId: 'r', causationId: null, commandId: 'c' };
    const reply = await objectOf(id).execute({ id, command, principal, cause });
    if (isRefusal(reply)) throw new Error(reply.detail);
  };
  await run(ADMINISTRATOR, { type: 'invite', invitation: 'inv_first', actor: owner, role: 'owner' });
  await run(principalOf(owner), { type: 'acceptInvitation', invitation: 'inv_first' });
  await run(ADMINISTRATOR, { type: 'transferOwnership', to: owner, formerRole: 'viewer' });
  await run(ADMINISTRATOR, { type: 'leave' });
  return id;
}

describe('who may do what with a context', () => {
  it('is what the reference model says, after any invitations, changes of roles, removals and transfers', {
    timeout: 300_000,
  }, async () => {
    const seed = printedSeed('sharing model');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const id = await contextOwnedBy('act_a');
        const model: Model = { roles: new Map([['act_a', 'owner']]), invitations: new Map() };
        let owner: Name = 'act_a';
        for (const [n, each] of steps.entries()) {
          const object = objectOf(id);
          if (each.kind === 'evict') {
            // Only an object that is awake can be evicted.
            await object.view(ADMINISTRATOR);
            await evictDurableObject(object);
            continue;
          }
          const { command, succeeds, apply } = expected(each, model, owner, `inv_${n}`);
          const cause = { correlationId: 'r', causationId: null, commandId: `c${n}` };
          const reply = await object.execute({ id, command, principal: principalOf(each.by), cause });
          expect([each, !isRefusal(reply)]).toEqual([each, succeeds]);
          if (succeeds) owner = apply?.() ?? owner;
          if (model.roles.get(owner) !== 'owner') owner = nextOwner(await membersOf(id));
          await check(id, model, owner);
        }
      }),
      { seed, numRuns: 40 },
    );
  });
});

interface MemberJson {
  actor: string;
  role: Role;
}

async function viewOf(id: string): Promise<{ owner: string; members: MemberJson[] }> {
  const view = await objectOf(id).view(ADMINISTRATOR);
  if (isRefusal(view)) throw new Error(view.detail);
  return JSON.parse(view.body);
}

const membersOf = async (id: string) => (await viewOf(id)).members;

/** The first owner in the order in which they came. */
function nextOwner(members: readonly MemberJson[]): Name {
  const found = PEOPLE.find((who) => who === members.find(({ role }) => role === 'owner')?.actor);
  if (!found) throw new Error('the context has no owner');
  return found;
}

/** Compares what each may do with the model: nobody reads who is no member, and there always is an owner. */
async function check(id: string, model: Model, owner: Name): Promise<void> {
  const { owner: belongsTo, members } = await viewOf(id);
  expect(Object.fromEntries(members.map(({ actor, role }) => [actor, role]))).toEqual(Object.fromEntries(model.roles));
  expect(owners(model).length).toBeGreaterThan(0);
  expect(belongsTo).toBe(owner);
  for (const who of PEOPLE) {
    const principal = principalOf(who);
    const [view, history, ticket] = await Promise.all([
      objectOf(id).view(principal),
      objectOf(id).history(principal, 0, 1),
      objectOf(id).issueTicket(principal),
    ]);
    const outcome = model.roles.has(who) ? 'seen' : model.invitations.has(who) ? 'forbidden' : 'not-found';
    for (const answer of [view, history, ticket]) {
      expect([who, isRefusal(answer) ? answer.refused : 'seen']).toEqual([who, outcome]);
    }
  }
}
