import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { expectJson } from '../support/actors.ts';
import { api, type ContextJson } from '../support/api.ts';
import { derivedId, expectInvalid, expectProblem, history, withNothingWritten } from '../support/rest.ts';
import { contextOf, idOf, invite, type Person, person, share } from '../support/sharing.ts';

let ann: Person;
let bob: Person;
let cem: Person;
let eve: Person;
beforeAll(async () => {
  [ann, bob, cem, eve] = await Promise.all([person('Ann'), person('Bob'), person('Cem'), person('Eve')]);
});

interface InvitationJson {
  id: string;
  context: { id: string; name: string };
  actor: string;
  role: string;
  invitedBy: string;
  expiresAt: string;
}

async function waiting(who: Person): Promise<InvitationJson[]> {
  return (await expectJson<{ items: InvitationJson[] }>(await who.call('/v1/invitations?limit=100'), 200)).items;
}

async function membersOf(context: string): Promise<Record<string, string>> {
  const { members } = await expectJson<{ members: { actor: string; role: string }[] }>(await api(context), 200);
  return Object.fromEntries(members.map(({ actor, role }) => [actor, role]));
}

/** The ids that a list or a search shows. */
async function found(who: Person, path: string): Promise<string[]> {
  const { items } = await expectJson<{ items: ContextJson[] }>(await who.call(path), 200);
  return items.map(({ id }) => id);
}

describe('a context is shared by invitation', () => {
  it('of which who is invited learns the context’s name, who invites and the role, and nothing else', async () => {
    const context = await contextOf(ann, { name: 'Secret plans', description: 'nobody else’s business' });
    const path = await invite(ann, context, bob, 'viewer');
    const mine = await vi.waitFor(async () => {
      const item = (await waiting(bob)).find(({ id }) => id === idOf(path));
      if (!item) throw new Error('not in the list yet');
      return item;
    });
    expect(mine).toMatchObject({
      context: { id: idOf(context), name: 'Secret plans' },
      actor: bob.id,
      role: 'viewer',
      invitedBy: ann.id,
    });
    const { items } = await expectJson<{ items: unknown[] }>(await bob.call(`${context}/invitations`), 200);
    expect(items).toEqual([mine]);
    for (const rest of ['', '/events', '/notes', '/proposals', '/rules', '/diff?from=1&to=1']) {
      await expectProblem(await bob.call(`${context}${rest}`), 403, 'forbidden');
    }
    await expectProblem(await bob.patch(context, { name: 'x' }), 403, 'forbidden');
    expect(await found(bob, '/v1/contexts/search?q=secret')).not.toContain(idOf(context));
  });

  it('is not there for anybody else', async () => {
    const context = await contextOf(ann);
    const path = await invite(ann, context, bob);
    const unknown = `/v1/contexts/${derivedId('ctx', 'sharing: nobody')}`;
    for (const [mine, theirs] of [
      [await eve.call(`${context}/invitations`), await eve.call(`${unknown}/invitations`)],
      [await eve.post(`${path}/accept`), await eve.post(`${unknown}/invitations/${idOf(path)}/accept`)],
      [await eve.remove(path), await eve.remove(`${unknown}/invitations/${idOf(path)}`)],
      [
        await eve.post(`${context}/invitations`, { actor: cem.id, role: 'viewer' }),
        await eve.post(`${unknown}/invitations`, { actor: cem.id, role: 'viewer' }),
      ],
      [await eve.post(`${context}/leave`), await eve.post(`${unknown}/leave`)],
      [await eve.remove(`${context}/members/${ann.id}`), await eve.remove(`${unknown}/members/${ann.id}`)],
      [
        await eve.patch(`${context}/members/${ann.id}`, { role: 'viewer' }),
        await eve.patch(`${unknown}/members/${ann.id}`, { role: 'viewer' }),
      ],
      [await eve.post(`${context}/transfer`, { to: eve.id }), await eve.post(`${unknown}/transfer`, { to: eve.id })],
    ] as const) {
      const [one, other] = [await expectProblem(mine, 404, 'not-found'), await expectProblem(theirs, 404, 'not-found')];
      expect(one.detail).toBe(other.detail);
    }
    expect(await waiting(eve)).toEqual([]);
  });

  it('and is read, listed and found by who has accepted', async () => {
    const context = await contextOf(ann, { name: 'Xylophone orchestra' });
    await share(ann, context, bob, 'viewer');
    expect(await expectJson(await bob.call(context), 200)).toMatchObject({
      owner: ann.id,
      members: [
        { actor: ann.id, role: 'owner' },
        { actor: bob.id, role: 'viewer' },
      ],
    });
    const search = () => found(bob, '/v1/contexts/search?q=xylophone');
    await vi.waitFor(async () => expect(await search()).toEqual([idOf(context)]), 10_000);
    expect(await found(bob, '/v1/contexts')).toContain(idOf(context));
    expect(await found(eve, '/v1/contexts/search?q=xylophone')).toEqual([]);
    // The list of invitations is written after the context is.
    await vi.waitFor(async () => {
      expect((await waiting(bob)).map(({ context: { id } }) => id)).not.toContain(idOf(context));
    });
  });

  it('until it is declined or withdrawn', async () => {
    const context = await contextOf(ann);
    const declined = await invite(ann, context, bob);
    expect((await bob.post(`${declined}/decline`)).status).toBe(204);
    await expectProblem(await bob.post(`${declined}/accept`), 404, 'not-found');
    await expectProblem(await bob.call(context), 404, 'not-found');
    const withdrawn = await invite(ann, context, bob);
    expect((await ann.remove(withdrawn)).status).toBe(204);
    await expectProblem(await bob.post(`${withdrawn}/accept`), 404, 'not-found');
    await vi.waitFor(async () => {
      expect((await waiting(bob)).filter((each) => each.context.id === idOf(context))).toEqual([]);
    });
    const types = (await history(idOf(context))).map(({ type }) => type);
    expect(types).toEqual([
      'context_created',
      'invitation_sent',
      'invitation_declined',
      'invitation_sent',
      'invitation_withdrawn',
    ]);
  });

  it('can be tried again with the same Idempotency-Key', async () => {
    const context = await contextOf(ann);
    const send = () =>
      ann.post(`${context}/invitations`, { actor: bob.id, role: 'editor' }, { 'Idempotency-Key': 'invite bob' });
    const first = await send();
    const again = await send();
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(await expectJson(again, 201)).toEqual(await expectJson(first, 201));
    expect(await history(idOf(context))).toHaveLength(2);
  });

  it('is answered in the list also after the context was renamed, and not once it is deleted', async () => {
    const context = await contextOf(ann, { name: 'Before' });
    await invite(ann, context, cem);
    await ann.patch(context, { name: 'After' });
    const inList = async () => (await waiting(cem)).find((each) => each.context.id === idOf(context));
    await vi.waitFor(async () => expect((await inList())?.context.name).toBe('After'), 10_000);
    await ann.remove(context);
    await vi.waitFor(async () => expect(await inList()).toBeUndefined(), 10_000);
  });
});

