import { SELF } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { SCOPES } from '../../actors/principal.ts';
import { routes } from '../../src/http/routes.ts';
import { rows } from '../support/access/rows.ts';
import { liftLimits, makeWorld, type World } from '../support/access/world.ts';
import { as, expectJson, issueKey, plain, startSession } from '../support/actors.ts';
import { api, BASE } from '../support/api.ts';
import { delegate } from '../support/delegations.ts';
import { allAreQuiet } from '../support/delivered.ts';
import { derivedId, expectProblem, history, withNothingWritten } from '../support/rest.ts';
import { contextOf, idOf, invite, type Person, person, share } from '../support/sharing.ts';

/**
 * The OWASP API Security Top 10 (2023), the first five. That every route refuses everybody who is to be refused is
 * shown by access-table.test.ts; here are the ways around it that attackers try.
 */

let world: World;
let ann: Person;
let bob: Person;
let eve: Person;
/** Ann's, shared with Bob, an editor. */
let context: string;
/** Eve's own. */
let elsewhere: string;

beforeAll(async () => {
  await liftLimits();
  world = await makeWorld();
  [ann, bob, eve] = [await person('Ann'), await person('Bob'), await person('Eve')];
  context = await contextOf(ann);
  elsewhere = await contextOf(eve);
  await share(ann, context, bob);
}, 60_000);

const madeId = async (response: Response) => (await expectJson<{ id: string }>(response, 201)).id;

describe('API1:2023 Broken Object Level Authorization', () => {
  it('a part of somebody else’s context is not reached below a context of one’s own', async () => {
    const proposal = await madeId(await bob.post(`${context}/proposals`, { change: { name: 'Theirs' } }));
    const note = await madeId(await ann.post(`${context}/notes`, { text: 'secret' }));
    const invitation = idOf(await invite(ann, context, await person('Guest')));
    await withNothingWritten(idOf(context), async () => {
      for (const answer of [
        eve.call(`${elsewhere}/proposals/${proposal}`),
        eve.post(`${elsewhere}/proposals/${proposal}/approve`),
        eve.post(`${elsewhere}/proposals/${proposal}/reject`),
        eve.remove(`${elsewhere}/notes/${note}`),
        eve.remove(`${elsewhere}/invitations/${invitation}`),
        eve.post(`${elsewhere}/invitations/${invitation}/accept`),
      ]) {
        expect((await answer).status).toBeOneOf([403, 404]);
      }
    });
  });

  it('an invitation to somebody else lets nobody in, though one knows its id', async () => {
    const invitation = await invite(ann, context, await person('Guest'));
    await expectProblem(await eve.post(`${invitation}/accept`), 404, 'not-found');
    await expectProblem(await bob.post(`${invitation}/accept`), 404, 'not-found');
    expect((await ann.post(`${invitation}/accept`)).status).toBe(403);
    expect((await eve.call(context)).status).toBe(404);
  });

  it('a key, a session or a delegation of somebody else is not reached below oneself', async () => {
    const { id: session } = await startSession(ann.key);
    const { id: delegation } = await delegate(ann.key, bob.id, ['contexts:read']);
    for (const answer of [
      eve.remove(`/v1/actors/me/keys/${ann.keyId}`),
      eve.post(`/v1/actors/me/keys/${ann.keyId}/rotate`),
      eve.remove(`/v1/actors/${eve.id}/sessions/${session}`),
      eve.call(`/v1/delegate/${delegation}`),
      eve.remove(`/v1/delegate/${delegation}`),
    ]) {
      await expectProblem(await answer, 404, 'not-found');
    }
    expect((await ann.call('/v1/actors/me')).status).toBe(200);
    const sessions = await expectJson<{ items: object[] }>(await ann.call('/v1/actors/me/sessions'), 200);
    expect(sessions.items).toHaveLength(1);
  });

  it('nor by the id of one’s own written another way', async () => {
    const id = idOf(context);
    for (const other of [id.toLowerCase(), `${id}%00`, `${id}%2F..%2F${id}`, `%20${id}`, `${idOf(elsewhere)},${id}`]) {
      expect((await eve.call(`/v1/contexts/${other}`)).status, other).toBe(404);
    }
    expect((await eve.call(`/v1/contexts/${idOf(elsewhere)}?id=${id}`)).status).toBe(400);
  });

  it('an Idempotency-Key that somebody else used gives nothing of theirs', async () => {
    const headers = { 'Idempotency-Key': 'the same' };
    const own = await madeId(await ann.post('/v1/contexts', { name: 'Of Ann' }, headers));
    const other = await madeId(await eve.post('/v1/contexts', { name: 'Of Ann' }, headers));
    expect(other).not.toBe(own);
    const change = { description: 'secret' };
    const patch = (who: Person) => who.call(context, { method: 'PATCH', json: change, headers });
    await expectJson(await patch(ann), 200);
    expect((await patch(bob)).headers.has('Idempotent-Replayed')).toBe(false);
    await expectProblem(await patch(eve), 404, 'not-found');
  });

  it('a ticket for one context opens no other, whoever has it', async () => {
    const { ticket } = await expectJson<{ ticket: string }>(await eve.post(`${elsewhere}/tickets`), 201);
    expect((await plain(`${context}/events?ticket=${ticket}`)).status).toBe(401);
    expect((await plain(`${elsewhere}/events?ticket=${ticket}`)).status).toBe(200);
    expect((await plain(`${elsewhere}/events?ticket=${ticket}`)).status).toBe(401);
  });
});

