import { listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { derivedId } from '../../events/id.ts';
import { actorOfKey, newApiKey } from '../../src/auth/api-key.ts';
import {
  as,
  expectJson,
  type IssuedKeyJson,
  issueKey,
  keyHolder,
  plain,
  registerActor,
  startSession,
} from '../support/actors.ts';
import { api, createContext } from '../support/api.ts';
import { atAnotherTime } from '../support/clock.ts';
import { configured, expectProblem } from '../support/rest.ts';

const DAY_MS = 24 * 60 * 60_000;
const inDays = (days: number) => new Date(Date.now() + days * DAY_MS).toISOString();

const me = (key: string) => as(key, '/v1/actors/me');

async function keysOf(actor: string): Promise<IssuedKeyJson[]> {
  return (await expectJson<{ items: IssuedKeyJson[] }>(await api(`/v1/actors/${actor}/keys`), 200)).items;
}

function rotate(holder: { id: string; keyId: string }, json?: object, credential = String(env.BOOTSTRAP_API_KEY)) {
  return as(credential, `/v1/actors/${holder.id}/keys/${holder.keyId}/rotate`, {
    method: 'POST',
    ...(json && { json }),
  });
}

describe('a key', () => {
  it('is shown once, lets in, and is kept as a hash', async () => {
    const { id } = await registerActor();
    const { key, ...issued } = await issueKey(id, { name: 'laptop' });
    expect(key).toMatch(/^cck_[0-9A-HJKMNP-TV-Z]{26}[0-9A-Za-z]{43}[0-9A-HJKMNP-TV-Z]{6}$/);
    expect(await expectJson(await me(key), 200)).toMatchObject({ id });
    expect((await plain('/v1/actors/me', { headers: { 'X-API-Key': key } })).status).toBe(200);
    const listed = await api(`/v1/actors/${id}/keys`);
    const text = await listed.clone().text();
    expect(text).not.toContain(key.slice(30));
    expect(text).not.toContain('hash');
    // That it was used is noted beside the answer.
    await vi.waitFor(async () => {
      expect((await keysOf(id))[0]).toMatchObject({ ...issued, lastUsedAt: expect.anything() });
    });
  });

  it('is good for all that makes it but `admin`, unless it is asked for', async () => {
    const { id } = await registerActor();
    expect((await issueKey(id)).scopes).not.toContain('admin');
    expect((await issueKey(id)).scopes).toContain('delegate');
    expect((await issueKey(id, { scopes: ['admin'] })).scopes).toEqual(['admin']);
  });

  it('says when it was last used, to the minute', async () => {
    const holder = await keyHolder();
    expect((await keysOf(holder.id))[0]?.lastUsedAt).toBeNull();
    await me(holder.key);
    await vi.waitFor(async () => {
      const at = (await keysOf(holder.id))[0]?.lastUsedAt ?? '';
      expect(Math.abs(Date.now() - Date.parse(at))).toBeLessThan(120_000);
    });
  });

  it('reaches only the contexts that it names', async () => {
    const { id, key } = await keyHolder();
    const create = async () =>
      expectJson<{ id: string }>(await as(key, '/v1/contexts', { method: 'POST', json: { name: 'x' } }), 201);
    const [inside, outside] = [await create(), await create()];
    const limited = await issueKey(id, { contexts: [inside.id] }, key);
    expect((await as(limited.key, `/v1/contexts/${inside.id}`)).status).toBe(200);
    await expectProblem(await as(limited.key, `/v1/contexts/${outside.id}`), 404, 'not-found');
  });

  it('does no more than its scopes', async () => {
    const { key } = await keyHolder({}, { scopes: ['actors:read'] });
    await expectProblem(await as(key, '/v1/contexts'), 403, 'insufficient-scope');
    await expectProblem(
      await as(key, '/v1/actors/me/keys', { method: 'POST', json: { name: 'x' } }),
      403,
      'insufficient-scope',
    );
  });

  it('without the scope to read is shown all the same to who makes it', async () => {
    const { key } = await keyHolder({}, { scopes: ['actors:write'] });
    expect((await issueKey('me', {}, key)).key).toMatch(/^cck_/);
  });
});

describe('what a key makes is never good for more than it is', () => {
  it.each([
    ['scopes', { scopes: ['actors:write', 'contexts:write'] }],
    ['the scope admin', { scopes: ['admin'] }],
    ['contexts', { contexts: [derivedId('ctx', 'escalation')] }],
    ['a later end', { expiresAt: inDays(20) }],
  ])('%s', async (_, wanted) => {
    const { id, key } = await keyHolder();
    const inside = await createContext();
    const weak = await issueKey(id, { scopes: ['actors:write'], contexts: [inside.id], expiresAt: inDays(10) }, key);
    const json = { name: 'x', ...wanted };
    await expectProblem(await as(weak.key, '/v1/actors/me/keys', { method: 'POST', json }), 403, 'forbidden');
    expect(await keysOf(id)).toHaveLength(2);
  });

  it('left out, everything is what it is itself', async () => {
    const { id, key } = await keyHolder();
    const inside = await createContext();
    const expiresAt = inDays(10);
    const weak = await issueKey(id, { scopes: ['actors:write'], contexts: [inside.id], expiresAt }, key);
    expect(await issueKey('me', {}, weak.key)).toMatchObject({
      scopes: ['actors:write'],
      contexts: [inside.id],
      expiresAt,
    });
  });

  it('nor does it rotate a stronger one', async () => {
    const holder = await keyHolder();
    const weak = await issueKey(holder.id, { scopes: ['actors:write'] });
    const short = await issueKey(holder.id, { expiresAt: inDays(1) });
    for (const { key } of [weak, short]) await expectProblem(await rotate(holder, {}, key), 403, 'forbidden');
    expect((await rotate({ id: holder.id, keyId: weak.id }, {}, weak.key)).status).toBe(201);
  });
});

describe('what is asked for is checked', () => {
  it.each([
    ['no name', {}, '/name'],
    ['a blank name', { name: ' ' }, '/name'],
    ['a name of 101 characters', { name: 'x'.repeat(101) }, '/name'],
    ['no scopes', { name: 'x', scopes: [] }, '/scopes'],
    ['a scope that there is not', { name: 'x', scopes: ['root'] }, '/scopes/0'],
    ['a scope twice', { name: 'x', scopes: ['admin', 'admin'] }, '/scopes'],
    ['no contexts', { name: 'x', contexts: [] }, '/contexts'],
    ['a context that cannot be one', { name: 'x', contexts: ['ctx_1'] }, '/contexts/0'],
    ['an end in the past', { name: 'x', expiresAt: inDays(-1) }, '/expiresAt'],
    ['an end in two years', { name: 'x', expiresAt: inDays(700) }, '/expiresAt'],
    ['a time without a zone', { name: 'x', expiresAt: '2030-01-01T00:00:00' }, '/expiresAt'],
    ['a hash of one’s choice', { name: 'x', hash: '0'.repeat(64) }, '/hash'],
  ])('%s', async (_, json, pointer) => {
    const { id } = await registerActor();
    const { errors } = await expectProblem(
      await api(`/v1/actors/${id}/keys`, { method: 'POST', json }),
      400,
      'invalid',
    );
    expect(errors?.[0]?.pointer).toBe(pointer);
    expect(await keysOf(id)).toEqual([]);
  });
});

describe('rotating', () => {
  it('leaves both good for the overlap', async () => {
    const holder = await keyHolder();
    const next = await expectJson<IssuedKeyJson>(await rotate(holder), 201);
    expect([(await me(holder.key)).status, (await me(next.key)).status]).toEqual([200, 200]);
    const [old, successor] = await keysOf(holder.id);
    expect(old).toMatchObject({ id: holder.keyId, successor: next.id, expiresAt: expect.any(String) });
    expect(Date.parse(old?.expiresAt ?? '') - Date.now()).toBeLessThanOrEqual(3_600_000);
    expect(successor).toMatchObject({ id: next.id, name: old?.name, expiresAt: null });
    await expectProblem(await rotate(holder), 409, 'conflict');
  });

  it('with no overlap ends the old one at once', async () => {
    const holder = await keyHolder();
    const next = await expectJson<IssuedKeyJson>(await rotate(holder, { overlapSeconds: 0 }), 201);
    await expectProblem(await me(holder.key), 401, 'unauthorized');
    expect((await me(next.key)).status).toBe(200);
    expect((await keysOf(holder.id)).map(({ id }) => id)).toEqual([next.id]);
  });
});

describe('the answer to a rotation that was lost', () => {
  it('is made up for by rotating what has taken the place, with the old key', async () => {
    const holder = await keyHolder();
    const lost = await expectJson<IssuedKeyJson>(await rotate(holder, {}, holder.key), 201);
    const { detail } = await expectProblem(await rotate(holder, {}, holder.key), 409, 'conflict');
    expect(detail).toContain(lost.id);
    const successor = { id: holder.id, keyId: lost.id };
    const got = await expectJson<IssuedKeyJson>(await rotate(successor, { overlapSeconds: 0 }, holder.key), 201);
    expect([(await me(lost.key)).status, (await me(got.key)).status]).toEqual([401, 200]);
    expect((await keysOf(holder.id)).find(({ id }) => id === got.id)?.expiresAt).toBeNull();
  });

  it('gives no other key that is good for longer than the one that asks', async () => {
    const holder = await keyHolder();
    const next = await expectJson<IssuedKeyJson>(await rotate(holder, {}, holder.key), 201);
    const third = await expectJson<IssuedKeyJson>(await rotate({ id: holder.id, keyId: next.id }, {}, next.key), 201);
    const other = await issueKey(holder.id);
    for (const keyId of [third.id, other.id]) {
      await expectProblem(await rotate({ id: holder.id, keyId }, {}, holder.key), 403, 'forbidden');
    }
  });
});

describe('revoking a key that was rotated', () => {
  const revoke = (holder: { id: string }, key: string, query = '') =>
    api(`/v1/actors/${holder.id}/keys/${key}${query}`, { method: 'DELETE' });

  /** The key that takes the place of one. */
  const next = async (id: string, keyId: string, json?: object) =>
    expectJson<IssuedKeyJson>(await rotate({ id, keyId }, json), 201);

  const statuses = async (keys: readonly { readonly key: string }[]) =>
    Promise.all(keys.map(async ({ key }) => (await me(key)).status));

  it('leaves what has taken its place, as the end of a rotation wants it, and says so', async () => {
    const holder = await keyHolder();
    const second = await next(holder.id, holder.keyId);
    const answer = await expectJson(await revoke(holder, holder.keyId), 200);
    expect(answer).toEqual({ successors: [second.id] });
    expect(await statuses([holder, second])).toEqual([401, 200]);
    // Nothing has taken the place of the second.
    expect((await revoke(holder, second.id)).status).toBe(204);
    await expectProblem(await revoke(holder, second.id), 404, 'not-found');
  });

  it('ends all that has taken its place, and nothing else, when that is asked for', async () => {
    const holder = await keyHolder();
    const second = await next(holder.id, holder.keyId);
    const third = await next(holder.id, second.id);
    const other = await issueKey(holder.id);
    const { accessToken } = await startSession(third.key);
    expect((await revoke(holder, holder.keyId, '?successors=true')).status).toBe(204);
    expect(await statuses([holder, second, third, other])).toEqual([401, 401, 401, 200]);
    expect((await me(accessToken)).status).toBe(401);
  });

  it('leaves those that came before it', async () => {
    const holder = await keyHolder();
    const second = await next(holder.id, holder.keyId);
    const third = await next(holder.id, second.id);
    expect((await revoke(holder, second.id, '?successors=true')).status).toBe(204);
    expect(await statuses([holder, second, third])).toEqual([200, 401, 401]);
  });

  it('finds them when the key and those between have ended already', async () => {
    const holder = await keyHolder();
    const second = await next(holder.id, holder.keyId, { overlapSeconds: 0 });
    const third = await next(holder.id, second.id, { overlapSeconds: 0 });
    const { detail } = await expectProblem(await revoke(holder, holder.keyId), 404, 'not-found');
    expect(detail).toContain(third.id);
    expect(detail).not.toContain(second.id);
    expect(await statuses([third])).toEqual([200]);
    expect((await revoke(holder, holder.keyId, '?successors=true')).status).toBe(204);
    expect(await statuses([third])).toEqual([401]);
    await expectProblem(await revoke(holder, holder.keyId, '?successors=true'), 404, 'not-found');
  });

  it('is done also when nobody can tell what has taken its place, and that is said', async () => {
    const holder = await keyHolder();
    const second = await next(holder.id, holder.keyId);
    const ACTORS = new Proxy(env.ACTORS, {
      get: (namespace, name) => {
        if (name !== 'get') return Reflect.get(namespace, name).bind(namespace);
        return (id: DurableObjectId) =>
          new Proxy(namespace.get(id), {
            get: (stub, call) => {
              if (call !== 'successors') return Reflect.get(stub, call);
              return () => Promise.reject(new Error('The history does not answer'));
            },
          });
      },
    });
    const init = { method: 'DELETE', headers: { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) } };
    const response = await configured({ ACTORS }, `/v1/actors/${holder.id}/keys/${holder.keyId}`, init);
    const { detail } = await expectProblem(response, 503, 'history-unavailable');
    expect(detail).toContain('is revoked');
    expect(await statuses([holder, second])).toEqual([401, 200]);
  });

  it('is asked for by yes or no, and of nobody else’s keys', async () => {
    const holder = await keyHolder();
    const second = await next(holder.id, holder.keyId);
    const eve = await keyHolder();
    const { errors } = await expectProblem(await revoke(holder, holder.keyId, '?successors=all'), 400, 'invalid');
    expect(errors?.[0]?.pointer).toBe('successors');
    for (const key of [holder.keyId, second.id]) {
      const asEve = await as(eve.key, `/v1/actors/${holder.id}/keys/${key}?successors=true`, { method: 'DELETE' });
      await expectProblem(asEve, 403, 'forbidden');
    }
    expect(await statuses([holder, second])).toEqual([200, 200]);
  });
});

