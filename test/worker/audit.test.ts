import { env } from 'cloudflare:workers';
import { decodeJwt } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { as, expectJson, issueKey, keyHolder, plain, registerActor, startSession } from '../support/actors.ts';
import { api, createContext } from '../support/api.ts';
import { auditedLike, auditTrail, entriesOf, traced } from '../support/audit.ts';
import { atAnotherTime, awayFromMidnight } from '../support/clock.ts';
import { delegate } from '../support/delegations.ts';
import { fullClaims, inSeconds, signedByUs, withClaims, withHeader } from '../support/forge.ts';
import { contextOf, idOf, person, share } from '../support/sharing.ts';

const LONG_AGO = Math.floor(Date.parse('2020-01-01T00:00:00Z') / 1000);

// What is said once a minute, and a flood, are counted anew with each day.
beforeAll(awayFromMidnight, 90_000);

describe('a change', () => {
  it('is an entry: who, in whose name, with which credential, what, and never a value', async () => {
    const [ada, bot] = [await person('Ada'), await person('Bot')];
    const path = await contextOf(ada);
    const context = `context/${idOf(path)}`;
    const { id: delegation, token } = await delegate(ada.key, bot.id, ['contexts:read', 'contexts:write']);
    const change = { name: 'Very private', metadata: { password: 'hunter2' } };
    await expectJson(await as(token, path, { method: 'PATCH', json: change }), 200);
    const entry = await auditedLike(`context=${idOf(path)}&action=context_updated`, (entries) => {
      expect(entries).toHaveLength(1);
      return entries[0];
    });
    expect(entry).toMatchObject({
      outcome: 'allowed',
      actor: bot.id,
      onBehalfOf: ada.id,
      credential: delegation,
      chain: [{ id: delegation, by: ada.id }],
      stream: context,
      log: context,
      version: 2,
      fields: ['metadata', 'name'],
    });
    expect(JSON.stringify(entry)).not.toMatch(/private|hunter2|password/);
  });

  it.each<[string, () => Promise<{ query: string; actions: string[] }>]>([
    [
      'of a context',
      async () => {
        const { id } = await createContext();
        await api(`/v1/contexts/${id}`, { method: 'DELETE' });
        await api(`/v1/contexts/${id}/restore`, { method: 'POST' });
        return { query: `context=${id}`, actions: ['context_created', 'context_deleted', 'context_restored'] };
      },
    ],
    [
      'of who shares one',
      async () => {
        const [ada, ben] = [await person('Ada'), await person('Ben')];
        const path = await contextOf(ada);
        await share(ada, path, ben);
        await ada.remove(`${path}/members/${ben.id}`);
        const actions = ['context_created', 'invitation_sent', 'invitation_accepted', 'member_removed'];
        return { query: `context=${idOf(path)}`, actions };
      },
    ],
    [
      'of an actor and their credentials',
      async () => {
        const { id } = await registerActor();
        const { id: keyId, key } = await issueKey(id);
        await startSession(key);
        await api(`/v1/actors/${id}/keys/${keyId}`, { method: 'DELETE' });
        await api(`/v1/actors/${id}/suspend`, { method: 'POST' });
        const actions = ['actor_registered', 'key_issued', 'session_started', 'key_revoked', 'actor_suspended'];
        return { query: `stream=actor/${id}`, actions };
      },
    ],
    [
      'of the signing keys',
      async () => {
        await api('/v1/admin/signing-keys/rotate', { method: 'POST' });
        return { query: 'stream=keyring/service', actions: ['signing_key_created'] };
      },
    ],
    [
      'of the limits',
      async () => {
        const limits = await expectJson<{ quotas: object }>(await api('/v1/admin/limits'), 200);
        const json = { ...limits, quotas: { day: 1_000_000, month: null } };
        await expectJson(await api('/v1/admin/limits', { method: 'PUT', json }), 200);
        return { query: 'stream=limits/limits', actions: ['limits_changed'] };
      },
    ],
  ])('%s is in the trail', async (_, change) => {
    const { query, actions } = await change();
    await auditedLike(query, (entries) => {
      const found = entries.filter(({ outcome }) => outcome === 'allowed').map(({ action }) => action);
      expect(found.reverse()).toEqual(expect.arrayContaining(actions));
    });
  });

  it('that an administrator makes to an actor is in that actor’s own part of the trail', async () => {
    const { id, key } = await keyHolder();
    await api(`/v1/actors/${id}`, { method: 'PATCH', json: { name: 'Renamed' } });
    await auditedLike(`stream=actor/${id}&action=actor_updated`, (entries) => expect(entries).toHaveLength(1));
    expect((await auditTrail('', key)).map(({ action }) => action)).toContain('actor_updated');
  });
});

