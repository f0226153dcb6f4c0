import { beforeAll, describe, expect, it } from 'vitest';
import { expectJson, issueKey } from '../support/actors.ts';
import { api } from '../support/api.ts';
import {
  ask,
  type ConnectionJson,
  connectContexts,
  eventTypes,
  readConnection,
  twoEnds,
} from '../support/connections.ts';
import { derivedId, expectProblem } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

let ann: Person;
let bob: Person;
let eve: Person;

beforeAll(async () => {
  [ann, bob, eve] = await Promise.all([person('Ann'), person('Bob'), person('Eve')]);
});

describe('connecting', () => {
  it('two contexts of one’s own is done at once', async () => {
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    const response = await ask(ann, one, two, { direction: 'undirected' });
    const made = await expectJson<ConnectionJson>(response, 201);
    expect(made).toEqual({
      id: expect.stringMatching(/^con_/),
      from: idOf(one),
      to: idOf(two),
      type: 'depends_on',
      direction: 'undirected',
      status: 'active',
      reason: null,
      idleAfterSeconds: 300,
      createdBy: ann.id,
      consentedBy: ann.id,
      version: 2,
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
      lastHeartbeatAt: null,
    });
    expect(response.headers.get('Location')).toBe(`/v1/connections/${made.id}`);
    expect(await readConnection(ann, `/v1/connections/${made.id}`)).toEqual(made);
  });

  it('to a context that one may only read waits for the consent of those who may change it', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    expect(await readConnection(bob, path)).toMatchObject({ status: 'pending', consentedBy: null });
    await expectProblem(await ann.post(`${path}/consent`), 403, 'forbidden');
    await expectProblem(await ann.post(`${path}/heartbeat`), 409, 'not-connected');
    const consented = await expectJson<ConnectionJson>(await bob.post(`${path}/consent`), 200);
    expect(consented).toMatchObject({ status: 'active', createdBy: ann.id, consentedBy: bob.id });
    expect(await expectJson(await bob.post(`${path}/consent`), 200)).toEqual(consented);
  });

  it('can be declined, taken back, and asked for again, with the same id', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    await expectProblem(await ann.post(`${path}/decline`), 403, 'forbidden');
    expect(await expectJson(await bob.post(`${path}/decline`), 200)).toMatchObject({ reason: 'declined' });
    await expectProblem(await bob.post(`${path}/consent`), 409, 'not-connected');
    expect(await connectContexts(ann, mine, theirs)).toBe(path);
    expect((await ann.remove(path)).status).toBe(204);
    expect(await readConnection(bob, path)).toMatchObject({ status: 'disconnected', reason: 'requested' });
    expect(await connectContexts(ann, mine, theirs)).toBe(path);
    expect(await expectJson(await bob.post(`${path}/consent`), 200)).toMatchObject({ status: 'active' });
  });

  it('the same two in the same way again names the one that is there', async () => {
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    const path = await connectContexts(ann, one, two);
    const again = await expectProblem(await ask(ann, one, two), 409, 'already-exists');
    expect(again.connection).toBe(idOf(path));
    const others = await Promise.all([
      connectContexts(ann, two, one),
      connectContexts(ann, one, two, { type: 'uses' }),
      connectContexts(ann, one, two, { direction: 'undirected' }),
    ]);
    expect(new Set([path, ...others]).size).toBe(4);
    const turned = await expectProblem(await ask(ann, two, one, { direction: 'undirected' }), 409, 'already-exists');
    expect(turned.connection).toBe(idOf(others[2]));
  });

  it('is repeated with an Idempotency-Key without a second one', async () => {
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    const json = { from: idOf(one), to: idOf(two), type: 'uses' };
    const first = await ann.post('/v1/connections', json, { 'Idempotency-Key': 'once' });
    const second = await ann.post('/v1/connections', json, { 'Idempotency-Key': 'once' });
    expect(await expectJson(second, 201)).toEqual(await expectJson(first, 201));
    expect(second.headers.get('Idempotent-Replayed')).toBe('true');
  });

  it('of a context to itself is refused', async () => {
    const one = await contextOf(ann);
    const { errors } = await expectProblem(await ask(ann, one, one), 400, 'invalid');
    expect(errors).toEqual([{ pointer: '/to', message: 'must be another context than from' }]);
  });

  it('to a deleted context is refused, also by consent', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const gone = await contextOf(ann);
    await ann.remove(gone);
    await expectProblem(await ask(ann, mine, gone), 409, 'deleted');
    const path = await connectContexts(ann, mine, theirs);
    await ann.remove(mine);
    const answer = await bob.post(`${path}/consent`);
    // The end of the connection may be there first.
    expect(answer.status).toBe(409);
    expect(await readConnection(bob, path)).not.toMatchObject({ status: 'active' });
  });

  it.each([
    { type: 'Depends On' },
    { type: undefined },
    { direction: 'both' },
    { idleAfterSeconds: 9 },
    { idleAfterSeconds: 86_401 },
    { to: 1 },
    { status: 'active' },
    { createdBy: 'act_somebody' },
  ])('with %j is refused', async (fields) => {
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    await expectProblem(await ask(ann, one, two, fields), 400, 'invalid');
  });

  it('needs a credential that is good for it', async () => {
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    const { key } = await issueKey(ann.id, { scopes: ['contexts:read', 'contexts:write', 'connections:read'] });
    const headers = { Authorization: `Bearer ${key}` };
    const json = { from: idOf(one), to: idOf(two), type: 'uses' };
    await expectProblem(await api('/v1/connections', { method: 'POST', json, headers }), 403, 'insufficient-scope');
    const limited = await issueKey(ann.id, { contexts: [idOf(one)] });
    const limitedHeaders = { Authorization: `Bearer ${limited.key}` };
    await expectProblem(
      await api('/v1/connections', { method: 'POST', json, headers: limitedHeaders }),
      404,
      'not-found',
    );
  });
});