describe('API2:2023 Broken Authentication', () => {
  const key = () => ann.key;

  it.each<[string, () => Record<string, string>]>([
    ['twice', () => ({ Authorization: `Bearer ${key()}, Bearer ${key()}` })],
    ['in two headers', () => ({ Authorization: `Bearer ${key()}`, 'X-API-Key': key() })],
    ['as Basic', () => ({ Authorization: `Basic ${btoa(`${key()}:`)}` })],
    ['without its scheme', () => ({ Authorization: key() })],
    ['after a space of another kind', () => ({ Authorization: `Bearer\t${key()}` })],
    ['in capitals', () => ({ Authorization: `Bearer ${key().toUpperCase()}` })],
    ['with something after it', () => ({ Authorization: `Bearer ${key()} x` })],
    ['as a cookie', () => ({ Cookie: `__Host-chitty_session=${key()}` })],
    ['beside a cookie', () => ({ Authorization: `Bearer ${key()}`, Cookie: '__Host-chitty_session=x' })],
    ['as its hash', () => ({ Authorization: `Bearer cck_${'0'.repeat(26)}` })],
    ['of 4 KiB and more', () => ({ Authorization: `Bearer ${key()}${'x'.repeat(5000)}` })],
    ['of an empty text', () => ({ 'X-API-Key': '' })],
  ])('a credential %s is none, and gets the answer that all get', async (_how, headers) => {
    const none = await plain('/v1/actors/me', { headers: { 'X-Request-Id': 'x' } });
    const wrong = await plain('/v1/actors/me', { headers: { 'X-Request-Id': 'x', ...headers() } });
    expect(wrong.status).toBe(401);
    expect(wrong.headers.get('WWW-Authenticate')).toBe(none.headers.get('WWW-Authenticate'));
    expect(await wrong.text()).toBe(await none.text());
  });

  it('a credential in the address is not looked at', async () => {
    for (const name of ['access_token', 'token', 'api_key', 'key', 'ticket', 'Authorization']) {
      expect((await plain(`${context}?${name}=${ann.key}`)).status, name).toBe(401);
      expect((await plain(`${context}/events?${name}=${ann.key}`)).status, name).toBe(401);
    }
  });

  it('a ticket reads nothing once the key that it was issued for was revoked', async () => {
    const { id, key: other } = await issueKey(ann.id);
    const issued = await as(other, `${context}/tickets`, { method: 'POST' });
    const { ticket } = await expectJson<{ ticket: string }>(issued, 201);
    await api(`/v1/actors/${ann.id}/keys/${id}`, { method: 'DELETE' });
    await expectProblem(await plain(`${context}/events?ticket=${ticket}`), 401, 'unauthorized');
  });

  it('a ticket reads nothing once its owner is no member any more', async () => {
    const guest = await person('Guest');
    await share(ann, context, guest, 'viewer');
    const { ticket } = await expectJson<{ ticket: string }>(await guest.post(`${context}/tickets`), 201);
    await ann.remove(`${context}/members/${guest.id}`);
    await expectProblem(await plain(`${context}/events?ticket=${ticket}`), 404, 'not-found');
  });

  it('the token of a session is no refresh token, nor the other way around', async () => {
    const { accessToken, refreshToken } = await startSession(ann.key);
    expect((await as(refreshToken, '/v1/actors/me')).status).toBe(401);
    const refresh = (token: string) =>
      plain('/v1/sessions/refresh', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ refreshToken: token }),
      });
    expect((await refresh(accessToken)).status).toBe(401);
    expect((await refresh(ann.key)).status).toBe(401);
    expect((await refresh(refreshToken)).status).toBe(200);
  });
});

