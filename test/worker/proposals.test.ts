import { beforeAll, describe, expect, it } from 'vitest';
import { expectJson } from '../support/actors.ts';
import { watch } from '../support/live.ts';
import { expectInvalid, expectProblem, history, withNothingWritten } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

let ann: Person;
let bob: Person;
let cem: Person;
let vic: Person;
let eve: Person;
beforeAll(async () => {
  [ann, bob, cem, vic, eve] = await Promise.all([
    person('Ann'),
    person('Bob'),
    person('Cem'),
    person('Vic'),
    person('Eve'),
  ]);
});

interface ProposalJson {
  id: string;
  status: string;
  base: number;
  change: object;
  author: { actor: string };
  approvals: { actor: string }[];
  comments: { author: string; text: string }[];
  staleSince: number | null;
  closed: { closedBy: { actor: string }; reason: string | null; version: number } | null;
}

/** A context of Ann's that Bob and Cem may edit and Vic may read. */
async function team(): Promise<string> {
  const context = await contextOf(ann, { name: 'Before', metadata: { priority: 1 } });
  await share(ann, context, bob);
  await share(ann, context, cem);
  await share(ann, context, vic, 'viewer');
  return context;
}

async function propose(context: string, change: object, who = bob): Promise<string> {
  const made = await expectJson<ProposalJson>(await who.post(`${context}/proposals`, { change }), 201);
  return `${context}/proposals/${made.id}`;
}

const read = async (path: string, who = vic) => expectJson<ProposalJson>(await who.call(path), 200);

