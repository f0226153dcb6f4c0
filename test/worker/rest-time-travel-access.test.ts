import { beforeAll, describe, expect, it } from 'vitest';
import type { ContextCommand } from '../../actors/context.ts';
import { as, expectJson, type KeyHolder, keyHolder } from '../support/actors.ts';
import type { ContextJson } from '../support/api.ts';
import { principalOf } from '../support/principals.ts';
import { expectProblem, objectOf, withNothingWritten } from '../support/rest.ts';

/** Who has to do with the context of these tests, and how. */
let people: Record<'owner' | 'editor' | 'viewer' | 'auditor' | 'stranger' | 'reader', KeyHolder>;
let id: string;

beforeAll(async () => {
  const [owner, editor, viewer, auditor, stranger] = await Promise.all(Array.from({ length: 5 }, () => keyHolder()));
  const reader = await keyHolder({}, { scopes: ['contexts:read'] });
  if (!owner || !editor || !viewer || !auditor || !stranger) throw new Error('nobody came');
  people = { owner, editor, viewer, auditor, stranger, reader };
  const json = { name: 'One', metadata: { a: 1 } };
  ({ id } = await expectJson<ContextJson>(await as(owner.key, '/v1/contexts', { method: 'POST', json }), 201));
  const roles = [
    [editor, 'editor'],
    [viewer, 'viewer'],
    [auditor, 'auditor'],
    [reader, 'owner'],
  ] as const;
  for (const [{ id: actor }, role] of roles) {
    await command(owner.id, { type: 'invite', invitation: `inv_${role}`, actor, role });
    await command(actor, { type: 'acceptInvitation', invitation: `inv_${role}` });
  }
  const patch = { method: 'PATCH', json: { name: 'Two' } };
  await expectJson(await as(editor.key, `/v1/contexts/${id}`, patch), 200);
});

async function command(actor: string, command: ContextCommand): Promise<void> {
  const cause = { correlationId: 'test', causationId: null, commandId: 'test' };
  await objectOf(id).execute({ id, command, principal: principalOf(actor), cause });
}

const reads = ['diff?from=1', 'history?pointer=/name', 'events?at=1'];

function revert({ key }: KeyHolder, json: object = { to: 1 }): Promise<Response> {
  return as(key, `/v1/contexts/${id}/revert`, { method: 'POST', json });
}

describe('the past of a context', () => {
  it.each(['owner', 'editor', 'viewer', 'auditor', 'reader'] as const)('can be read by a member: %s', async (who) => {
    for (const read of reads) expect((await as(people[who].key, `/v1/contexts/${id}/${read}`)).status, read).toBe(200);
  });

  it.each(reads)('is hidden from who has nothing to do with it: %s', async (read) => {
    await expectProblem(await as(people.stranger.key, `/v1/contexts/${id}/${read}`), 404, 'not-found');
  });

  it('cannot be brought back by who may only look', async () => {
    await withNothingWritten(id, async () => {
      await expectProblem(await revert(people.viewer), 403, 'forbidden');
      await expectProblem(await revert(people.auditor), 403, 'forbidden');
      await expectProblem(await revert(people.stranger), 404, 'not-found');
      await expectProblem(await revert(people.reader), 403, 'insufficient-scope');
    });
  });

  it('is not brought back over the work of another member, unless one says so', async () => {
    const problem = await withNothingWritten(id, async () =>
      expectProblem(await revert(people.owner), 409, 'conflict'),
    );
    expect(problem.conflicts).toEqual([expect.objectContaining({ pointer: '/name', actor: people.editor.id })]);
    expect((await revert(people.editor)).status).toBe(200);
    expect((await revert(people.owner, { to: 2, onConflict: 'overwrite' })).status).toBe(200);
  });
});