/** Members of a body by which somebody might give themselves more than they have. */
const ESCALATIONS: Readonly<Record<string, unknown>> = {
  actor: 'act_00000000000000000000000000',
  subject: 'act_00000000000000000000000000',
  owner: 'act_00000000000000000000000000',
  by: 'act_00000000000000000000000000',
  onBehalfOf: 'act_00000000000000000000000000',
  createdBy: 'act_00000000000000000000000000',
  principal: { actor: 'act_00000000000000000000000000', capabilities: ['administrator'] },
  role: 'owner',
  roles: ['owner'],
  members: [{ actor: 'act_00000000000000000000000000', role: 'owner' }],
  capabilities: ['administrator'],
  isAdmin: true,
  scope: 'admin',
  scopes: ['admin'],
  credential: 'key_1',
  chain: [],
  madeWith: 'bootstrap-key',
  parent: null,
  approvedBy: ['act_00000000000000000000000000'],
  approvals: 99,
  status: 'active',
  version: 1,
  id: 'ctx_1',
  hash: '0'.repeat(64),
  __proto__: null,
  constructor: { prototype: { capabilities: ['administrator'] } },
};

/** What an administrator, with a key that has all scopes, may well ask for. */
const ASKED: Readonly<Record<string, string>> = { registerActor: 'capabilities', startSession: 'scopes' };

/** An object as text, also with a member that an object in memory would not have. */
function textOf(members: readonly (readonly [string, unknown])[]): string {
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
}

/** The routes that take a body of ours: what is handed on to the embedded services is theirs to judge. */
const withBody = routes.filter(
  ({ access, path, operation }) =>
    access !== 'self-authenticating' &&
    !path.startsWith('/embedded/') &&
    JSON.stringify(operation.requestBody?.content ?? {}).includes('json'),
);

describe('API3:2023 Broken Object Property Level Authorization', () => {
  it.for(withBody.map((route) => [route.operation.operationId ?? '', route] as const))(
    'no member of the body of %s gives more than it is for',
    async ([name, route]) => {
      const { headers: credential, principal } = await world
        .person('administrator')
        .present('a key with all scopes', null);
      const cell = { route, standing: 'administrator', kind: 'a key with all scopes', principal } as const;
      const request = await rows[name]?.request?.(world, cell, true);
      const json = request?.json ?? {};
      for (const [member, value] of [...Object.entries(ESCALATIONS), ['__proto__', { isAdmin: true }] as const]) {
        if (Object.hasOwn(json, member) || ASKED[name] === member) continue;
        const path = route.path.replaceAll(/:(\w+)/g, (_, part: string) => request?.path?.[part] ?? '');
        const response = await SELF.fetch(BASE + path, {
          method: route.method,
          headers: { 'Content-Type': 'application/json', ...request?.headers, ...credential },
          body: textOf([[member, value], ...Object.entries(json)]),
        });
        expect([member, response.status]).toEqual([member, 400]);
        expect(await response.text()).toContain(member);
      }
    },
  );

  it('a proposal and a revert change no more than a change does', async () => {
    for (const [member, value] of Object.entries(ESCALATIONS)) {
      const proposed = await bob.post(`${context}/proposals`, { change: { name: 'x', [member]: value } });
      expect([member, proposed.status]).toEqual([member, 400]);
    }
  });

  it('a key, a session and a delegation are asked for with no scope that the credential has not', async () => {
    const { key } = await issueKey(eve.id, { scopes: ['contexts:read', 'actors:write', 'delegate'] });
    for (const scope of SCOPES.filter((each) => !['contexts:read', 'actors:write', 'delegate'].includes(each))) {
      const wanted = { scopes: ['contexts:read', scope] };
      const ask = (path: string, json: object) => as(key, path, { method: 'POST', json });
      for (const response of [
        await ask('/v1/actors/me/keys', { name: 'more', ...wanted }),
        await ask('/v1/sessions', wanted),
        await ask('/v1/delegate', { to: bob.id, ...wanted }),
      ]) {
        expect(response.status, scope).toBeOneOf([400, 403]);
      }
    }
  });

  it('what somebody else gets to see of an actor has no capability, no description and no step', async () => {
    const seen = await expectJson<object>(await eve.call(`/v1/actors/${ann.id}`), 200);
    expect(Object.keys(seen).sort()).toEqual(['chittyId', 'id', 'kind', 'name', 'status']);
  });

  it('no answer has a hash or a secret of a credential, and no event has either', async () => {
    const { key } = await issueKey(ann.id);
    const { accessToken, refreshToken } = await startSession(key);
    await as(key, context, { method: 'PATCH', json: { description: 'with that key' } });
    const paths = ['keys', 'sessions', ''].map((part) => `/v1/actors/me${part && `/${part}`}`);
    for (const path of [...paths, '/v1/delegate', context, `${context}/events`]) {
      const response = await ann.call(path);
      expect(response.status, path).toBe(200);
      const text = await response.text();
      for (const secret of [key, accessToken, refreshToken, '"hash"', 'familyHash', 'refreshHash', 'csrfHash"']) {
        expect(text, `${path} has ${secret}`).not.toContain(secret.startsWith('"') ? `${secret}:"` : secret);
      }
    }
    const last = (await history(idOf(context))).at(-1);
    expect(last?.credential).toMatch(/^key_/);
  });
});