describe('a refusal is one entry with its reason', () => {
  type Case = [string, () => Promise<{ headers: HeadersInit; actor?: string; credential?: string }>];
  const bearer = (credential: string) => ({ Authorization: `Bearer ${credential}` });
  const session = async () => (await startSession((await keyHolder()).key)).accessToken;

  const credentials: Case[] = [
    ['unknown', async () => ({ headers: bearer('no such thing'.replaceAll(' ', '-')), actor: 'act_unknown' })],
    ['too-long', async () => ({ headers: bearer('x'.repeat(5_000)), actor: 'act_unknown' })],
    ['malformed', async () => ({ headers: { Authorization: 'Basic YTpi' }, actor: 'act_unknown' })],
    [
      'several-credentials',
      async () => ({
        headers: { ...bearer('one-credential'), 'X-API-Key': 'another-credential' },
        actor: 'act_unknown',
      }),
    ],
    [
      'wrong',
      async () => {
        const { id } = await registerActor();
        const { newApiKey } = await import('../../src/auth/api-key.ts');
        return { headers: bearer(newApiKey(id).key), actor: 'act_unknown' };
      },
    ],
    [
      'revoked',
      async () => {
        const { id, keyId, key } = await keyHolder();
        await api(`/v1/actors/${id}/keys/${keyId}`, { method: 'DELETE' });
        return { headers: bearer(key), actor: id, credential: keyId };
      },
    ],
    [
      'expired',
      async () => {
        const { id } = await registerActor();
        const { id: keyId, key } = await atAnotherTime(-120_000, () =>
          issueKey(id, { expiresAt: new Date(Date.now() + 60_000).toISOString() }),
        );
        return { headers: bearer(key), actor: id, credential: keyId };
      },
    ],
    [
      'suspended',
      async () => {
        const { id, keyId, key } = await keyHolder();
        await api(`/v1/actors/${id}/suspend`, { method: 'POST' });
        return { headers: bearer(key), actor: id, credential: keyId };
      },
    ],
    [
      'deleted',
      async () => {
        const { id, keyId, key } = await keyHolder();
        await api(`/v1/actors/${id}`, { method: 'DELETE' });
        return { headers: bearer(key), actor: id, credential: keyId };
      },
    ],
    [
      'rotated',
      async () => {
        const { id, keyId, key } = await keyHolder();
        const rotated = `/v1/actors/${id}/keys/${keyId}/rotate`;
        await expectJson(await api(rotated, { method: 'POST', json: { overlapSeconds: 0 } }), 201);
        return { headers: bearer(key), actor: id, credential: keyId };
      },
    ],
    [
      'session-ended',
      async () => {
        const { id, key } = await keyHolder();
        const { id: sessionId, accessToken } = await startSession(key);
        await api(`/v1/actors/${id}/sessions/${sessionId}`, { method: 'DELETE' });
        return { headers: bearer(accessToken), actor: id, credential: sessionId };
      },
    ],
    ['token-algorithm', async () => ({ headers: bearer(withHeader(await session(), { alg: 'none' })) })],
    ['token-header', async () => ({ headers: bearer(withHeader(await session(), { jku: 'https://evil.test' })) })],
    ['token-unknown-key', async () => ({ headers: bearer(withHeader(await session(), { kid: 'x'.repeat(43) })) })],
    ['token-signature', async () => ({ headers: bearer(withClaims(await session(), { sub: 'act_other' })) })],
    ['token-issuer', async () => ({ headers: bearer(await signedByUs(fullClaims({ iss: 'https://evil.test' }))) })],
    ['token-audience', async () => ({ headers: bearer(await signedByUs(fullClaims({ aud: 'https://evil.test' }))) })],
    ['expired', async () => ({ headers: bearer(await signedByUs(fullClaims({ exp: LONG_AGO }))) })],
    [
      'token-not-yet-good',
      async () => ({ headers: bearer(await signedByUs(fullClaims({ nbf: inSeconds(600), exp: inSeconds(900) }))) }),
    ],
  ];

  it.each(credentials)('credential: %s', async (reason, make) => {
    const { headers, actor, credential } = await make();
    const sent = { ...Object.fromEntries(new Headers(headers)) };
    const { id, status } = await traced((own) => plain('/v1/contexts', { headers: { ...sent, ...own } }));
    expect(status).toBe(401);
    const [entry] = await entriesOf(id);
    expect(entry).toMatchObject({
      outcome: 'refused',
      action: 'context.list',
      operation: 'listContexts',
      status: 401,
      reason,
      ...(actor && { actor }),
      ...(credential && { credential }),
    });
    const text = JSON.stringify(await auditTrail('outcome=refused'));
    for (const value of Object.values(sent)) expect(text).not.toContain(value.replace('Bearer ', ''));
  });

  it('delegation: ended, used up, and over', async () => {
    const [ada, bot] = [await person('Ada'), await person('Bot')];
    const ended = await delegate(ada.key, bot.id, ['contexts:read']);
    await expectJson(await as(ada.key, `/v1/delegate/${ended.id}`, { method: 'DELETE' }).then(asText), 200);
    const once = await delegate(ada.key, bot.id, ['contexts:read'], { maxUses: 1 });
    await as(once.token, '/v1/contexts');
    const over = await delegate(ada.key, bot.id, ['contexts:read']);
    const expired = await signedByUs({ ...decodeJwt(over.token), exp: LONG_AGO });
    for (const [{ id, token }, reason] of [
      [ended, 'delegation-ended'] as const,
      [once, 'delegation-used-up'] as const,
      [{ ...over, token: expired }, 'expired'] as const,
    ]) {
      const sent = await traced((headers) => as(token, '/v1/contexts', { headers }));
      expect(sent.status).toBe(401);
      expect((await entriesOf(sent.id))[0]).toMatchObject({
        reason,
        actor: bot.id,
        onBehalfOf: ada.id,
        credential: id,
        chain: [{ id, by: ada.id }],
      });
    }
  });

  it('what is hidden, and not what is not there', async () => {
    const [ada, eve] = [await person('Ada'), await person('Eve')];
    const path = await contextOf(ada);
    const { id, status } = await traced((headers) => eve.call(path, { headers }));
    expect(status).toBe(404);
    const context = `context/${idOf(path)}`;
    const entry = { actor: eve.id, credential: eve.keyId, stream: context, status: 404, reason: 'hidden' };
    expect((await entriesOf(id))[0]).toMatchObject({ ...entry, action: 'context.read', outcome: 'refused' });
    const { derivedId } = await import('../support/rest.ts');
    const missing = await traced((headers) => eve.call(`/v1/contexts/${derivedId('ctx', 'audit: none')}`, { headers }));
    expect(missing.status).toBe(404);
    const last = await traced((headers) => eve.call(path, { headers, method: 'DELETE' }));
    await entriesOf(last.id);
    await entriesOf(missing.id, 0);
  });

  it('what a role does not allow, and what a scope does not', async () => {
    const [ada, ben] = [await person('Ada'), await person('Ben')];
    const path = await contextOf(ada);
    await share(ada, path, ben, 'viewer');
    const forbidden = await traced((headers) => ben.call(path, { method: 'DELETE', headers }));
    expect(forbidden.status).toBe(403);
    expect((await entriesOf(forbidden.id))[0]).toMatchObject({ actor: ben.id, reason: 'forbidden', status: 403 });
    const reader = await person('Reader', { scopes: ['contexts:read'] });
    const narrow = await traced((headers) => reader.call('/v1/actors/me', { headers }));
    expect(narrow.status).toBe(403);
    expect((await entriesOf(narrow.id))[0]).toMatchObject({ actor: reader.id, reason: 'insufficient-scope' });
  });

  it('what is watched: a WebSocket that is closed at once', async () => {
    const [ada, eve] = [await person('Ada'), await person('Eve')];
    const path = await contextOf(ada);
    const { id } = await traced((headers) =>
      eve.call(`${path}/live`, { headers: { ...headers, Upgrade: 'websocket' } }),
    );
    expect((await entriesOf(id))[0]).toMatchObject({ action: 'context.watch', actor: eve.id, reason: 'hidden' });
  });

  it('a cookie that comes from elsewhere', async () => {
    const { id: actor, key } = await keyHolder();
    const started = await as(key, '/v1/sessions', { method: 'POST', json: { cookies: true } });
    const { id: session } = await expectJson<{ id: string }>(started.clone(), 201);
    const cookie = started.headers
      .getSetCookie()
      .map((each) => each.split(';')[0])
      .join('; ');
    const elsewhere = { Cookie: cookie, Origin: 'https://evil.test', 'Content-Type': 'application/json' };
    const { id, status } = await traced((headers) =>
      plain('/v1/contexts', { method: 'POST', body: '{"name":"x"}', headers: { ...headers, ...elsewhere } }),
    );
    expect(status).toBe(403);
    expect((await entriesOf(id))[0]).toMatchObject({ reason: 'cross-site', actor, credential: session });
  });

  it('a delivery with a wrong signature', async () => {
    const { id, status } = await traced((headers) =>
      plain('/integrations/github/webhook', {
        method: 'POST',
        body: '{}',
        headers: { ...headers, 'Content-Type': 'application/json', 'X-Hub-Signature-256': `sha256=${'0'.repeat(64)}` },
      }),
    );
    expect(status).toBe(401);
    expect((await entriesOf(id))[0]).toMatchObject({ reason: 'wrong', presented: 'signature', actor: 'act_unknown' });
  });

  it('a refresh token that was used before', async () => {
    const { key } = await keyHolder();
    const { refreshToken } = await startSession(key);
    const json = JSON.stringify({ refreshToken });
    const refresh = (headers: Record<string, string>) =>
      plain('/v1/sessions/refresh', {
        method: 'POST',
        body: json,
        headers: { 'Content-Type': 'application/json', ...headers },
      });
    expect((await traced(refresh)).status).toBe(200);
    const { id, status } = await traced(refresh);
    expect(status).toBe(401);
    // The other entry is the end of the session.
    const entries = await entriesOf(id, 2);
    expect(entries).toContainEqual(
      expect.objectContaining({ outcome: 'refused', reason: 'refresh-token-not-good', presented: 'refresh-token' }),
    );
  });

  it('but no credential at all is none', async () => {
    const { id, status } = await traced((headers) => plain('/v1/contexts', { headers }));
    expect(status).toBe(401);
    const next = await traced((headers) => plain('/v1/contexts', { headers: { ...headers, 'X-API-Key': 'x' } }));
    await entriesOf(next.id);
    await entriesOf(id, 0);
  });
});