describe('an invitation is refused', () => {
  it('to oneself, to a member, to who is invited, to nobody, and in a form that is none', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    await invite(ann, context, cem);
    const send = (json: object) => ann.post(`${context}/invitations`, json);
    await withNothingWritten(idOf(context), async () => {
      await expectInvalid(
        await send({ actor: ann.id, role: 'viewer' }),
        '/actor',
        'is you yourself; invite somebody else',
      );
      await expectProblem(await send({ actor: bob.id, role: 'viewer' }), 409, 'already-member');
      await expectProblem(await send({ actor: cem.id, role: 'viewer' }), 409, 'already-invited');
      for (const actor of [derivedId('act', 'sharing: nobody'), 'act_1', 'x', `${bob.id.slice(0, -1)}!`]) {
        const { errors } = await expectProblem(await send({ actor, role: 'viewer' }), 400, 'invalid');
        expect(errors?.[0]?.pointer).toBe('/actor');
      }
      for (const [json, pointer] of [
        [{ actor: eve.id, role: 'administrator' }, '/role'],
        [{ actor: eve.id }, '/role'],
        [{ role: 'viewer' }, '/actor'],
        [{ actor: eve.id, role: 'viewer', invitedBy: eve.id }, '/invitedBy'],
        [{ actor: eve.id, role: 'viewer', expiresAt: 'tomorrow' }, '/expiresAt'],
        [{ actor: eve.id, role: 'viewer', expiresAt: '2020-01-01T00:00:00Z' }, '/expiresAt'],
        [{ actor: eve.id, role: 'viewer', expiresAt: '2099-01-01T00:00:00Z' }, '/expiresAt'],
      ] as const) {
        const { errors } = await expectProblem(await send(json), 400, 'invalid');
        expect(errors?.[0]?.pointer).toBe(pointer);
      }
    });
  });

  it('to somebody who is suspended', async () => {
    const context = await contextOf(ann);
    const gone = await person('Gone');
    await expectJson(await api(`/v1/actors/${gone.id}/suspend`, { method: 'POST', json: { reason: 'x' } }), 200);
    await expectProblem(await ann.post(`${context}/invitations`, { actor: gone.id, role: 'viewer' }), 400, 'invalid');
  });

  it('by an administrator to themselves: they would become a member without anybody’s consent', async () => {
    const context = await contextOf(ann);
    const json = { actor: BOOTSTRAP_ACTOR, role: 'owner' };
    await expectProblem(await api(`${context}/invitations`, { method: 'POST', json }), 400, 'invalid');
  });

  it('by members who are no owners, and with a credential that is not for sharing', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob, 'editor');
    await share(ann, context, cem, 'viewer');
    for (const who of [bob, cem]) {
      const json = { actor: eve.id, role: 'viewer' };
      await expectProblem(await who.post(`${context}/invitations`, json), 403, 'forbidden');
      await expectProblem(await who.call(`${context}/invitations`), 403, 'forbidden');
      await expectProblem(await who.patch(`${context}/members/${who.id}`, { role: 'owner' }), 403, 'forbidden');
      await expectProblem(await who.post(`${context}/transfer`, { to: who.id }), 403, 'forbidden');
      await expectProblem(await who.remove(`${context}/members/${ann.id}`), 403, 'forbidden');
    }
    const writer = await person('Writer', { scopes: ['contexts:read', 'contexts:write'] });
    const own = await contextOf(writer);
    const refused = await writer.post(`${own}/invitations`, { actor: eve.id, role: 'viewer' });
    await expectProblem(refused, 403, 'insufficient-scope');
  });
});

