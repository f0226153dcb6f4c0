import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ActorCommand } from '../../actors/actor.ts';
import { accessView, forgetAccessView, MAX_AGE_MS } from '../../src/auth/access-views.ts';
import { newApiKey } from '../../src/auth/api-key.ts';
import {
  as,
  expectJson,
  type IssuedKeyJson,
  type KeyHolder,
  keyHolder,
  plain,
  startSession,
} from '../support/actors.ts';
import { api } from '../support/api.ts';
import { stopClock } from '../support/clock.ts';
import { type Watcher, watch } from '../support/live.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { configured, expectProblem } from '../support/rest.ts';

afterEach(() => {
  vi.useRealTimers();
});

const me = (key: string) => as(key, '/v1/actors/me');

async function ownContext(key: string): Promise<string> {
  const response = await as(key, '/v1/contexts', { method: 'POST', json: { name: 'watched' } });
  return (await expectJson<{ id: string }>(response, 201)).id;
}

function watchAs(credential: string, context: string): Promise<Watcher> {
  return watch(context, '', { Authorization: `Bearer ${credential}` });
}

/** Changes an actor as another isolate would: this one hears nothing of it. */
async function elsewhere(actor: string, command: ActorCommand): Promise<void> {
  const reply = await env.ACTORS.get(env.ACTORS.idFromName(actor)).execute({
    id: actor,
    command,
    principal: ADMINISTRATOR,
    cause: { correlationId: 'c', causationId: null, commandId: 'c' },
  });
  if ('refused' in reply) throw new Error(reply.detail);
}

describe('what another isolate ended', () => {
  it.each([
    ['a revocation', ({ keyId }: KeyHolder): ActorCommand => ({ type: 'revokeKey', key: keyId })],
    ['a suspension', (): ActorCommand => ({ type: 'suspend', reason: '' })],
    ['a deletion', (): ActorCommand => ({ type: 'delete' })],
  ])('%s holds here within 5 s, however often the key is used', async (_, command) => {
    const holder = await keyHolder();
    expect((await me(holder.key)).status).toBe(200);
    const start = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: start });
    await elsewhere(holder.id, command(holder));
    for (let ms = 0; ms < MAX_AGE_MS; ms += 250) {
      vi.setSystemTime(start + ms);
      await me(holder.key);
    }
    vi.setSystemTime(start + MAX_AGE_MS);
    await expectProblem(await me(holder.key), 401, 'unauthorized');
    expect(MAX_AGE_MS).toBeLessThan(5_000);
  });

  it('makes no key any more, neither for its own actor nor for another', async () => {
    stopClock();
    const scopes = ['admin', 'actors:read', 'actors:write'];
    const holder = await keyHolder({ capabilities: ['administrator'] }, { scopes });
    const other = await keyHolder();
    const keysOf = (actor: string) => `/v1/actors/${actor}/keys`;
    const make = (path: string, json: object = { name: 'x' }) => as(holder.key, path, { method: 'POST', json });
    expect((await make(keysOf(other.id))).status).toBe(201);
    await elsewhere(holder.id, { type: 'revokeKey', key: holder.keyId });
    expect((await me(holder.key)).status).toBe(200);
    await expectProblem(await make(keysOf('me')), 403, 'forbidden');
    await expectProblem(await make(`${keysOf('me')}/${holder.keyId}/rotate`, {}), 403, 'forbidden');
    expect((await me(holder.key)).status).toBe(200);
    await expectProblem(await make(keysOf(other.id)), 401, 'unauthorized');
  });

  it('holds at once where nothing was known for a while', async () => {
    const holder = await keyHolder();
    await me(holder.key);
    const start = Date.now();
    await elsewhere(holder.id, { type: 'suspend', reason: '' });
    vi.useFakeTimers({ toFake: ['Date'], now: start + MAX_AGE_MS });
    await expectProblem(await me(holder.key), 401, 'unauthorized');
  });

  it('a clock that goes back makes nothing good for longer', async () => {
    const holder = await keyHolder();
    await me(holder.key);
    await elsewhere(holder.id, { type: 'suspend', reason: '' });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 60_000 });
    await expectProblem(await me(holder.key), 401, 'unauthorized');
  });

  it('a key that another isolate made is good here at once', async () => {
    stopClock();
    const holder = await keyHolder();
    await me(holder.key);
    const before = await accessView(env, holder.id);
    const { key, hash } = newApiKey(holder.id);
    const at = new Date().toISOString();
    await elsewhere(holder.id, { type: 'issueKey', key: 'key_x', name: 'x', hash, wanted: {}, at });
    expect(await accessView(env, holder.id)).toBe(before);
    expect((await me(key)).status).toBe(200);
  });
});

