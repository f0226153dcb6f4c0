import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { derivedId } from '../../events/id.ts';
import { type ActorJson, as, expectJson, keyHolder, registerActor } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { expectInvalid, expectProblem } from '../support/rest.ts';

const nobody = derivedId('act', 'actors: nobody');

function post(path: string, json?: object): Promise<Response> {
  return api(path, { method: 'POST', ...(json && { json }) });
}

describe('registering', () => {
  it('makes an actor with an id, a version and a place', async () => {
    const response = await post('/v1/actors', { kind: 'agent', name: '  Scout ', description: 'looks around' });
    const actor = await expectJson<ActorJson>(response, 201);
    expect(actor).toMatchObject({
      kind: 'agent',
      name: 'Scout',
      description: 'looks around',
      capabilities: [],
      status: 'active',
      chittyId: null,
      version: 1,
    });
    expect(response.headers.get('Location')).toBe(`/v1/actors/${actor.id}`);
    expect(response.headers.get('ETag')).toBe('"1"');
    expect(await (await api(`/v1/actors/${actor.id}`)).json()).toEqual(actor);
  });

  it('with an Idempotency-Key happens once', async () => {
    const again = () =>
      api('/v1/actors', {
        method: 'POST',
        json: { kind: 'person', name: 'Once' },
        headers: { 'Idempotency-Key': 'o' },
      });
    const first = await expectJson<ActorJson>(await again(), 201);
    const second = await again();
    expect(second.headers.get('Idempotent-Replayed')).toBe('true');
    expect(await second.json()).toEqual(first);
  });

  it.each([
    ['no kind', { name: 'x' }, '/kind'],
    ['a kind that there is not', { name: 'x', kind: 'robot' }, '/kind'],
    ['a blank name', { name: ' ', kind: 'person' }, '/name'],
    ['a name that is too long', { name: 'x'.repeat(201), kind: 'person' }, '/name'],
    ['a capability that there is not', { name: 'x', kind: 'person', capabilities: ['god'] }, '/capabilities/0'],
    ['an id of one’s choice', { name: 'x', kind: 'person', id: BOOTSTRAP_ACTOR }, '/id'],
    ['keys of one’s choice', { name: 'x', kind: 'person', keys: [] }, '/keys'],
  ])('refuses %s', async (_, json, pointer) => {
    const { errors } = await expectProblem(await post('/v1/actors', json), 400, 'invalid');
    expect(errors?.map((error) => error.pointer)).toEqual([pointer]);
  });
});

describe('who may do what to an actor', () => {
  it('others see only what sharing needs', async () => {
    const ada = await keyHolder({ name: 'Ada', description: 'private' });
    const bob = await keyHolder({ name: 'Bob' });
    const seen = await expectJson<ActorJson>(await as(bob.key, `/v1/actors/${ada.id}`), 200);
    expect(seen).toEqual({ id: ada.id, chittyId: null, kind: 'person', name: 'Ada', status: 'active' });
    const own = await expectJson<ActorJson>(await as(ada.key, '/v1/actors/me'), 200);
    expect(own).toMatchObject({ id: ada.id, description: 'private' });
  });

  it.each([
    ['PATCH', '', { name: 'Mallory' }],
    ['GET', '/keys', undefined],
    ['POST', '/keys', { name: 'x' }],
    ['GET', '/sessions', undefined],
    ['DELETE', '/sessions', undefined],
  ])('another actor may not %s …%s', async (method, path, json) => {
    const [ada, bob] = [await registerActor(), await keyHolder()];
    const response = await as(bob.key, `/v1/actors/${ada.id}${path}`, { method, ...(json && { json }) });
    await expectProblem(response, 403, 'forbidden');
  });

  it.each([
    ['POST', '/suspend'],
    ['POST', '/reinstate'],
    ['PUT', '/capabilities/administrator'],
    ['DELETE', '/capabilities/administrator'],
    ['DELETE', ''],
  ])('who is no administrator may not %s …%s, oneself or others, whatever the scopes', async (method, path) => {
    const ada = await registerActor();
    const bob = await keyHolder({}, { scopes: ['admin', 'actors:read', 'actors:write'] });
    for (const id of [ada.id, bob.id]) {
      await expectProblem(await as(bob.key, `/v1/actors/${id}${path}`, { method }), 403, 'forbidden');
    }
    const weak = await keyHolder({ capabilities: ['administrator'] });
    await expectProblem(await as(weak.key, `/v1/actors/${ada.id}${path}`, { method }), 403, 'insufficient-scope');
  });

  it('only administrators register', async () => {
    const bob = await keyHolder({}, { scopes: ['admin'] });
    const json = { kind: 'person', name: 'x', capabilities: ['administrator'] };
    await expectProblem(await as(bob.key, '/v1/actors', { method: 'POST', json }), 403, 'forbidden');
  });

  it('who does not exist is 404, a mistyped id as well', async () => {
    await expectProblem(await api(`/v1/actors/${nobody}`), 404, 'not-found');
    await expectProblem(await api('/v1/actors/act_x'), 404, 'not-found');
    await expectProblem(await api(`/v1/actors/${nobody}`, { method: 'DELETE' }), 404, 'not-found');
  });
});

