import { runDurableObjectAlarm } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ActorCommand } from '../../actors/actor.ts';
import { Outbox } from '../../actors/outbox.ts';
import { delegationId } from '../../events/delegation.ts';
import { MAX_AGE_MS } from '../../src/auth/access-views.ts';
import { as, expectJson, type KeyHolder, keyHolder } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { stopClock } from '../support/clock.ts';
import { type DelegationJson, delegate, sendForm } from '../support/delegations.ts';
import { fullClaims, signedByUs } from '../support/forge.ts';
import { bigPatch, change, objectOf, type Watcher, watch } from '../support/live.ts';
import { ADMINISTRATOR, principalOf } from '../support/principals.ts';
import { expectProblem } from '../support/rest.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Sets the clock to a time when what was made with `world` has expired; no timer and no alarm fires for that. */
function afterItsTime(): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2 * 60 * 60_000 });
}

interface World {
  readonly ann: KeyHolder;
  readonly ben: KeyHolder;
  readonly cem: KeyHolder;
  readonly first: DelegationJson;
  readonly second: DelegationJson;
  readonly context: string;
}

/** Ann has handed rights on a context to Ben, and Ben to Cem. */
async function world(more: object = {}): Promise<World> {
  const [ann, ben, cem] = await Promise.all([keyHolder(), keyHolder(), keyHolder()]);
  const made = await as(ann.key, '/v1/contexts', { method: 'POST', json: { name: 'watched' } });
  const context = (await expectJson<{ id: string }>(made, 201)).id;
  const first = await delegate(ann.key, ben.id, ['contexts:read', 'delegate'], more);
  const second = await delegate(first.token, cem.id, ['contexts:read']);
  return { ann, ben, cem, first, second, context };
}

async function watchAs(credential: string, context: string): Promise<Watcher> {
  const watcher = await watch(context, '', { Authorization: `Bearer ${credential}` });
  await watcher.until('hello');
  return watcher;
}

const ends: [string, (world: World) => Promise<Response>][] = [
  ['its link is revoked', ({ ben, second }) => as(ben.key, `/v1/delegate/${second.id}`, { method: 'DELETE' })],
  ['a link above is revoked', ({ ann, first }) => as(ann.key, `/v1/delegate/${first.id}`, { method: 'DELETE' })],
  ['its token is revoked (RFC 7009)', ({ cem, second }) => sendForm(cem.key, '/oauth/revoke', { token: second.token })],
  ['who acts is suspended', ({ cem }) => api(`/v1/actors/${cem.id}/suspend`, { method: 'POST' })],
  ['one in between is suspended', ({ ben }) => api(`/v1/actors/${ben.id}/suspend`, { method: 'POST' })],
  ['the one at the root is suspended', ({ ann }) => api(`/v1/actors/${ann.id}/suspend`, { method: 'POST' })],
  ['the one at the root is deleted', ({ ann }) => api(`/v1/actors/${ann.id}`, { method: 'DELETE' })],
  ['the key at the root is revoked', ({ ann }) => api(`/v1/actors/${ann.id}/keys/${ann.keyId}`, { method: 'DELETE' })],
];

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

describe('what another isolate ended holds here within 5 s, however often the token is used', () => {
  const changes: [string, (world: World) => readonly [string, ActorCommand]][] = [
    ['a link', ({ ben, second }) => [ben.id, { type: 'revokeDelegation', delegation: second.id, withToken: false }]],
    ['one above', ({ ann, first }) => [ann.id, { type: 'revokeDelegation', delegation: first.id, withToken: false }]],
    ['the one in between', ({ ben }) => [ben.id, { type: 'suspend', reason: '' }]],
    ['the one at the root', ({ ann }) => [ann.id, { type: 'delete' }]],
    ['the key at the root', ({ ann }) => [ann.id, { type: 'revokeKey', key: ann.keyId }]],
  ];
  it.each(changes)('%s', async (_name, change) => {
    const made = await world();
    const read = () => as(made.second.token, `/v1/contexts/${made.context}`);
    expect((await read()).status).toBe(200);
    const start = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: start });
    await elsewhere(...change(made));
    for (let ms = 0; ms < MAX_AGE_MS; ms += 250) {
      vi.setSystemTime(start + ms);
      await read();
    }
    vi.setSystemTime(start + MAX_AGE_MS);
    await expectProblem(await read(), 401, 'unauthorized');
  });

  it('and a delegation that another isolate made is good here at once', async () => {
    const { ann, ben, context } = await world();
    // What is known here of Ann is from before.
    expect((await as(ann.key, `/v1/contexts/${context}`)).status).toBe(200);
    const id = delegationId(ann.id, Date.now());
    const at = new Date().toISOString();
    const reply = await env.ACTORS.get(env.ACTORS.idFromName(ann.id)).execute({
      id: ann.id,
      command: {
        type: 'delegate',
        delegation: id,
        to: ben.id,
        madeWith: ann.keyId,
        wanted: { scopes: ['contexts:read'] },
        at,
      },
      principal: principalOf(ann.id),
      cause: { correlationId: 'c', causationId: null, commandId: 'c' },
    });
    expect(reply).not.toHaveProperty('refused');
    const claims = { sid: undefined, sub: ann.id, act: { sub: ben.id }, jti: id, chain: [id], scope: 'contexts:read' };
    const token = await signedByUs(fullClaims(claims));
    expect((await as(token, `/v1/contexts/${context}`)).status).toBe(200);
  });
});