describe('who is refused learns nothing about why', () => {
  const other = async (key: string) => {
    const last = key.endsWith('0') ? '1' : '0';
    return key.slice(0, -1) + last;
  };

  it('every credential that is not good gets the same answer', async () => {
    const [revoked, suspended, deleted, expired, wrong] = await Promise.all([1, 2, 3, 4, 5].map(() => keyHolder()));
    if (!revoked || !suspended || !deleted || !expired || !wrong) throw new Error('five were made');
    await api(`/v1/actors/${revoked.id}/keys/${revoked.keyId}`, { method: 'DELETE' });
    await api(`/v1/actors/${suspended.id}/suspend`, { method: 'POST' });
    await api(`/v1/actors/${deleted.id}`, { method: 'DELETE' });
    const short = await atAnotherTime(-120_000, () =>
      issueKey(expired.id, { expiresAt: new Date(Date.now() + 60_000).toISOString() }),
    );
    const refused: Record<string, HeadersInit> = {
      none: {},
      revoked: { Authorization: `Bearer ${revoked.key}` },
      suspended: { Authorization: `Bearer ${suspended.key}` },
      deleted: { Authorization: `Bearer ${deleted.key}` },
      expired: { Authorization: `Bearer ${short.key}` },
      'of nobody': { Authorization: `Bearer ${newApiKey(derivedId('act', 'no such actor')).key}` },
      'made up for somebody': { Authorization: `Bearer ${newApiKey(wrong.id).key}` },
      mistyped: { Authorization: `Bearer ${await other(wrong.key)}` },
      'over-long': { Authorization: `Bearer ${'x'.repeat(10_000)}` },
      'of another scheme': { Authorization: `Basic ${wrong.key}` },
      'with a blank in it': { Authorization: `Bearer ${wrong.key} x` },
      'in two headers': { Authorization: `Bearer ${wrong.key}`, 'X-API-Key': wrong.key },
      'as a header and a cookie': { Authorization: `Bearer ${wrong.key}`, Cookie: '__Host-chitty_session=x' },
      'as a cookie': { Cookie: `__Host-chitty_session=${wrong.key}` },
    };
    const twice = new Headers({ 'X-API-Key': wrong.key });
    twice.append('X-API-Key', wrong.key);
    const twiceBearer = new Headers({ Authorization: `Bearer ${wrong.key}` });
    twiceBearer.append('Authorization', `Bearer ${wrong.key}`);
    const bodies = new Map<string, string>();
    for (const [name, headers] of [
      ...Object.entries(refused),
      ['twice', twice],
      ['bearer twice', twiceBearer],
    ] as const) {
      const response = await plain('/v1/actors/me', { headers });
      expect(response.status, name).toBe(401);
      expect(response.headers.get('WWW-Authenticate'), name).toBe('Bearer realm="chittyconnect"');
      bodies.set(name, await response.text());
    }
    expect([...new Set(bodies.values())]).toHaveLength(1);
    expect((await me(wrong.key)).status).toBe(200);
  });

  it('a mistyped key is refused before any object is asked', async () => {
    const { key, id } = await keyHolder();
    expect(actorOfKey(key)).toBe(id);
    const guess = newApiKey(derivedId('act', 'mistyped')).key;
    for (let place = 0; place < guess.length; place++) {
      const mistyped = guess.slice(0, place) + (guess[place] === '7' ? '8' : '7') + guess.slice(place + 1);
      expect(actorOfKey(mistyped), mistyped).toBeNull();
    }
    const before = await listDurableObjectIds(env.ACTORS);
    await expectProblem(await me(`${guess.slice(0, -1)}${guess.endsWith('7') ? '8' : '7'}`), 401, 'unauthorized');
    expect(await listDurableObjectIds(env.ACTORS)).toHaveLength(before.length);
  });
});

describe('a key that is made up', () => {
  it('of an actor that nobody has registered makes no object, however well it is formed', async () => {
    const before = await listDurableObjectIds(env.ACTORS);
    for (let n = 0; n < 5; n++) {
      const { key } = newApiKey(derivedId('act', `made up ${n}`));
      await expectProblem(await me(key), 401, 'unauthorized');
    }
    expect(await listDurableObjectIds(env.ACTORS)).toHaveLength(before.length);
  });
});

describe('suspending', () => {
  it('shuts out, and reinstating lets in again', async () => {
    const { id, key } = await keyHolder();
    expect((await me(key)).status).toBe(200);
    await api(`/v1/actors/${id}/suspend`, { method: 'POST', json: { reason: 'on leave' } });
    await expectProblem(await me(key), 401, 'unauthorized');
    await api(`/v1/actors/${id}/reinstate`, { method: 'POST' });
    expect((await me(key)).status).toBe(200);
  });
});