describe('the hot path', () => {
  it('asks the object of the actor no more than every two seconds', async () => {
    const holder = await keyHolder();
    await me(holder.key);
    const start = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: start });
    forgetAccessView(holder.id);
    const first = await accessView(env, holder.id);
    vi.setSystemTime(start + 1_999);
    expect(accessView(env, holder.id)).toBe(first);
  });
});

describe('what is open ends with its credential', () => {
  it.each([
    ['revoked', (holder: KeyHolder) => api(`/v1/actors/${holder.id}/keys/${holder.keyId}`, { method: 'DELETE' })],
    ['rotated', (holder: KeyHolder) => api(`/v1/actors/${holder.id}/keys/${holder.keyId}/rotate`, { method: 'POST' })],
    ['suspended', (holder: KeyHolder) => api(`/v1/actors/${holder.id}/suspend`, { method: 'POST' })],
    ['deleted', (holder: KeyHolder) => api(`/v1/actors/${holder.id}`, { method: 'DELETE' })],
  ])('a WebSocket when the key or its actor is %s', async (_, end) => {
    const holder = await keyHolder();
    const context = await ownContext(holder.key);
    const [watcher, other] = [await watchAs(holder.key, context), await watch(context)];
    await watcher.until('hello');
    expect((await end(holder)).ok).toBe(true);
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
    await other.ping();
    expect(other.closed).toBeNull();
  });

  it('one that was opened with another key stays', async () => {
    const holder = await keyHolder();
    const context = await ownContext(holder.key);
    const second = await expectJson<IssuedKeyJson>(
      await as(holder.key, '/v1/actors/me/keys', { method: 'POST', json: { name: 'second' } }),
      201,
    );
    const [first, other] = [await watchAs(holder.key, context), await watchAs(second.key, context)];
    await api(`/v1/actors/${holder.id}/keys/${holder.keyId}`, { method: 'DELETE' });
    expect(await first.untilClosed()).toMatchObject({ code: 4401 });
    await other.ping();
    expect(other.closed).toBeNull();
  });

  it('a rotated key opens again during its overlap', async () => {
    const holder = await keyHolder();
    const context = await ownContext(holder.key);
    const watcher = await watchAs(holder.key, context);
    await api(`/v1/actors/${holder.id}/keys/${holder.keyId}/rotate`, { method: 'POST' });
    await watcher.untilClosed();
    await (await watchAs(holder.key, context)).until('hello');
  });

  it('a WebSocket of a session when that is ended, or its key is', async () => {
    const holder = await keyHolder();
    const context = await ownContext(holder.key);
    const [one, two] = [await startSession(holder.key), await startSession(holder.key)];
    const [first, second] = [await watchAs(one.accessToken, context), await watchAs(two.accessToken, context)];
    await as(one.accessToken, '/v1/sessions/current', { method: 'DELETE' });
    expect(await first.untilClosed()).toMatchObject({ code: 4401 });
    expect(second.closed).toBeNull();
    await api(`/v1/actors/${holder.id}/keys/${holder.keyId}`, { method: 'DELETE' });
    expect(await second.untilClosed()).toMatchObject({ code: 4401 });
  });

  it('what was opened as an administrator when the capability goes', async () => {
    const scopes = ['admin', 'contexts:read'];
    const admin = await keyHolder({ capabilities: ['administrator'] }, { scopes });
    const context = await ownContext((await keyHolder()).key);
    const watcher = await watchAs(admin.key, context);
    await api(`/v1/actors/${admin.id}/capabilities/administrator`, { method: 'DELETE' });
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
    await expectProblem(await as(admin.key, `/v1/contexts/${context}`), 404, 'not-found');
  });

  it('server-sent events when the key is revoked', async () => {
    const holder = await keyHolder();
    const context = await ownContext(holder.key);
    const headers = { Accept: 'text/event-stream' };
    const response = await as(holder.key, `/v1/contexts/${context}/events`, { headers });
    const reader = response.body?.getReader();
    await reader?.read();
    await api(`/v1/actors/${holder.id}/keys/${holder.keyId}`, { method: 'DELETE' });
    for (let read = await reader?.read(); read?.done === false; read = await reader?.read());
  });

  it('what opens in the moment in which its credential ends elsewhere', async () => {
    stopClock();
    const holder = await keyHolder();
    const context = await ownContext(holder.key);
    await me(holder.key);
    await elsewhere(holder.id, { type: 'revokeKey', key: holder.keyId });
    const watcher = await watchAs(holder.key, context);
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
  });
});