describe('what one may not see', () => {
  it('is to a connection as if it did not exist', async () => {
    const { theirs } = await twoEnds(ann, bob);
    const own = await contextOf(eve);
    const nobody = `/v1/contexts/${derivedId('ctx', 'connections: nobody')}`;
    const bodyOf = async (from: string, to: string) => {
      const { detail, errors } = await expectProblem(await ask(eve, from, to), 404, 'not-found');
      return { detail, errors };
    };
    expect(await bodyOf(own, theirs)).toEqual(await bodyOf(own, nobody));
    expect(await bodyOf(theirs, own)).toEqual(await bodyOf(nobody, own));
    expect(await bodyOf(theirs, own)).toEqual(await bodyOf('/v1/contexts/x', own));
    expect(await bodyOf(theirs, nobody)).toEqual(await bodyOf(nobody, theirs));
  });

  it('is a connection neither of whose ends one may read, whatever is done to it', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    const nobody = `/v1/connections/${derivedId('con', 'connections: nobody')}`;
    const before = await eventTypes(path);
    for (const [method, rest] of [
      ['GET', ''],
      ['GET', '/events'],
      ['DELETE', ''],
      ['POST', '/consent'],
      ['POST', '/decline'],
      ['POST', '/heartbeat'],
    ] as const) {
      const answers = await Promise.all(
        [path, nobody].map(async (each) => {
          const response = await eve.call(`${each}${rest}`, { method });
          const { instance: _instance, ...body } = await expectProblem(response, 404, 'not-found');
          return body;
        }),
      );
      expect(answers[0]).toEqual(answers[1]);
    }
    expect(await eventTypes(path)).toEqual(before);
  });

  it('viewers of an end see it and change nothing; the other end is an id to them', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    await bob.post(`${path}/consent`);
    await share(ann, mine, eve, 'viewer');
    expect(await readConnection(eve, path)).toMatchObject({ to: idOf(theirs) });
    expect((await eve.call(theirs)).status).toBe(404);
    for (const send of [
      () => eve.remove(path),
      () => eve.post(`${path}/consent`),
      () => eve.post(`${path}/heartbeat`),
      () => ask(eve, mine, theirs, { type: 'other' }),
    ]) {
      expect([403, 404]).toContain((await send()).status);
    }
    await expectProblem(await eve.remove(path), 403, 'forbidden');
    expect(await readConnection(ann, path)).toMatchObject({ status: 'active', lastHeartbeatAt: null });
  });

  it('who loses the last end that they could read loses the connection at once', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    await share(ann, mine, eve, 'editor');
    expect((await eve.call(path)).status).toBe(200);
    await ann.remove(`${mine}/members/${eve.id}`);
    await expectProblem(await eve.call(path), 404, 'not-found');
    await expectProblem(await eve.remove(path), 404, 'not-found');
  });

  it('a viewer of the source asks for nothing', async () => {
    const { theirs } = await twoEnds(ann, bob);
    const own = await contextOf(ann);
    await expectProblem(await ask(ann, theirs, own), 403, 'forbidden');
  });

  it('administrators see and end all, those whose key is for one end only that end', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    expect((await api(path)).status).toBe(200);
    const { key } = await issueKey(bob.id, { contexts: [idOf(await contextOf(bob))] });
    const headers = { Authorization: `Bearer ${key}` };
    await expectProblem(await api(path, { headers }), 404, 'not-found');
    await expectProblem(await api(`${path}/consent`, { method: 'POST', headers }), 404, 'not-found');
    expect((await api(path, { method: 'DELETE' })).status).toBe(204);
  });
});