describe('changing', () => {
  it('oneself changes name and description, and nothing else', async () => {
    const ada = await keyHolder();
    const patch = (json: object) => as(ada.key, '/v1/actors/me', { method: 'PATCH', json });
    expect(await expectJson(await patch({ name: 'Ada L.' }), 200)).toMatchObject({ name: 'Ada L.' });
    await expectInvalid(
      await patch({ capabilities: ['administrator'] }),
      '/capabilities',
      'is not a known field; leave it out',
    );
    await expectInvalid(await patch({ status: 'active' }), '/status', 'is not a known field; leave it out');
    await expectInvalid(await patch({ kind: 'service' }), '/kind', 'is not a known field; leave it out');
  });

  it('a key that is made meanwhile does not stand in the way of If-Match', async () => {
    const ada = await keyHolder();
    const response = await api(`/v1/actors/${ada.id}`, {
      method: 'PATCH',
      json: { name: 'B' },
      headers: { 'If-Match': '"1"' },
    });
    expect(response.status).toBe(200);
    const stale = await api(`/v1/actors/${ada.id}`, {
      method: 'PATCH',
      json: { name: 'C' },
      headers: { 'If-Match': '"1"' },
    });
    await expectProblem(stale, 412, 'version-mismatch');
  });

  it('capabilities are granted and taken away', async () => {
    const { id } = await registerActor();
    const path = `/v1/actors/${id}/capabilities/auditor`;
    expect(await expectJson(await api(path, { method: 'PUT' }), 200)).toMatchObject({ capabilities: ['auditor'] });
    expect(await expectJson(await api(path, { method: 'DELETE' }), 200)).toMatchObject({ capabilities: [] });
    await expectProblem(await api(`/v1/actors/${id}/capabilities/god`, { method: 'PUT' }), 404, 'not-found');
  });

  it('a deleted actor stays readable and is deleted for good', async () => {
    const { id } = await registerActor();
    expect((await api(`/v1/actors/${id}`, { method: 'DELETE' })).status).toBe(204);
    expect(await expectJson(await api(`/v1/actors/${id}`), 200)).toMatchObject({ status: 'deleted' });
    await expectProblem(await api(`/v1/actors/${id}`, { method: 'DELETE' }), 409, 'deleted');
    await expectProblem(await post(`/v1/actors/${id}/reinstate`), 409, 'deleted');
    await expectProblem(await post(`/v1/actors/${id}/keys`, { name: 'x' }), 409, 'deleted');
  });
});