describe('a proposal', () => {
  it('is discussed, approved by as many as the rule says and applied as one event with all names on it', async () => {
    const context = await team();
    expect(await expectJson(await vic.call(`${context}/rules`), 200)).toEqual({
      approvalsRequired: 1,
      proposalsOnly: false,
    });
    const mergePatch = { 'Content-Type': 'application/merge-patch+json' };
    const rules = { method: 'PATCH', json: { approvalsRequired: 2 }, headers: mergePatch };
    await expectJson(await ann.call(`${context}/rules`, rules), 200);
    const path = await propose(context, { name: 'After', metadata: { priority: 2 } });
    await expectJson(await cem.post(`${path}/comments`, { text: '  Why?  ' }), 201);
    expect(await expectJson(await cem.post(`${path}/approve`), 200)).toMatchObject({ status: 'open' });
    expect(await expectJson(await cem.post(`${path}/approve`), 200)).toMatchObject({ approvals: [{ actor: cem.id }] });
    expect(await read(path)).toMatchObject({
      status: 'open',
      author: { actor: bob.id },
      change: { name: 'After', metadata: { priority: 2 } },
      comments: [{ author: cem.id, text: 'Why?' }],
      approvals: [{ actor: cem.id }],
    });
    expect(await expectJson(await ann.post(`${path}/approve`), 200)).toMatchObject({ status: 'applied' });
    expect(await expectJson(await vic.call(context), 200)).toMatchObject({ name: 'After', metadata: { priority: 2 } });
    expect((await history(idOf(context))).at(-1)).toMatchObject({
      type: 'proposal_applied',
      actor: ann.id,
      data: { proposal: idOf(path), proposedBy: bob.id, approvedBy: [cem.id, ann.id] },
    });
    expect(await read(path)).toMatchObject({
      status: 'applied',
      comments: [{ text: 'Why?' }],
      approvals: [{ actor: cem.id }, { actor: ann.id }],
      closed: { closedBy: { actor: ann.id } },
    });
  });

  it('is stale when somebody has changed the same, and good again once it is rebased', async () => {
    const context = await team();
    const path = await propose(context, { name: 'After' });
    await expectJson(await cem.patch(context, { name: 'Meanwhile' }), 200);
    expect(await read(path)).toMatchObject({ status: 'stale' });
    const { detail } = await expectProblem(await ann.post(`${path}/approve`), 409, 'stale-proposal');
    expect(detail).toContain('rebase');
    await expectProblem(await ann.post(`${path}/rebase`), 403, 'forbidden');
    expect(await expectJson(await bob.post(`${path}/rebase`), 200)).toMatchObject({ status: 'open', staleSince: null });
    expect(await expectJson(await ann.post(`${path}/approve`), 200)).toMatchObject({ status: 'applied' });
  });

  it('is decided once: rejected and withdrawn ones stay so, and can be looked at', async () => {
    const context = await team();
    const [rejected, withdrawn, open] = [
      await propose(context, { name: 'One' }),
      await propose(context, { name: 'Two' }),
      await propose(context, { name: 'Three' }),
    ];
    await expectJson(await cem.post(`${rejected}/reject`, { reason: 'Not now' }), 200);
    await expectJson(await bob.post(`${withdrawn}/withdraw`), 200);
    expect(await read(rejected)).toMatchObject({ status: 'rejected', closed: { reason: 'Not now' } });
    expect(await read(withdrawn)).toMatchObject({ status: 'withdrawn', change: { name: 'Two' } });
    await withNothingWritten(idOf(context), async () => {
      for (const path of [rejected, withdrawn]) {
        await expectProblem(await ann.post(`${path}/approve`), 409, 'proposal-closed');
        await expectProblem(await ann.post(`${path}/reject`), 409, 'proposal-closed');
        await expectProblem(await bob.post(`${path}/withdraw`), 409, 'proposal-closed');
        await expectProblem(await bob.post(`${path}/comments`, { text: 'But' }), 409, 'proposal-closed');
      }
      await expectProblem(await ann.post(`${context}/proposals/pro_unknown/approve`), 404, 'not-found');
      await expectProblem(await ann.call(`${context}/proposals/pro_unknown`), 404, 'not-found');
    });
    interface List {
      items: ProposalJson[];
      decided: { id: string; status: string }[];
    }
    const list = async (query = '') =>
      expectJson<List>(await vic.call(`${context}/proposals${query}`), 200).then(({ items, decided }) =>
        [...decided, ...items].map(({ id, status }) => [id, status]),
      );
    expect(await list()).toEqual([
      [idOf(rejected), 'rejected'],
      [idOf(withdrawn), 'withdrawn'],
      [idOf(open), 'open'],
    ]);
    expect(await list('?status=open')).toEqual([[idOf(open), 'open']]);
    expect(await list('?status=rejected')).toEqual([[idOf(rejected), 'rejected']]);
    await expectProblem(await vic.call(`${context}/proposals?status=x`), 400, 'invalid');
  });

  it('is made and approved by those who may change the context, and never by its author alone', async () => {
    const context = await team();
    const path = await propose(context, { name: 'After' });
    await withNothingWritten(idOf(context), async () => {
      await expectProblem(await bob.post(`${path}/approve`), 403, 'forbidden');
      await expectProblem(await ann.post(`${path}/withdraw`), 403, 'forbidden');
      for (const [who, status, code] of [
        [vic, 403, 'forbidden'],
        [eve, 404, 'not-found'],
      ] as const) {
        await expectProblem(await who.post(`${context}/proposals`, { change: { name: 'x' } }), status, code);
        for (const what of ['approve', 'reject', 'withdraw', 'rebase']) {
          await expectProblem(await who.post(`${path}/${what}`), status, code);
        }
        await expectProblem(await who.post(`${path}/comments`, { text: 'x' }), status, code);
        await expectProblem(await who.patch(`${context}/rules`, { approvalsRequired: 0 }), status, code);
      }
      await expectProblem(await bob.patch(`${context}/rules`, { approvalsRequired: 0 }), 403, 'forbidden');
      for (const rest of ['/proposals', '/rules', `/proposals/${idOf(path)}`]) {
        await expectProblem(await eve.call(context + rest), 404, 'not-found');
      }
    });
  });

  it('is the only way, where the rules say so', async () => {
    const context = await team();
    await expectJson(await ann.patch(`${context}/rules`, { proposalsOnly: true }), 200);
    const { detail } = await expectProblem(await bob.patch(context, { name: 'x' }), 409, 'proposals-only');
    expect(detail).toContain('/proposals');
    await expectProblem(await bob.post(`${context}/revert`, { to: 1 }), 409, 'proposals-only');
    const path = await propose(context, { name: 'After' });
    await expectJson(await cem.post(`${path}/approve`), 200);
    expect(await expectJson(await ann.patch(context, { name: 'Owner' }), 200)).toMatchObject({ name: 'Owner' });
  });

  it('is refused when it is none', async () => {
    const context = await team();
    const send = (json: unknown) => bob.post(`${context}/proposals`, json);
    await withNothingWritten(idOf(context), async () => {
      const same = 'would change nothing: the context is like that already';
      await expectInvalid(await send({ change: { name: 'Before' } }), '/change', same);
      await expectInvalid(await send({ change: {} }), '/change', same);
      for (const [json, pointer] of [
        [{}, '/change'],
        [{ change: { name: '' } }, '/change/name'],
        [{ change: { owner: bob.id } }, '/change/owner'],
        [{ change: { members: [] } }, '/change/members'],
        [{ change: { name: 'x' }, approvedBy: [cem.id] }, '/approvedBy'],
        [{ change: { name: 'x' }, message: ' ' }, '/message'],
        [{ change: { name: 'x' }, message: 'x'.repeat(2_001) }, '/message'],
        [{ change: { metadata: { filling: 'x'.repeat(65_520) } } }, '/change/metadata'],
      ] as const) {
        const { errors } = await expectProblem(await send(json), 400, 'invalid');
        expect(errors?.[0]?.pointer).toBe(pointer);
      }
      for (const rules of [{ approvalsRequired: -1 }, { approvalsRequired: 1.5 }, { proposalsOnly: 'yes' }, { x: 1 }]) {
        await expectProblem(await ann.patch(`${context}/rules`, rules), 400, 'invalid');
      }
    });
  });

  it('can be tried again with the same Idempotency-Key', async () => {
    const context = await team();
    const send = (json: object) => bob.post(`${context}/proposals`, json, { 'Idempotency-Key': 'propose' });
    const [first, again] = [await send({ change: { name: 'x' } }), await send({ change: { name: 'x' } })];
    expect(await expectJson(again, 201)).toEqual(await expectJson(first, 201));
    await expectProblem(await send({ change: { name: 'y' } }), 422, 'idempotency-key-reused');
  });

  it('is no conflict for a change that expects the version before it, and its application is', async () => {
    const context = await team();
    const { version } = await expectJson<{ version: number }>(await ann.call(context), 200);
    const path = await propose(context, { description: 'new' });
    const patch = (json: object, at: number) =>
      ann.call(context, { method: 'PATCH', json, headers: { 'If-Match': `"${at}"` } });
    expect((await patch({ name: 'y' }, version)).status).toBe(200);
    const next = await expectJson<{ version: number }>(await ann.call(context), 200);
    await expectJson(await cem.post(`${path}/approve`), 200);
    expect((await patch({ name: 'z' }, next.version)).status).toBe(412);
  });
});

