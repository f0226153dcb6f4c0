import { createExecutionContext, listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Directory } from '../../actors/directory.ts';
import { SESSION_PREFIX } from '../../events/actor.ts';
import { derivedId, newId } from '../../events/id.ts';
import { accessView, forgetAccessView } from '../../src/auth/access-views.ts';
import { firstRefreshToken } from '../../src/auth/refresh-token.ts';
import { handleRequest } from '../../src/http/router.ts';
import { as, expectJson, issueKey, keyHolder, plain, type SessionJson, startSession } from '../support/actors.ts';
import { api, BASE } from '../support/api.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { configured, expectProblem } from '../support/rest.ts';

interface SessionRecordJson {
  id: string;
  device: string | null;
  usesCookies: boolean;
  lastUsedAt: string | null;
  [member: string]: unknown;
}

afterEach(() => {
  vi.useRealTimers();
});

const me = (token: string) => as(token, '/v1/actors/me');

function refresh(refreshToken: string): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' };
  return plain('/v1/sessions/refresh', { method: 'POST', headers, body: JSON.stringify({ refreshToken }) });
}

async function sessionsOf(actor: string): Promise<SessionRecordJson[]> {
  return (await expectJson<{ items: SessionRecordJson[] }>(await api(`/v1/actors/${actor}/sessions`), 200)).items;
}

async function eventsOf(actor: string): Promise<{ type: string; data: Record<string, unknown> }[]> {
  const page = await env.ACTORS.get(env.ACTORS.idFromName(actor)).history(ADMINISTRATOR, 0, 1000);
  if ('refused' in page) throw new Error(page.detail);
  return page.events.map((text) => JSON.parse(text));
}

describe('a session', () => {
  it('gives tokens that stand for the actor, and is listed without them', async () => {
    const { id, key, keyId } = await keyHolder();
    const session = await startSession(key, { device: 'phone' });
    expect(session).toMatchObject({ tokenType: 'Bearer', expiresIn: 600 });
    expect(session).not.toHaveProperty('csrfToken');
    expect(await expectJson(await me(session.accessToken), 200)).toMatchObject({ id });
    const [listed] = await sessionsOf(id);
    expect(listed).toMatchObject({ id: session.id, startedWith: keyId, device: 'phone', usesCookies: false });
    const text = JSON.stringify([listed, await eventsOf(id)]);
    expect(text).not.toContain(session.accessToken);
    expect(text).not.toContain(session.refreshToken.slice(60));
    await vi.waitFor(async () => expect((await sessionsOf(id))[0]?.lastUsedAt).not.toBeNull());
  });

  it('is good for no more than its key', async () => {
    const { key } = await keyHolder({}, { scopes: ['actors:read', 'actors:write'] });
    const wanted = { scopes: ['contexts:read'] };
    await expectProblem(await as(key, '/v1/sessions', { method: 'POST', json: wanted }), 403, 'forbidden');
    const session = await startSession(key);
    await expectProblem(await as(session.accessToken, '/v1/contexts'), 403, 'insufficient-scope');
    const narrow = await startSession(key, { scopes: ['actors:read'] });
    await expectProblem(
      await as(narrow.accessToken, '/v1/actors/me', { method: 'PATCH', json: {} }),
      403,
      'insufficient-scope',
    );
  });

  it('makes no key that outlives its own', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const { id, key } = await keyHolder({}, { expiresAt });
    const session = await startSession(key);
    expect((await sessionsOf(id))[0]).toMatchObject({ expiresAt });
    const later = { name: 'x', expiresAt: new Date(Date.now() + 7_200_000).toISOString() };
    const response = await as(session.accessToken, '/v1/actors/me/keys', { method: 'POST', json: later });
    await expectProblem(response, 403, 'forbidden');
    expect(await issueKey(id, {}, session.accessToken)).toMatchObject({ expiresAt });
  });

  it('of an administrator makes and renews no key for another that outlives its own', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const scopes = ['admin', 'actors:write'];
    const { key } = await keyHolder({ capabilities: ['administrator'] }, { expiresAt, scopes });
    const { accessToken } = await startSession(key, { scopes });
    const other = await keyHolder({}, { scopes: ['actors:write'] });
    const make = (path: string, json: object) =>
      as(accessToken, `/v1/actors/${other.id}/keys${path}`, { method: 'POST', json });
    expect(await issueKey(other.id, {}, accessToken)).toMatchObject({ expiresAt });
    const later = { name: 'x', expiresAt: new Date(Date.now() + 7_200_000).toISOString() };
    await expectProblem(await make('', later), 403, 'forbidden');
    await expectProblem(await make(`/${other.keyId}/rotate`, {}), 403, 'forbidden');
  });

  it('starts no further session', async () => {
    const { key } = await keyHolder();
    const { accessToken } = await startSession(key);
    await expectProblem(await as(accessToken, '/v1/sessions', { method: 'POST' }), 403, 'forbidden');
  });

  it('cannot be had where no token can be signed, and then nothing is written', async () => {
    const { id, key } = await keyHolder();
    const { KEY_ENCRYPTION_KEY: _secret, ...without } = env;
    const request = new Request(`${BASE}/v1/sessions`, { method: 'POST', headers: { 'X-API-Key': key } });
    await expectProblem(await handleRequest(request, without, createExecutionContext()), 503, 'not-configured');
    expect(await sessionsOf(id)).toEqual([]);
  });
});