describe('roles', () => {
  it('decide what a member may do, at once', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob, 'viewer');
    await expectProblem(await bob.patch(context, { name: 'Bob was here' }), 403, 'forbidden');
    expect((await ann.patch(`${context}/members/${bob.id}`, { role: 'editor' })).status).toBe(200);
    expect((await bob.patch(context, { name: 'Bob was here' })).status).toBe(200);
    await expectProblem(await bob.remove(context), 403, 'forbidden');
    expect((await ann.patch(`${context}/members/${bob.id}`, { role: 'owner' })).status).toBe(200);
    expect((await bob.remove(context)).status).toBe(204);
  });

  it('end with the membership: the context does not exist any more, is not listed and not found', async () => {
    const context = await contextOf(ann, { name: 'Quixotic venture' });
    await share(ann, context, bob);
    await share(ann, context, cem);
    const search = '/v1/contexts/search?q=quixotic';
    await vi.waitFor(async () => expect(await found(bob, search)).toHaveLength(1), 10_000);
    const removal = await ann.call(`${context}/members/${bob.id}`, {
      method: 'DELETE',
      headers: { Prefer: 'wait=10' },
    });
    expect(removal.status).toBe(204);
    const leave = await cem.post(`${context}/leave`, undefined, { Prefer: 'wait=10' });
    expect(leave.status).toBe(204);
    for (const who of [bob, cem]) {
      for (const rest of ['', '/events', '/notes', '/proposals', '/rules', '/invitations']) {
        await expectProblem(await who.call(`${context}${rest}`), 404, 'not-found');
      }
      expect(await found(who, search)).toEqual([]);
      expect(await found(who, '/v1/contexts')).not.toContain(idOf(context));
    }
    expect(await membersOf(context)).toEqual({ [ann.id]: 'owner' });
  });

  it('always have an owner among them', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    await withNothingWritten(idOf(context), async () => {
      const { detail } = await expectProblem(await ann.post(`${context}/leave`), 409, 'last-owner');
      expect(detail).toContain('/transfer');
      await expectProblem(await ann.remove(`${context}/members/${ann.id}`), 409, 'last-owner');
      await expectProblem(await ann.patch(`${context}/members/${ann.id}`, { role: 'viewer' }), 409, 'last-owner');
      await expectProblem(await ann.patch(`${context}/members/${eve.id}`, { role: 'viewer' }), 404, 'not-found');
      await expectProblem(await ann.remove(`${context}/members/${eve.id}`), 404, 'not-found');
      await expectInvalid(
        await ann.post(`${context}/transfer`, { to: eve.id }),
        '/to',
        'must be a member of the context; invite them first',
      );
    });
    const transfer = await ann.post(`${context}/transfer`, { to: bob.id, formerRole: 'viewer' });
    expect(await expectJson(transfer, 200)).toMatchObject({ owner: bob.id });
    expect(await membersOf(context)).toEqual({ [ann.id]: 'viewer', [bob.id]: 'owner' });
    expect((await ann.post(`${context}/leave`)).status).toBe(204);
  });

  it('can be left by naming oneself', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob, 'viewer');
    expect((await bob.remove(`${context}/members/${bob.id}`)).status).toBe(204);
    expect((await history(idOf(context))).at(-1)).toMatchObject({ type: 'member_left', actor: bob.id });
  });

  it('are no conflict for a change that expects the version before an invitation', async () => {
    const context = await contextOf(ann);
    await invite(ann, context, bob);
    const patch = await ann.call(context, { method: 'PATCH', json: { name: 'y' }, headers: { 'If-Match': '"1"' } });
    expect(patch.status).toBe(200);
  });
});