describe('API4:2023 Unrestricted Resource Consumption', () => {
  it('a caller has limits, is told of them, and when to come again', async () => {
    const limits = await expectJson<{ actors: object }>(await api('/v1/admin/limits'), 200);
    const greedy = await person('Greedy');
    const actors = { [greedy.id]: { factor: 0.01 } };
    const classes = { read: 300, search: 100, write: 100, manage: 100 };
    const rates = Object.fromEntries(
      Object.entries(classes).map(([name, requests]) => [name, { requests, seconds: 60 }]),
    );
    await expectJson(
      await api('/v1/admin/limits', { method: 'PUT', json: { ...limits, classes: rates, actors } }),
      200,
    );
    try {
      const statuses: number[] = [];
      for (let n = 0; n < 4; n++) statuses.push((await greedy.call('/v1/actors/me')).status);
      expect(statuses).toEqual([200, 200, 200, 429]);
      const refused = await greedy.call('/v1/actors/me');
      expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(0);
      expect(refused.headers.get('RateLimit')).toContain('r=0');
      expect((await ann.call('/v1/actors/me')).status).toBe(200);
    } finally {
      await liftLimits();
    }
  });

  it.each<[string, () => Promise<Response>, number]>([
    ['a body over 1 MiB', () => ann.post('/v1/contexts', { name: 'x', description: 'x'.repeat(1_048_577) }), 413],
    ['a name of 201 characters', () => ann.post('/v1/contexts', { name: 'x'.repeat(201) }), 400],
    ['a million systems', () => ann.post('/v1/contexts', { name: 'x', systems: Array(10_000).fill('s') }), 400],
    ['metadata of 17 levels', () => ann.post('/v1/contexts', { name: 'x', metadata: nested(17) }), 400],
    ['metadata of 10,000 levels', () => ann.post('/v1/contexts', { name: 'x', metadata: nested(10_000) }), 400],
    ['a page of 101', () => ann.call('/v1/contexts?limit=101'), 400],
    ['a page of a billion events', () => ann.call(`${context}/events?limit=1000000000`), 400],
    ['a search of 201 characters', () => ann.call(`/v1/contexts/search?q=${'x'.repeat(201)}`), 400],
    ['a graph of depth 99', () => ann.call(`${context}/graph?depth=99`), 400],
    [
      'a wait of an hour',
      () => ann.call(context, { method: 'PATCH', json: {}, headers: { Prefer: 'wait=3600' } }),
      400,
    ],
    [
      'an Idempotency-Key of 1,000 characters',
      () => ann.post(context, {}, { 'Idempotency-Key': 'x'.repeat(1_000) }),
      405,
    ],
    [
      'a key for a century',
      () => ann.post('/v1/actors/me/keys', { name: 'x', expiresAt: '2126-01-01T00:00:00Z' }),
      400,
    ],
    [
      'a delegation for a year',
      () => ann.post('/v1/delegate', { to: bob.id, scopes: ['delegate'], ttlSeconds: 31_536_000 }),
      400,
    ],
  ])('%s is refused', async (_what, send, status) => {
    expect((await send()).status).toBe(status);
  });

  it('an actor has 50 keys at most, however many ask for one at once', async () => {
    const many = await person('Many');
    const answers = await Promise.all(
      Array.from({ length: 55 }, () => many.post('/v1/actors/me/keys', { name: 'one more' })),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(49);
    expect(statuses.filter((status) => status === 409)).toHaveLength(6);
  });

  it('asking for what cannot be there makes nothing: no object, no row', async () => {
    // What is on its way of the contexts that there are has to be there before.
    await allAreQuiet();
    const before = await env.DB.prepare('SELECT count(*) AS n FROM contexts').first('n');
    for (const id of ['ctx_x', 'ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC', derivedId('ctx', 'owasp: nobody')]) {
      for (const path of ['', '/events', '/proof?version=1', '/graph', '/members/x']) {
        expect((await ann.call(`/v1/contexts/${id}${path}`)).status).toBeOneOf([404, 405]);
      }
    }
    expect(await env.DB.prepare('SELECT count(*) AS n FROM contexts').first('n')).toBe(before);
  });
});

function nested(levels: number): object {
  return JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);
}