describe('refreshing', () => {
  it('gives the next tokens, again and again', async () => {
    const { key } = await keyHolder();
    let { refreshToken } = await startSession(key);
    for (let round = 0; round < 3; round++) {
      const next = await expectJson<SessionJson>(await refresh(refreshToken), 200);
      expect((await me(next.accessToken)).status).toBe(200);
      refreshToken = next.refreshToken;
    }
  });

  it('with a token that was used before ends the session, for whoever has it', async () => {
    const { id, key } = await keyHolder();
    const session = await startSession(key);
    const next = await expectJson<SessionJson>(await refresh(session.refreshToken), 200);
    await expectProblem(await refresh(session.refreshToken), 401, 'unauthorized');
    await expectProblem(await refresh(next.refreshToken), 401, 'unauthorized');
    await expectProblem(await me(next.accessToken), 401, 'unauthorized');
    expect(await sessionsOf(id)).toEqual([]);
    expect((await eventsOf(id)).at(-1)).toMatchObject({
      type: 'session_ended',
      data: { session: session.id, reason: 'refresh_token_reused' },
    });
  });

  it('with a token that was made up for the session ends nothing', async () => {
    const { id, key } = await keyHolder();
    const session = await startSession(key);
    await expectProblem(await refresh(firstRefreshToken(id, session.id).text), 401, 'unauthorized');
    expect((await refresh(session.refreshToken)).status).toBe(200);
  });

  it('with a token of an actor that nobody has registered makes no object, however well it is formed', async () => {
    const before = await listDurableObjectIds(env.ACTORS);
    for (let n = 0; n < 5; n++) {
      const token = firstRefreshToken(derivedId('act', `made up ${n}`), newId(SESSION_PREFIX, Date.now())).text;
      await expectProblem(await refresh(token), 401, 'unauthorized');
    }
    expect(await listDurableObjectIds(env.ACTORS)).toHaveLength(before.length);
  });

  it('goes on for an actor of whom this isolate knew that they were not there yet', async () => {
    const { id, key } = await keyHolder();
    const { refreshToken } = await startSession(key);
    const registered = vi.spyOn(Directory.prototype, 'has').mockResolvedValueOnce(false);
    forgetAccessView(id);
    expect(await accessView(env, id)).toMatchObject({ status: null });
    registered.mockRestore();
    expect((await refresh(refreshToken)).status).toBe(200);
  });

  it.each([
    ['nothing', ''],
    ['a key', 'cck_x'],
    ['a very long text', 'ccr_'.repeat(10_000)],
  ])('with %s is refused', async (_, token) => {
    await expectProblem(await refresh(token), 401, 'unauthorized');
  });

  it('is refused while the actor is suspended, and does not end the session', async () => {
    const { id, key } = await keyHolder();
    const { refreshToken } = await startSession(key);
    await api(`/v1/actors/${id}/suspend`, { method: 'POST' });
    await expectProblem(await refresh(refreshToken), 401, 'unauthorized');
    await api(`/v1/actors/${id}/reinstate`, { method: 'POST' });
    expect((await refresh(refreshToken)).status).toBe(200);
  });
});