describe('a stream that was opened with a delegated token is closed in the middle when', () => {
  it.each(ends)('%s, and those of others stay', async (_name, end) => {
    const made = await world();
    const [watcher, other] = [await watchAs(made.second.token, made.context), await watch(made.context)];
    expect((await end(made)).ok).toBe(true);
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
    await other.ping();
    expect(other.closed).toBeNull();
  });

  it('its time is up', async () => {
    // It is not before the stream is open.
    stopClock();
    const { second, context } = await world({ ttlSeconds: 3 });
    const watcher = await watchAs(second.token, context);
    vi.useRealTimers();
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
  });

  it('its time is up, before any event that comes later, also where the alarm does not ring', async () => {
    const { second, context } = await world();
    const [watcher, other] = [await watchAs(second.token, context), await watch(context)];
    afterItsTime();
    await change(context, { name: 'not for all' });
    await other.untilVersion(2);
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
    expect(watcher.versions).toEqual([]);
  });

  it('its time is up, before what it is behind with', async () => {
    const { second, context } = await world();
    const watcher = await watchAs(second.token, context);
    for (let version = 2; version <= 22; version++) await change(context, bigPatch(version, 60_000));
    const sync = await watcher.until('sync', 3);
    await watcher.ping();
    const before = watcher.versions;
    expect(before.length).toBeLessThan(21);
    afterItsTime();
    watcher.socket.send(JSON.stringify(sync));
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
    expect(watcher.versions).toEqual(before);
  });

  it('its time is up while the alarm has other work that takes long', async () => {
    const { second, context } = await world();
    const watcher = await watchAs(second.token, context);
    let isClosed = false;
    vi.spyOn(Outbox.prototype, 'alarm').mockImplementation(async () => {
      afterItsTime();
      while (!isClosed) await scheduler.wait(20);
    });
    const alarm = runDurableObjectAlarm(objectOf(context));
    await watcher.until('close').finally(() => {
      isClosed = true;
    });
    await alarm;
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
  });

  it('it ends in the very moment of opening, in another isolate', async () => {
    stopClock();
    const { ann, first, second, context } = await world();
    expect((await as(second.token, `/v1/contexts/${context}`)).status).toBe(200);
    await elsewhere(ann.id, { type: 'revokeDelegation', delegation: first.id, withToken: false });
    const watcher = await watch(context, '', { Authorization: `Bearer ${second.token}` });
    expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
  });
});

describe('a link below that is revoked', () => {
  it('closes what came of it and leaves what came of the one above', async () => {
    const { ben, first, second, context } = await world();
    const [above, below] = [await watchAs(first.token, context), await watchAs(second.token, context)];
    await as(ben.key, `/v1/delegate/${second.id}`, { method: 'DELETE' });
    expect(await below.untilClosed()).toMatchObject({ code: 4401 });
    await above.ping();
    expect(above.closed).toBeNull();
  });
});

it('server-sent events end with the delegation too', async () => {
  const { ann, first, second, context } = await world();
  const headers = { Accept: 'text/event-stream' };
  const response = await as(second.token, `/v1/contexts/${context}/events`, { headers });
  const reader = response.body?.getReader();
  await reader?.read();
  await as(ann.key, `/v1/delegate/${first.id}`, { method: 'DELETE' });
  for (let read = await reader?.read(); read?.done === false; read = await reader?.read());
});

it('a ticket that was got with a delegated token opens nothing that stays open once that has ended', async () => {
  const { ann, first, second, context } = await world();
  const issued = await as(second.token, `/v1/contexts/${context}/tickets`, { method: 'POST' });
  const { ticket } = await expectJson<{ ticket: string }>(issued, 201);
  await as(ann.key, `/v1/delegate/${first.id}`, { method: 'DELETE' });
  const watcher = await watch(context, `?ticket=${ticket}`, { Authorization: 'Bearer none' });
  expect(await watcher.untilClosed()).toMatchObject({ code: 4401 });
});
