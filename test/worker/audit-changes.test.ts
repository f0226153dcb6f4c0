import { beforeAll, describe, expect, it } from 'vitest';
import { plain } from '../support/actors.ts';
import { auditedLike, auditTrail, entriesOf, traced } from '../support/audit.ts';
import { awayFromMidnight } from '../support/clock.ts';
import { derivedId, expectProblem } from '../support/rest.ts';
import { contextOf, idOf, invite, type Person, person } from '../support/sharing.ts';

/** What a case asks for: the request, and whom it needs. */
interface Asked {
  readonly method?: 'POST' | 'PATCH' | 'DELETE' | 'GET';
  readonly path: string;
  readonly json?: unknown;
  readonly headers?: Record<string, string>;
}

/** Who asks, a context of theirs, and somebody else. */
interface Scene {
  readonly ada: Person;
  readonly ben: Person;
  readonly path: string;
}

// A flood is counted anew with each day.
beforeAll(awayFromMidnight, 90_000);

const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();

describe('a change that cannot be made is an entry', () => {
  type Expected = { readonly status: number; readonly reason: string; readonly fields?: readonly string[] };
  type Case = [string, (scene: Scene) => Asked | Promise<Asked>, Expected];
  const invitation = ({ path }: Scene, actor: string): Asked => ({
    path: `${path}/invitations`,
    json: { actor, role: 'editor' },
  });
  const delegation = ({ ben }: Scene, more: object): Asked => ({
    path: '/v1/delegate',
    json: { to: ben.id, scopes: ['contexts:read'], ...more },
  });
  const atExpiry = { status: 400, reason: 'invalid', fields: ['/expiresAt'] };

  const cases: Case[] = [
    [
      'a share to oneself',
      (scene) => invitation(scene, scene.ada.id),
      { status: 400, reason: 'invalid', fields: ['/actor'] },
    ],
    [
      'a share to nobody',
      (scene) => invitation(scene, 'act_01ARZ3NDEKTSV4RRFFQ69G5FAV'),
      { status: 400, reason: 'invalid', fields: ['/actor'] },
    ],
    [
      'a share that was sent before',
      async (scene) => {
        await invite(scene.ada, scene.path, scene.ben);
        return invitation(scene, scene.ben.id);
      },
      { status: 409, reason: 'already-invited' },
    ],
    ['the last owner leaving', ({ path }) => ({ path: `${path}/leave` }), { status: 409, reason: 'last-owner' }],
    [
      'a connection to oneself',
      ({ path }) => ({ path: '/v1/connections', json: { from: idOf(path), to: idOf(path), type: 'reference' } }),
      { status: 400, reason: 'invalid', fields: ['/to'] },
    ],
    [
      'a graph that reaches too far',
      ({ path }) => ({ method: 'GET', path: `${path}/graph?depth=99` }),
      { status: 400, reason: 'invalid', fields: ['depth'] },
    ],
    ['an expiry in the past', (scene) => delegation(scene, { expiresAt: inHours(-1) }), atExpiry],
    ['an expiry beyond the limit', (scene) => delegation(scene, { expiresAt: inHours(24 * 366) }), atExpiry],
    [
      'a scope that one has not',
      (scene) => delegation(scene, { scopes: ['admin'] }),
      { status: 400, reason: 'invalid', fields: ['/scopes'] },
    ],
    [
      'a field that gives rights where there is none',
      ({ path, ben }) => ({ method: 'PATCH', path, json: { owner: ben.id } }),
      { status: 400, reason: 'invalid', fields: ['/owner'] },
    ],
    [
      'a change of what has changed meanwhile',
      ({ path }) => ({ method: 'PATCH', path, json: { name: 'x' }, headers: { 'If-Match': '"7"' } }),
      { status: 412, reason: 'version-mismatch' },
    ],
    [
      'an Idempotency-Key that belongs to another change',
      async ({ ada, path }) => {
        const headers = { 'Idempotency-Key': 'one' };
        await ada.call(path, { method: 'PATCH', json: { name: 'One' }, headers });
        return { method: 'PATCH', path, json: { name: 'Two' }, headers };
      },
      { status: 422, reason: 'idempotency-key-reused' },
    ],
    [
      'a change of what is deleted',
      async ({ ada, path }) => {
        await ada.remove(path);
        return { method: 'PATCH', path, json: { name: 'x' } };
      },
      { status: 409, reason: 'deleted' },
    ],
  ];

  it.each(cases)('%s', async (_, make, { fields, ...expected }) => {
    const scene = { ada: await person('Ada'), ben: await person('Ben'), path: '' };
    scene.path = await contextOf(scene.ada);
    const { path, method = 'POST', json, headers = {} } = await make(scene);
    const { id, status } = await traced((own) =>
      scene.ada.call(path, { method, headers: { ...headers, ...own }, ...(json !== undefined && { json }) }),
    );
    expect(status).toBe(expected.status);
    const [entry] = await entriesOf(id);
    const stream = path.startsWith(scene.path) ? `context/${idOf(scene.path)}` : null;
    expect(entry).toMatchObject({ outcome: 'refused', actor: scene.ada.id, stream, ...expected });
    expect(entry?.fields).toEqual(fields);
  });

  it('without a word that the caller wrote, also where it is the name of a field', async () => {
    const ada = await person('Ada');
    const path = await contextOf(ada);
    const json = { hunter2: 'secret-of-ada', description: 7 };
    const { id } = await traced((headers) => ada.call(path, { method: 'PATCH', headers, json }));
    const [entry] = await entriesOf(id);
    expect(entry).toMatchObject({ status: 400, fields: ['/description'] });
    expect(JSON.stringify(entry)).not.toMatch(/hunter2|secret-of-ada/);
  });

  it('but no read that is asked for wrongly, and nothing of whom nobody knows', async () => {
    const ada = await person('Ada');
    const path = await contextOf(ada);
    const read = await traced((headers) => ada.call(`${path}?at=x`, { headers }));
    const json = { 'Content-Type': 'application/json' };
    const refresh = await traced((headers) =>
      plain('/v1/sessions/refresh', { method: 'POST', body: '{', headers: { ...json, ...headers } }),
    );
    expect([read.status, refresh.status]).toEqual([400, 400]);
    const last = await traced((headers) => ada.call(path, { method: 'PATCH', headers, json: { name: 7 } }));
    await entriesOf(last.id);
    for (const { id } of [read, refresh]) await entriesOf(id, 0);
  });

  it('and many of them leave the entry of what is forbidden its place', async () => {
    const [ada, eve] = [await person('Ada'), await person('Eve')];
    const [path, own] = [await contextOf(ada), await contextOf(eve)];
    const mistakes = Array.from({ length: 70 }, () => eve.patch(own, { name: 7 }));
    for (const { status } of await Promise.all(mistakes)) expect(status).toBe(400);
    const { id } = await traced((headers) => eve.call(path, { headers, method: 'DELETE' }));
    expect((await entriesOf(id))[0]).toMatchObject({ actor: eve.id, reason: 'hidden' });
    await auditedLike(`actor=${eve.id}&outcome=refused`, (found) => expect(found).toHaveLength(61));
  });
});