describe('ending', () => {
  it('by itself, one by one, and all at once', async () => {
    const { id, key } = await keyHolder();
    const [one, two, three] = [await startSession(key), await startSession(key), await startSession(key)];
    expect((await as(one.accessToken, '/v1/sessions/current', { method: 'DELETE' })).status).toBe(204);
    await expectProblem(await me(one.accessToken), 401, 'unauthorized');
    expect((await as(two.accessToken, `/v1/actors/me/sessions/${two.id}`, { method: 'DELETE' })).status).toBe(204);
    await expectProblem(await me(two.accessToken), 401, 'unauthorized');
    expect((await me(three.accessToken)).status).toBe(200);
    expect((await as(key, '/v1/actors/me/sessions', { method: 'DELETE' })).status).toBe(204);
    await expectProblem(await me(three.accessToken), 401, 'unauthorized');
    await expectProblem(await refresh(three.refreshToken), 401, 'unauthorized');
    expect(await sessionsOf(id)).toEqual([]);
  });

  it('a session that may do little may still end itself', async () => {
    const { key } = await keyHolder();
    const { accessToken } = await startSession(key, { scopes: ['contexts:read'] });
    expect((await as(accessToken, '/v1/sessions/current', { method: 'DELETE' })).status).toBe(204);
  });

  it.each([
    ['revoked', ''],
    ['rotated without overlap', '/rotate'],
  ])('a session ends with its key when that is %s', async (_, path) => {
    const { id, key, keyId } = await keyHolder();
    const { accessToken, refreshToken } = await startSession(key);
    const init = path === '' ? { method: 'DELETE' } : { method: 'POST', json: { overlapSeconds: 0 } };
    expect((await api(`/v1/actors/${id}/keys/${keyId}${path}`, init)).ok).toBe(true);
    await expectProblem(await me(accessToken), 401, 'unauthorized');
    await expectProblem(await refresh(refreshToken), 401, 'unauthorized');
  });

  it('a session ends with its key when that was rotated, at the end of the overlap', async () => {
    const { id, key, keyId } = await keyHolder();
    const { accessToken, refreshToken } = await startSession(key);
    await api(`/v1/actors/${id}/keys/${keyId}/rotate`, { method: 'POST', json: { overlapSeconds: 60 } });
    expect((await me(accessToken)).status).toBe(200);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 });
    await expectProblem(await me(accessToken), 401, 'unauthorized');
    await expectProblem(await refresh(refreshToken), 401, 'unauthorized');
  });

  it('a session of the bootstrap key ends when that is another', async () => {
    const session = await startSession(String(env.BOOTSTRAP_API_KEY));
    const headers = { Authorization: `Bearer ${session.accessToken}` };
    expect((await configured({}, '/v1/actors/me', { headers })).status).toBe(200);
    const other = await configured({ BOOTSTRAP_API_KEY: 'another' }, '/v1/actors/me', { headers });
    await expectProblem(other, 401, 'unauthorized');
  });
});