/** A response whose body, which may be empty, is JSON. */
async function asText(response: Response): Promise<Response> {
  return new Response(JSON.stringify(await response.text()), {
    status: response.status === 204 ? 200 : response.status,
  });
}

describe('a sensitive read is an entry', () => {
  it('a whole history at once, each time', async () => {
    const ada = await person('Ada');
    const path = await contextOf(ada);
    const lines = { Accept: 'application/x-ndjson' };
    const read = () => traced((headers) => ada.call(`${path}/events`, { headers: { ...headers, ...lines } }));
    for (const { id } of [await read(), await read()]) {
      expect((await entriesOf(id))[0]).toMatchObject({
        outcome: 'allowed',
        action: 'context.history',
        reason: 'export',
        actor: ada.id,
        stream: `context/${idOf(path)}`,
      });
    }
  });

  it('the keys and sessions of somebody else, not one’s own', async () => {
    const { id, key } = await keyHolder();
    for (const list of ['keys', 'sessions']) {
      const { id: request } = await traced((headers) => api(`/v1/actors/${id}/${list}`, { headers }));
      expect((await entriesOf(request))[0]).toMatchObject({ reason: 'credentials', stream: `actor/${id}` });
      const own = await traced((headers) => as(key, `/v1/actors/${id}/${list}`, { headers }));
      await entriesOf(own.id, 0);
    }
  });

  it('a context that an administrator or an auditor is no member of, not one’s own', async () => {
    const ada = await person('Ada');
    const path = await contextOf(ada);
    const auditor = await registerActor({ name: 'Auditor' });
    await api(`/v1/actors/${auditor.id}/capabilities/auditor`, { method: 'PUT' });
    const { key } = await issueKey(auditor.id);
    const entry = { action: 'context.read', reason: 'oversight', stream: `context/${idOf(path)}` };
    const byAdministrator = await traced((headers) => api(path, { headers }));
    expect((await entriesOf(byAdministrator.id))[0]).toMatchObject(entry);
    const byAuditor = await traced((headers) => as(key, path, { headers }));
    expect(byAuditor.status).toBe(200);
    expect((await entriesOf(byAuditor.id))[0]).toMatchObject({ ...entry, actor: auditor.id });
    const own = await createContext();
    const byOwner = await traced((headers) => api(`/v1/contexts/${own.id}`, { headers }));
    const byMember = await traced((headers) => ada.call(path, { headers }));
    for (const { id } of [byOwner, byMember]) await entriesOf(id, 0);
  });

  it('the feed of all contexts, and of one that they are no member of, not what one’s own membership gives', async () => {
    const ada = await person('Ada');
    const path = await contextOf(ada);
    const entry = { action: 'feed.read', reason: 'oversight', outcome: 'allowed' };
    const overseer = await registerActor();
    await api(`/v1/actors/${overseer.id}/capabilities/auditor`, { method: 'PUT' });
    const { key } = await issueKey(overseer.id);
    const ofAll = await traced((headers) => as(key, '/v1/events?offset=now', { headers }));
    expect((await entriesOf(ofAll.id))[0]).toMatchObject({ ...entry, actor: overseer.id, stream: null });
    const ofOne = await traced((headers) => as(key, `/v1/events?context=${idOf(path)}`, { headers }));
    expect((await entriesOf(ofOne.id))[0]).toMatchObject({ ...entry, stream: `context/${idOf(path)}` });
    const streamed = { Accept: 'text/event-stream' };
    const another = await issueKey(overseer.id);
    const follow = (headers: Record<string, string>) =>
      as(another.key, '/v1/events?offset=now', { headers: { ...headers, ...streamed } });
    expect((await entriesOf((await traced(follow)).id))[0]).toMatchObject({ ...entry, stream: null });
    const own = await contextOf({ ...ada, post: (to, json) => as(key, to, { method: 'POST', json }) });
    const ofOwn = await traced((headers) => as(key, `/v1/events?context=${idOf(own)}`, { headers }));
    const byMember = await traced((headers) => ada.call('/v1/events', { headers }));
    for (const { status, id } of [ofOwn, byMember]) {
      expect(status).toBe(200);
      await entriesOf(id, 0);
    }
  });

  it('a connection whose contexts an administrator or auditor could not read as a member, and lists of them', async () => {
    const ada = await person('Ada');
    const [from, to] = [idOf(await contextOf(ada)), idOf(await contextOf(ada))];
    const asked = await ada.post('/v1/connections', { from, to, type: 'reference' });
    const connection = await expectJson<{ id: string }>(asked, 201);
    const path = `/v1/connections/${connection.id}`;
    const overseer = await registerActor();
    await api(`/v1/actors/${overseer.id}/capabilities/auditor`, { method: 'PUT' });
    const { key } = await issueKey(overseer.id);
    const stream = `connection/${connection.id}`;
    for (const [read, action, about] of [
      [path, 'connection.read', stream],
      [`${path}/events`, 'connection.read', stream],
      ['/v1/connections', 'connection.list', null],
    ] as const) {
      const byOverseer = await traced((headers) => as(key, read, { headers }));
      expect(byOverseer.status).toBe(200);
      const entry = { reason: 'oversight', action, stream: about, actor: overseer.id };
      expect((await entriesOf(byOverseer.id))[0]).toMatchObject(entry);
      const byMember = await traced((headers) => ada.call(read, { headers }));
      expect(byMember.status).toBe(200);
      await entriesOf(byMember.id, 0);
    }
    await share(ada, `/v1/contexts/${to}`, {
      ...ada,
      id: overseer.id,
      post: (at, json) => as(key, at, { method: 'POST', json }),
    });
    const again = await issueKey(overseer.id);
    const asMember = await traced((headers) => as(again.key, path, { headers }));
    expect(asMember.status).toBe(200);
    await entriesOf(asMember.id, 0);
  });

  it('a delegation between others, not one’s own', async () => {
    const [ada, bot] = [await person('Ada'), await person('Bot')];
    const { id } = await delegate(ada.key, bot.id, ['contexts:read']);
    const byAdministrator = await traced((headers) => api(`/v1/delegate/${id}`, { headers }));
    expect((await entriesOf(byAdministrator.id))[0]).toMatchObject({
      action: 'delegation.read',
      reason: 'credentials',
      stream: `actor/${ada.id}`,
    });
    const own = await delegate(String(env.BOOTSTRAP_API_KEY), bot.id, ['contexts:read']);
    const byGiver = await traced((headers) => api(`/v1/delegate/${own.id}`, { headers }));
    const byReceiver = await traced((headers) => bot.call(`/v1/delegate/${id}`, { headers }));
    const list = await traced((headers) => api('/v1/delegate', { headers }));
    for (const { status, id: request } of [byGiver, byReceiver, list]) {
      expect(status).toBe(200);
      await entriesOf(request, 0);
    }
  });

  it('a bundle, which is a whole history', async () => {
    const ada = await person('Ada');
    const path = await contextOf(ada);
    const read = await traced((headers) => ada.call(`${path}/bundle?wait=30`, { headers }));
    expect(read.status).toBe(200);
    const entry = { action: 'context.history', reason: 'export', stream: `context/${idOf(path)}` };
    expect((await entriesOf(read.id))[0]).toMatchObject(entry);
  });

  it('what administrators look at, and the trail itself; the same once a minute', async () => {
    const { id } = await registerActor();
    await api(`/v1/actors/${id}/capabilities/administrator`, { method: 'PUT' });
    const scopes = ['admin', 'audit:read', 'actors:read'];
    const { key } = await issueKey(id, { scopes });
    for (const [path, reason] of [
      ['/v1/admin/dead-letters', 'administration'] as const,
      ['/v1/audit', 'audit'] as const,
    ]) {
      const first = await traced((headers) => as(key, path, { headers }));
      expect(first.status).toBe(200);
      expect((await entriesOf(first.id))[0]).toMatchObject({ reason, actor: id, outcome: 'allowed' });
      const again = await traced((headers) => as(key, path, { headers }));
      await entriesOf(again.id, 0);
    }
  });

  it('is not given out when it cannot be recorded', async () => {
    const { configured } = await import('../support/rest.ts');
    const AUDIT = new Proxy(env.AUDIT, {
      get: () => () => {
        throw new Error('the audit trail is out of order');
      },
    });
    const headers = { 'X-API-Key': String(env.BOOTSTRAP_API_KEY), Accept: 'application/x-ndjson' };
    const { id } = await createContext({ name: 'Confidential' });
    const response = await configured({ AUDIT }, `/v1/contexts/${id}/events`, { headers });
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('Confidential');
  });
});