describe('the first administrator', () => {
  it('is an actor like others', async () => {
    const own = await expectJson<ActorJson>(await api('/v1/actors/me'), 200);
    expect(own).toMatchObject({ id: BOOTSTRAP_ACTOR, capabilities: ['administrator'], status: 'active' });
  });

  it.each([
    ['POST', '/suspend'],
    ['DELETE', ''],
    ['DELETE', '/capabilities/administrator'],
  ])('cannot be locked out: %s …%s', async (method, path) => {
    const { detail } = await expectProblem(
      await api(`/v1/actors/${BOOTSTRAP_ACTOR}${path}`, { method }),
      409,
      'conflict',
    );
    expect(detail).toContain('BOOTSTRAP_API_KEY');
  });
});

describe('operators', () => {
  it('have an actor’s stream deliver at once, the first administrator’s as well', async () => {
    const { id } = await registerActor();
    for (const actor of [id, BOOTSTRAP_ACTOR]) {
      expect((await post(`/v1/admin/outbox/actor/${actor}/retry`)).status).toBe(204);
    }
    await expectProblem(await post('/v1/admin/outbox/actor/act_1/retry'), 404, 'not-found');
  });
});

describe('lists', () => {
  it('find by a part of the name, kind and status, page by page', async () => {
    const made: string[] = [];
    for (const name of ['Zoë Quark', 'ZOE quill', 'Zoe Quest'])
      made.push((await registerActor({ name, kind: 'agent' })).id);
    await post(`/v1/actors/${made[2]}/suspend`);
    const ids = async (query: string) => {
      const page = await expectJson<{ items: ActorJson[]; nextCursor: string | null }>(
        await api(`/v1/actors?${query}`),
        200,
      );
      return { ids: page.items.map(({ id }) => id), next: page.nextCursor };
    };
    await vi.waitFor(async () => expect((await ids('q=zoe%20qu&status=active')).ids).toEqual([made[1], made[0]]));
    await vi.waitFor(async () => expect((await ids('q=zoe%20qu&status=suspended&kind=agent')).ids).toEqual([made[2]]));
    expect((await ids('q=zoe%20qu&kind=person')).ids).toEqual([]);
    const first = await ids('q=zoe%20qu&limit=2');
    expect(first.ids).toEqual([made[2], made[1]]);
    expect((await ids(`q=zoe%20qu&limit=2&cursor=${first.next}`)).ids).toEqual([made[0]]);
  });

  it('show others no more than reading does', async () => {
    const ada = await keyHolder({ name: 'Listed Lovelace', description: 'private' });
    const bob = await keyHolder({ name: 'Listed Bob' });
    await vi.waitFor(async () => {
      const { items } = await expectJson<{ items: ActorJson[] }>(await as(bob.key, '/v1/actors?q=listed'), 200);
      expect(items.map(({ id }) => id)).toEqual([bob.id, ada.id]);
      expect(items[0]).toHaveProperty('capabilities');
      expect(items[1]).toEqual({
        id: ada.id,
        chittyId: null,
        kind: 'person',
        name: 'Listed Lovelace',
        status: 'active',
      });
    });
  });

  it.each([
    ['q=', 'q'],
    ['q=%20', 'q'],
    [`q=${'x'.repeat(201)}`, 'q'],
    ['kind=robot', 'kind'],
    ['status=x', 'status'],
    ['limit=101', 'limit'],
    ['cursor=x', 'cursor'],
    ['owner=x', 'owner'],
  ])('refuse %s', async (query, pointer) => {
    const { errors } = await expectProblem(await api(`/v1/actors?${query}`), 400, 'invalid');
    expect(errors?.map((error) => error.pointer)).toEqual([pointer]);
  });

  it('survive a rebuild', async () => {
    const { id } = await registerActor({ name: 'Rebuilt Rita' });
    await env.DB.prepare('DELETE FROM actors').run();
    let cursor: string | null = '';
    while (cursor !== null) {
      const response = await post(`/v1/admin/rebuild${cursor && `?cursor=${cursor}`}`);
      cursor = (await expectJson<{ nextCursor: string | null }>(response, 200)).nextCursor;
    }
    const { items } = await expectJson<{ items: ActorJson[] }>(await api('/v1/actors?q=rebuilt%20rita'), 200);
    expect(items.map((item) => item.id)).toEqual([id]);
  });
});