describe('cookies', () => {
  const origin = { Origin: BASE, 'Sec-Fetch-Site': 'same-origin' };

  async function start(): Promise<{ cookie: string; csrf: string; refreshCookie: string; id: string }> {
    const { key, id } = await keyHolder();
    const response = await as(key, '/v1/sessions', { method: 'POST', json: { cookies: true } });
    const body = await expectJson<SessionJson>(response, 201);
    expect(body).not.toHaveProperty('accessToken');
    expect(body).not.toHaveProperty('refreshToken');
    const [cookie = '', refreshCookie = ''] = cookiesOf(response);
    return { cookie, refreshCookie, csrf: body.csrfToken, id };
  }

  function cookiesOf(response: Response): string[] {
    return response.headers.getSetCookie().map((text) => text.split(';')[0] ?? '');
  }

  function patch(headers: Record<string, string>): Promise<Response> {
    return plain('/v1/actors/me', {
      method: 'PATCH',
      body: '{"name":"By cookie"}',
      headers: { 'Content-Type': 'application/json', ...headers },
    });
  }

  it('no script can read them, no other site is sent them', async () => {
    const { key } = await keyHolder();
    const response = await as(key, '/v1/sessions', { method: 'POST', json: { cookies: true } });
    const set = response.headers.getSetCookie();
    expect(set).toHaveLength(2);
    for (const text of set) {
      expect(text).toMatch(
        /^__Host-chitty_(session|refresh)=[\w.-]+; Expires=[^;]+; Path=\/; Secure; HttpOnly; SameSite=Strict$/,
      );
    }
  });

  it('let in for reading, and for changing with the token of the page', async () => {
    const { cookie, csrf } = await start();
    expect((await plain('/v1/actors/me', { headers: { Cookie: cookie } })).status).toBe(200);
    expect((await patch({ Cookie: cookie, 'X-CSRF-Token': csrf, ...origin })).status).toBe(200);
  });

  it.each([
    ['without the token', (_: string) => origin],
    ['with another token', (_: string) => ({ ...origin, 'X-CSRF-Token': 'x'.repeat(64) })],
    ['from another origin', (csrf: string) => ({ Origin: 'https://evil.test', 'X-CSRF-Token': csrf })],
    ['from another site', (csrf: string) => ({ 'Sec-Fetch-Site': 'cross-site', 'X-CSRF-Token': csrf })],
    ['from a sibling host', (csrf: string) => ({ 'Sec-Fetch-Site': 'same-site', 'X-CSRF-Token': csrf })],
    ['from nowhere', (csrf: string) => ({ 'X-CSRF-Token': csrf })],
    ['from an opaque origin', (csrf: string) => ({ Origin: 'null', 'X-CSRF-Token': csrf })],
  ])('do not change anything %s', async (_, headers) => {
    const { cookie, csrf, id } = await start();
    await expectProblem(await patch({ Cookie: cookie, ...headers(csrf) }), 403, 'forbidden');
    expect(await expectJson(await api(`/v1/actors/${id}`), 200)).toMatchObject({ name: 'Ada' });
  });

  it('the token of another session is not good', async () => {
    const [mine, other] = [await start(), await start()];
    await expectProblem(await patch({ Cookie: mine.cookie, 'X-CSRF-Token': other.csrf, ...origin }), 403, 'forbidden');
  });

  it('do not open a WebSocket for a page of another site', async () => {
    const { cookie } = await start();
    const context = await expectJson<{ id: string }>(
      await api('/v1/contexts', { method: 'POST', json: { name: 'x' } }),
      201,
    );
    const headers = { Cookie: cookie, Upgrade: 'websocket', Origin: 'https://evil.test' };
    const response = await plain(`/v1/contexts/${context.id}/live`, { headers });
    const socket = response.webSocket;
    const closed = new Promise<number>((resolve) => socket?.addEventListener('close', ({ code }) => resolve(code)));
    socket?.accept();
    expect(await closed).toBe(4401);
  });

  it('a token of a session without cookies is not good as one', async () => {
    const { key } = await keyHolder();
    const { accessToken } = await startSession(key);
    const headers = { Cookie: `__Host-chitty_session=${accessToken}` };
    await expectProblem(await plain('/v1/actors/me', { headers }), 401, 'unauthorized');
  });

  it('twice the same cookie is not good', async () => {
    const { cookie } = await start();
    await expectProblem(
      await plain('/v1/actors/me', { headers: { Cookie: `${cookie}; ${cookie}` } }),
      401,
      'unauthorized',
    );
  });

  it('are refreshed by a page of ours only, with the same token for the page', async () => {
    const { refreshCookie, csrf } = await start();
    const again = (headers: Record<string, string>) =>
      plain('/v1/sessions/refresh', { method: 'POST', headers: { Cookie: refreshCookie, ...headers } });
    await expectProblem(await again({ Origin: 'https://evil.test' }), 401, 'unauthorized');
    const response = await again(origin);
    expect(await expectJson<SessionJson>(response, 200)).toMatchObject({ csrfToken: csrf });
    const [cookie = ''] = cookiesOf(response);
    expect((await patch({ Cookie: cookie, 'X-CSRF-Token': csrf, ...origin })).status).toBe(200);
  });

  it('are removed when the session ends', async () => {
    const { cookie, csrf } = await start();
    const headers = { Cookie: cookie, 'X-CSRF-Token': csrf, ...origin };
    const response = await plain('/v1/sessions/current', { method: 'DELETE', headers });
    expect(response.status).toBe(204);
    expect(response.headers.getSetCookie().map((text) => text.replace(/;.*Max-Age/, '; Max-Age'))).toEqual([
      expect.stringContaining('__Host-chitty_session=; Max-Age=0'),
      expect.stringContaining('__Host-chitty_refresh=; Max-Age=0'),
    ]);
    await expectProblem(await plain('/v1/actors/me', { headers: { Cookie: cookie } }), 401, 'unauthorized');
  });
});