describe('API5:2023 Broken Function Level Authorization', () => {
  const ofAdministrators = routes.filter(({ access }) => access === 'admin.read' || access === 'admin.write');

  it.each<[string, () => Promise<string>]>([
    [
      'who never was an administrator, with a key that has the scope',
      async () => (await person('x', { scopes: SCOPES })).key,
    ],
    [
      'who is none any more, with the key of that time',
      async () => {
        const former = await person('Former', { scopes: SCOPES });
        const path = `/v1/actors/${former.id}/capabilities/administrator`;
        await api(path, { method: 'PUT' });
        expect((await former.call('/v1/admin/limits')).status).toBe(200);
        await api(path, { method: 'DELETE' });
        return former.key;
      },
    ],
    [
      'who is one, with a key for one context',
      async () => {
        const { id } = await person('Chief');
        await api(`/v1/actors/${id}/capabilities/administrator`, { method: 'PUT' });
        return (await issueKey(id, { scopes: SCOPES, contexts: [idOf(context)] })).key;
      },
    ],
    [
      'who acts for one',
      async () => (await delegate(String(env.BOOTSTRAP_API_KEY), eve.id, ['contexts:read', 'actors:write'])).token,
    ],
  ])('the routes of administrators are closed to %s', async (_who, credential) => {
    const key = await credential();
    expect(ofAdministrators.length).toBeGreaterThan(15);
    for (const { method, path } of ofAdministrators) {
      const filled = path.replaceAll(/:(\w+)\+?/g, 'x');
      const response = await as(key, filled, { method });
      expect([method, path, response.status]).toEqual([method, path, 403]);
    }
  });

  it.each([
    '/v1//admin/limits',
    '/V1/Admin/Limits',
    '/v1/admin/limits/',
    '/v1/admin/limits;x',
    '/v1/admin/limits%00',
    '/v1/%61dmin/limits',
    '/v1/admin%2Flimits',
    '/v1/contexts/../admin/limits',
    '/v1/contexts/%2e%2e/admin/limits',
    '/health/../v1/admin/limits',
    '//v1/admin/limits',
    '\\v1\\admin\\limits',
  ])('and no other way to write their address opens them: %s', async (path) => {
    expect((await eve.call(path)).status).toBeOneOf([401, 403, 404]);
    expect((await plain(path)).status).toBeOneOf([401, 404]);
  });

  it.each(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'])('nor does %s', async (name) => {
    const viewer = await person('Viewer');
    await share(ann, context, viewer, 'viewer');
    const response = await viewer.call(context, { headers: { [name]: 'DELETE' } });
    expect(response.status).toBe(200);
    expect((await ann.call(context)).status).toBe(200);
  });

  it.each(['X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-Prefix', 'X-Principal', 'X-Forwarded-User'])(
    'nor does %s, which others go by',
    async (name) => {
      const principal = encodeURIComponent(JSON.stringify({ actor: ann.id, subject: ann.id, scopes: SCOPES }));
      for (const value of ['/v1/admin/limits', principal, ann.id]) {
        expect((await eve.call(context, { headers: { [name]: value } })).status).toBe(404);
      }
    },
  );
});