/** A request whose body has begun and is being waited for; `finish` sends the rest. */
async function begun(credential: string, method: string, path: string, json: unknown, isMeasured: boolean) {
  const bytes = new TextEncoder().encode(JSON.stringify(json));
  const { readable, writable } = new IdentityTransformStream();
  const writer = writable.getWriter();
  const headers = {
    Authorization: `Bearer ${credential}`,
    'Content-Type': 'application/json',
    ...(isMeasured && { 'Content-Length': String(bytes.byteLength) }),
  };
  const response = configured({}, path, { method, headers, body: readable });
  // Written when it is read, so the caller was found out by then.
  await writer.write(bytes.slice(0, 1));
  const finish = async () => {
    await writer.write(bytes.slice(1));
    await writer.close();
    return response;
  };
  return { finish };
}

describe('a body that is held open', () => {
  const revoke = ({ id, keyId }: KeyHolder) => api(`/v1/actors/${id}/keys/${keyId}`, { method: 'DELETE' });
  const later = (ms: number) => vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms });

  it.each([
    ['a length', true],
    ['no length', false],
  ])('makes no key when its own was revoked meanwhile, with %s', async (_, isMeasured) => {
    const holder = await keyHolder();
    const request = await begun(holder.key, 'POST', '/v1/actors/me/keys', { name: 'stays' }, isMeasured);
    expect((await revoke(holder)).ok).toBe(true);
    later(1_000);
    await expectProblem(await request.finish(), 401, 'unauthorized');
    const listed = await expectJson<{ items: unknown[] }>(await api(`/v1/actors/${holder.id}/keys`), 200);
    expect(listed.items).toEqual([]);
  });

  it('changes nothing when its token has expired meanwhile', async () => {
    const { key } = await keyHolder();
    const context = await ownContext(key);
    const { accessToken } = await startSession(key);
    const request = await begun(accessToken, 'PATCH', `/v1/contexts/${context}`, { name: 'late' }, true);
    later(601_000);
    await expectProblem(await request.finish(), 401, 'unauthorized');
    expect(await (await as(key, `/v1/contexts/${context}`)).json()).toMatchObject({ name: 'watched', version: 1 });
  });

  it('is refused also where none is taken', async () => {
    const holder = await keyHolder();
    const context = await ownContext(holder.key);
    const request = await begun(holder.key, 'DELETE', `/v1/contexts/${context}`, {}, true);
    await revoke(holder);
    later(1_000);
    await expectProblem(await request.finish(), 401, 'unauthorized');
    expect((await api(`/v1/contexts/${context}`)).status).toBe(200);
  });

  it('does nothing by a capability that is lost', async () => {
    const admin = await keyHolder({ capabilities: ['administrator'] }, { scopes: ['admin'] });
    const request = await begun(admin.key, 'POST', '/v1/actors', { kind: 'person', name: 'Late' }, true);
    await api(`/v1/actors/${admin.id}/capabilities/administrator`, { method: 'DELETE' });
    later(1_000);
    await expectProblem(await request.finish(), 403, 'forbidden');
  });

  it('is taken when nothing has ended', async () => {
    const { key } = await keyHolder();
    const request = await begun(key, 'POST', '/v1/actors/me/keys', { name: 'second' }, true);
    later(3_600_000);
    expect((await request.finish()).status).toBe(201);
  });
});

describe('a ticket', () => {
  it('opens an event stream once, for a client that cannot send headers', async () => {
    const holder = await keyHolder();
    const context = await ownContext(holder.key);
    const issued = await as(holder.key, `/v1/contexts/${context}/tickets`, { method: 'POST' });
    const { ticket } = await expectJson<{ ticket: string }>(issued, 201);
    const open = () =>
      plain(`/v1/contexts/${context}/events?ticket=${ticket}`, { headers: { Accept: 'text/event-stream' } });
    const response = await open();
    expect(response.status).toBe(200);
    await response.body?.cancel();
    await expectProblem(await open(), 401, 'unauthorized');
  });

  it('of a key that was revoked meanwhile opens nothing that stays open', async () => {
    const holder = await keyHolder();
    const context = await ownContext(holder.key);
    const issued = await as(holder.key, `/v1/contexts/${context}/tickets`, { method: 'POST' });
    const { ticket } = await expectJson<{ ticket: string }>(issued, 201);
    await api(`/v1/actors/${holder.id}/keys/${holder.keyId}`, { method: 'DELETE' });
    const watcher = await watch(context, `?ticket=${ticket}`, { Authorization: 'Bearer none' });
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
  });
});