describe('a connection to a context that one must not know of', () => {
  const connect = (from: string, to: string) => ({ from: idOf(from), to: idOf(to), type: 'reference' });

  it('is an entry about that context, which its owner finds; one to what is not there is none', async () => {
    const [ada, eve] = [await person('Ada'), await person('Eve')];
    const [adas, eves] = [await contextOf(ada), await contextOf(eve)];
    const entry = { action: 'connection.create', reason: 'hidden', status: 404, actor: eve.id };
    for (const [json, fields] of [
      [connect(eves, adas), ['/to']],
      [connect(adas, eves), ['/from']],
      [connect(derivedId('ctx', 'audit: no end'), adas), ['/from', '/to']],
    ] as const) {
      const sent = await traced((headers) => eve.call('/v1/connections', { method: 'POST', headers, json }));
      expect(sent.status).toBe(404);
      expect((await entriesOf(sent.id))[0]).toMatchObject({ ...entry, stream: `context/${idOf(adas)}`, fields });
    }
    const json = connect(eves, derivedId('ctx', 'audit: no end'));
    const missing = await traced((headers) => eve.call('/v1/connections', { method: 'POST', headers, json }));
    expect(missing.status).toBe(404);
    await auditedLike(`context=${idOf(adas)}&action=connection.create`, (found) => expect(found).toHaveLength(3));
    expect(await auditTrail(`context=${idOf(adas)}&action=connection.create`, ada.key)).toHaveLength(3);
    await entriesOf(missing.id, 0);
    await expectProblem(await eve.call(adas), 404, 'not-found');
  });
});