describe('the list of one’s invitations', () => {
  it('comes in pages', async () => {
    const guest = await person('Guest');
    const contexts = [await contextOf(ann), await contextOf(ann), await contextOf(ann)];
    for (const context of contexts) await invite(ann, context, guest);
    await vi.waitFor(async () => expect(await waiting(guest)).toHaveLength(3), 10_000);
    const all = await waiting(guest);
    interface Page {
      items: InvitationJson[];
      nextCursor: string | null;
    }
    const first = await expectJson<Page>(await guest.call('/v1/invitations?limit=2'), 200);
    const cursor = encodeURIComponent(first.nextCursor ?? '');
    const second = await expectJson<Page>(await guest.call(`/v1/invitations?limit=2&cursor=${cursor}`), 200);
    expect([...first.items, ...second.items]).toEqual(all);
    expect(second.nextCursor).toBeNull();
    await expectProblem(await guest.call('/v1/invitations?cursor=x'), 400, 'invalid');
    await expectProblem(await guest.call('/v1/invitations?limit=0'), 400, 'invalid');
  });

  it('has only those to contexts that the credential is good for', async () => {
    const [one, other] = [await contextOf(ann), await contextOf(ann)];
    const guest = await person('Narrow', { contexts: [idOf(one)] });
    await invite(ann, one, guest);
    await invite(ann, other, guest);
    await vi.waitFor(async () => expect(await waiting(guest)).toHaveLength(1), 10_000);
    expect((await waiting(guest)).map(({ context }) => context.id)).toEqual([idOf(one)]);
    await expectProblem(await guest.call(`${other}/invitations`), 404, 'not-found');
  });

  it('is there again after a rebuild', async () => {
    const guest = await person('Rebuilt');
    await invite(ann, await contextOf(ann), guest);
    await vi.waitFor(async () => expect(await waiting(guest)).toHaveLength(1), 10_000);
    const before = await waiting(guest);
    const stray = `INSERT INTO invitations (context, id, actor, sent_at, expires_at, body)
      SELECT 'ctx_stray', 'inv_stray', actor, sent_at, expires_at, body FROM invitations WHERE actor = ?`;
    await env.DB.prepare(stray).bind(guest.id).run();
    expect(await waiting(guest)).toHaveLength(2);
    let cursor: string | null = null;
    do {
      const path: string = cursor === null ? '' : `?cursor=${cursor}`;
      const part: { nextCursor: string | null } = await expectJson(
        await api(`/v1/admin/rebuild${path}`, { method: 'POST' }),
        200,
      );
      cursor = part.nextCursor;
    } while (cursor !== null);
    expect(await waiting(guest)).toEqual(before);
  });
});