describe('notes', () => {
  interface NoteJson {
    id: string;
    author: string;
    text: string;
  }

  it('are written by those who may change the context, read by all members, and taken off by author or owner', async () => {
    const context = await team();
    const add = async (who: Person, text: string) =>
      expectJson<NoteJson>(await who.post(`${context}/notes`, { text }), 201);
    const [one, two, three] = [await add(bob, ' First '), await add(bob, 'Second'), await add(cem, 'Third')];
    expect(one).toMatchObject({ author: bob.id, text: 'First' });
    const list = async () => (await expectJson<{ items: NoteJson[] }>(await vic.call(`${context}/notes`), 200)).items;
    expect(await list()).toEqual([one, two, three]);
    await expectProblem(await cem.remove(`${context}/notes/${one.id}`), 403, 'forbidden');
    await expectProblem(await vic.post(`${context}/notes`, { text: 'x' }), 403, 'forbidden');
    await expectProblem(await vic.remove(`${context}/notes/${one.id}`), 403, 'forbidden');
    await expectProblem(await eve.call(`${context}/notes`), 404, 'not-found');
    await expectProblem(await eve.post(`${context}/notes`, { text: 'x' }), 404, 'not-found');
    expect((await bob.remove(`${context}/notes/${one.id}`)).status).toBe(204);
    expect((await ann.remove(`${context}/notes/${three.id}`)).status).toBe(204);
    expect(await list()).toEqual([two]);
    await expectProblem(await bob.remove(`${context}/notes/${one.id}`), 404, 'not-found');
    for (const text of ['', ' ', 'x'.repeat(2_001), 'a\u0000b']) {
      await expectProblem(await bob.post(`${context}/notes`, { text }), 400, 'invalid');
    }
  });

  it('are no part of the context that is read, listed or sent to who begins to watch it', async () => {
    const context = await team();
    await expectJson(await bob.post(`${context}/notes`, { text: 'between us' }), 201);
    for (const query of ['', '?at=9']) {
      expect(JSON.stringify(await expectJson(await vic.call(context + query), 200))).not.toContain('between us');
    }
    const watcher = await watch(idOf(context), '', { Authorization: `Bearer ${vic.key}` });
    const { state } = await watcher.until('hello');
    expect(state).toMatchObject({ id: idOf(context), name: 'Before' });
    expect(JSON.stringify(state)).not.toContain('between us');
    for (const part of ['notes', 'collaboration']) expect(state).not.toHaveProperty(part);
    const leave = await cem.post(`${context}/leave`, undefined, { Prefer: 'wait=10' });
    expect(leave.status).toBe(204);
    const list = JSON.stringify(await expectJson(await vic.call('/v1/contexts?limit=100'), 200));
    expect(list).toContain(idOf(context));
    expect(list).not.toContain('between us');
  });
});
