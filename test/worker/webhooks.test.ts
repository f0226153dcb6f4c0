import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { SCOPES } from '../../actors/principal.ts';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { feedEnd } from '../../projections/feed.ts';
import { clearWebhooks } from '../../projections/webhooks.ts';
import { as, expectJson, issueKey, plain, type SessionJson, startSession } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { derivedId, expectInvalid, expectProblem, feedOffset, objectOf, offset } from '../support/rest.ts';
import { contextOf, idOf, type Person, person } from '../support/sharing.ts';
import {
  eventTypesOf,
  readWebhook,
  receiver,
  standInForNetwork,
  type WebhookJson,
  webhookObject,
  webhookOf,
} from '../support/webhooks.ts';

beforeEach(() => {
  standInForNetwork();
});

const webhooks = '/v1/webhooks';
const url = 'https://hooks.example.com/events';

async function listed(by: (path: string) => Promise<Response>, query = ''): Promise<string[]> {
  const { items } = await expectJson<{ items: WebhookJson[] }>(await by(`${webhooks}${query}`), 200);
  return items.map(({ id }) => id);
}

describe('a webhook', { timeout: 60_000 }, () => {
  it('is shown with its secret once, and from then on without', async () => {
    const ann = await person('Ann');
    const sent = await ann.post(webhooks, { url, description: 'to the chat' }, { Prefer: 'wait=10' });
    expect(sent.headers.get('ETag')).toBe('"1"');
    const { secret, ...made } = await expectJson<WebhookJson & { secret: string }>(sent, 201);
    expect(sent.headers.get('Location')).toBe(`${webhooks}/${made.id}`);
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const path = `${webhooks}/${made.id}`;
    expect(made).toMatchObject({ owner: ann.id, url, description: 'to the chat', types: null, contexts: null });
    const { delivery, ...read } = await readWebhook(ann, path);
    expect(read).toEqual(made);
    expect(delivery).toEqual({ failing: 0, replays: 0, unreadable: [], nextAttemptAt: null, lastDeliveredAt: null });
    await ann.post(`${path}/secrets`);
    const bare = secret.slice('whsec_'.length);
    const everything = [
      ...(await Promise.all([path, webhooks, `${path}/deliveries`].map(async (each) => (await ann.call(each)).text()))),
      await (await api(`/v1/audit?stream=webhook/${made.id}`)).text(),
      JSON.stringify((await env.DB.prepare('SELECT * FROM webhooks').all()).results),
      await runInDurableObject(webhookObject(path), (_object, { storage }) =>
        ['events', 'webhook_secrets']
          .map((table) => JSON.stringify(storage.sql.exec(`SELECT * FROM ${table}`).toArray()))
          .join(''),
      ),
    ];
    expect(everything.join('')).toContain(made.id);
    for (const text of everything) expect(text).not.toContain(bare);
  });

  it('is its owner’s alone; administrators see it and can delete it', async () => {
    const [ann, bob] = [await person('Ann'), await person('Bob')];
    const { path } = await webhookOf(ann, receiver());
    const id = idOf(path);
    const missing = `${webhooks}/${derivedId('whk', 'webhooks: nobody')}`;
    const routes: [method: string, rest: string, json?: object][] = [
      ['GET', ''],
      ['PATCH', '', { url }],
      ['DELETE', ''],
      ['POST', '/secrets'],
      ['GET', '/deliveries'],
      ['POST', '/test'],
      ['POST', '/enable'],
      ['POST', '/disable'],
      ['POST', '/replay', { from: '-1' }],
    ];
    for (const [method, rest, json] of routes) {
      const init = { method, headers: { 'X-Request-Id': 'same' }, ...(json && { json }) };
      const [hidden, gone] = [await bob.call(`${path}${rest}`, init), await bob.call(`${missing}${rest}`, init)];
      const [hiddenText, goneText] = [await hidden.text(), await gone.text()];
      expect([method, rest, hidden.status, hiddenText.replaceAll(id, '')]).toEqual([
        method,
        rest,
        404,
        goneText.replaceAll(idOf(missing), ''),
      ]);
      const own = method === 'GET' || method === 'DELETE';
      if (!own) await expectProblem(await api(`${path}${rest}`, init), 403, 'forbidden');
    }
    expect(await listed(ann.call)).toEqual([id]);
    expect(await listed(bob.call)).toEqual([]);
    expect(await listed((address) => api(address), '?limit=100')).toContain(id);
    expect(await listed((address) => api(address), `?owner=${ann.id}`)).toEqual([id]);
    expect(await listed((address) => api(address), '?owner=me')).not.toContain(id);
    await expectInvalid(
      await bob.call(`${webhooks}?owner=${ann.id}`),
      'owner',
      'must be me, or left out; administrators may name others',
    );
    expect((await api(path)).status).toBe(200);
    // What an administrator reads of somebody else's is recorded, what its owner reads is not, and who was refused is.
    await vi.waitFor(async () => {
      const { items } = await expectJson<{ items: { action: string; actor: string }[] }>(
        await api(`/v1/audit?stream=webhook/${id}&limit=100`),
        200,
      );
      const readers = items.filter(({ action }) => action === 'webhook.read').map(({ actor }) => actor);
      expect([...new Set(readers)].sort()).toEqual([bob.id, BOOTSTRAP_ACTOR].sort());
    }, 15_000);
    expect((await api(path, { method: 'DELETE' })).status).toBe(204);
    expect((await ann.call(path)).status).toBe(404);
    expect((await ann.remove(path)).status).toBe(404);
    await vi.waitFor(async () => expect(await listed(ann.call)).toEqual([]), 10_000);
  });

  it('has nothing to do with a credential that is limited to other contexts, or that may not read', async () => {
    const ann = await person('Ann');
    const [one, two] = [idOf(await contextOf(ann)), idOf(await contextOf(ann))];
    const { path: all } = await webhookOf(ann, receiver());
    const { path: both } = await webhookOf(ann, receiver(), { contexts: [one, two] });
    const { path: first } = await webhookOf(ann, receiver(), { contexts: [one] });
    const { key } = await issueKey(ann.id, { contexts: [one], scopes: SCOPES.filter((scope) => scope !== 'admin') });
    for (const path of [all, both]) {
      expect((await as(key, path)).status).toBe(404);
      expect((await as(key, path, { method: 'PATCH', json: { url } })).status).toBe(404);
    }
    expect((await as(key, first)).status).toBe(200);
    expect(await listed((address) => as(key, address))).toEqual([idOf(first)]);
    const widened = await as(key, first, { method: 'PATCH', json: { contexts: [one, two] } });
    await expectProblem(widened, 403, 'forbidden');
    await expectProblem(await as(key, webhooks, { method: 'POST', json: { url, contexts: [two] } }), 403, 'forbidden');
    const made = await expectJson<{ contexts: string[] }>(
      await as(key, webhooks, { method: 'POST', json: { url } }),
      201,
    );
    expect(made.contexts).toEqual([one]);
    const { key: blind } = await issueKey(ann.id, { scopes: ['webhooks:read', 'webhooks:write'] });
    expect((await as(blind, all)).status).toBe(200);
    for (const [method, path] of [
      ['POST', webhooks],
      ['PATCH', all],
      ['POST', `${all}/enable`],
      ['POST', `${all}/replay`],
    ] as const) {
      const json = path.endsWith('/replay') ? { from: '-1' } : { url };
      await expectProblem(await as(blind, path, { method, json }), 403, 'insufficient-scope');
    }
  });

  it('changes under a condition, and keeps what is not named', async () => {
    const ann = await person('Ann');
    const { path } = await webhookOf(ann, receiver(), { types: ['context_updated'] });
    const patch = (json: object, version: string) =>
      ann.call(path, { method: 'PATCH', json, headers: { 'If-Match': version } });
    await expectProblem(await patch({ url }, '"2"'), 412, 'version-mismatch');
    const changed = await expectJson<WebhookJson>(await patch({ url }, '"1"'), 200);
    expect(changed).toMatchObject({ url, types: ['context_updated'], version: 2 });
  });

  it('makes a replay once for one Idempotency-Key, also when the feed has gone on before it is asked for again', async () => {
    const ann = await person('Ann');
    const { path } = await webhookOf(ann, receiver());
    const replay = (json: object) => ann.post(`${path}/replay`, json, { 'Idempotency-Key': 'replay' });
    const first = await expectJson(await replay({ from: '-1' }), 202);
    const end = await feedEnd(env.DB);
    const context = await contextOf(ann);
    await objectOf(idOf(context)).flushOutbox();
    await vi.waitFor(async () => expect(await feedEnd(env.DB)).toBeGreaterThan(end), 10_000);
    const again = await replay({ from: '-1' });
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(await expectJson(again, 202)).toEqual(first);
    expect(await eventTypesOf(path)).toEqual(['webhook_created', 'webhook_replay_requested']);
    await expectProblem(await replay({ from: '-1', to: await feedOffset(end) }), 422, 'idempotency-key-reused');
  });

  it('makes ten replays at the same time, and says of the tenth again that it is made', async () => {
    const ann = await person('Ann');
    const there = receiver();
    const { path } = await webhookOf(ann, there);
    there.reply = () => new Response(null, { status: 503 });
    const context = await contextOf(ann);
    await objectOf(idOf(context)).flushOutbox();
    await vi.waitFor(async () => expect((await readWebhook(ann, path)).delivery.failing).toBe(1), 10_000);
    const replay = (key: number) => ann.post(`${path}/replay`, { from: '-1' }, { 'Idempotency-Key': `replay ${key}` });
    for (let made = 1; made <= 10; made++) await expectJson(await replay(made), 202);
    expect((await readWebhook(ann, path)).delivery.replays).toBe(10);
    await expectProblem(await replay(11), 409, 'limit-reached');
    const again = await replay(10);
    expect([again.status, again.headers.get('Idempotent-Replayed')]).toEqual([202, 'true']);
  });

  it('is enabled once for one Idempotency-Key, also when a session has a new token before it is asked for again', async () => {
    const ann = await person('Ann');
    const { path } = await webhookOf(ann, receiver());
    await expectJson(await ann.post(`${path}/disable`), 200);
    const { accessToken, refreshToken } = await startSession(ann.key);
    const enable = (token: string) =>
      as(token, `${path}/enable`, { method: 'POST', headers: { 'Idempotency-Key': 'enable' } });
    const first = await expectJson<WebhookJson>(await enable(accessToken), 200);
    const next = await expectJson<SessionJson>(
      await plain('/v1/sessions/refresh', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ refreshToken }),
      }),
      200,
    );
    const again = await enable(next.accessToken);
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(await expectJson(again, 200)).toEqual(first);
    expect(first['expiresAt']).not.toBeNull();
  });

  it('has its secret encrypted anew also while no list has it', async () => {
    const ann = await person('Ann');
    const { path } = await webhookOf(ann, receiver());
    const sealed = () =>
      runInDurableObject(webhookObject(path), (_object, { storage }) =>
        storage.sql.exec<{ sealed: string }>('SELECT sealed FROM webhook_secrets').one(),
      );
    await clearWebhooks(env.DB);
    const before = await sealed();
    const reseal = () => api('/v1/admin/signing-keys/reseal', { method: 'POST' });
    expect((await reseal()).status).toBe(200);
    expect(await sealed()).not.toEqual(before);
    expect(await expectJson(await ann.post(`${path}/test`), 200)).toMatchObject({ attempt: { outcome: 'delivered' } });
    // One that cannot be opened is told of, for as long as there is the webhook.
    await runInDurableObject(webhookObject(path), (_object, { storage }) => {
      storage.sql.exec("UPDATE webhook_secrets SET sealed = 'v1.lost.lost'");
    });
    await expectProblem(await reseal(), 503, 'not-configured');
    expect((await ann.remove(path)).status).toBe(204);
    expect((await reseal()).status).toBe(200);
  });

  it('is one of fifty at most', async () => {
    const ann = await person('Ann');
    const all = await Promise.all(Array.from({ length: 60 }, () => ann.post(webhooks, { url }, { Prefer: 'wait=10' })));
    const made = all.filter(({ status }) => status === 201);
    expect(made).toHaveLength(50);
    for (const each of all) if (each.status !== 201) await expectProblem(each, 409, 'limit-reached');
    // It is not D1 that counts, which can be empty.
    await clearWebhooks(env.DB);
    await expectProblem(await ann.post(webhooks, { url }), 409, 'limit-reached');
    const bodies = await Promise.all(made.map((each) => expectJson<{ id: string }>(each, 201)));
    for (const { id } of bodies.slice(0, 2)) {
      expect((await ann.remove(`${webhooks}/${id}`)).status).toBe(204);
    }
    for (const expected of [201, 201, 409]) expect((await ann.post(webhooks, { url })).status).toBe(expected);
    await Promise.all(bodies.slice(2).map(({ id }) => webhookObject(id).redeliver('d1', 1, 5_000)));
    await vi.waitFor(async () => expect(await listed(ann.call, '?limit=100')).toHaveLength(50), 20_000);
    const first = await expectJson<{ items: WebhookJson[]; nextCursor: string }>(
      await ann.call(`${webhooks}?limit=30`),
      200,
    );
    const rest = await listed(ann.call, `?limit=30&cursor=${first.nextCursor}`);
    expect(new Set([...first.items.map(({ id }) => id), ...rest]).size).toBe(50);
  });
});

describe('what is not taken', () => {
  let ann: Person;
  beforeEach(async () => {
    ann ??= await person('Ann');
  });

  it.each([
    [{}, '/url', 'is required'],
    [{ url: 'https://10.0.0.1/' }, '/url', 'must not lead to a private or special address'],
    [{ url: 'http://hooks.example.com/' }, '/url', 'must begin with https://'],
    [{ url: 'http://127.0.0.1:1/' }, '/url', 'must begin with https://'],
    [{ url, types: [] }, '/types', 'must not be empty; null stands for all'],
    [{ url, types: ['Context Updated'] }, '/types/0', 'must be a type of event'],
    [{ url, contexts: ['ctx_nothing'] }, '/contexts/0', 'must be the id of a context'],
    [{ url, actors: ['ann'] }, '/actors/0', 'must be the id of an actor'],
    [{ url, secret: 'whsec_mine' }, '/secret', 'is not a known field; leave it out'],
    [{ url, description: 'x'.repeat(501) }, '/description', 'must have at most 500 characters'],
    [{ url: `https://hooks.example.com/${'x'.repeat(2_000)}` }, '/url', 'must have at most 2000 characters'],
  ])('%o', async (json, pointer, message) => {
    await expectInvalid(await ann.post(webhooks, json), pointer, message);
  });

  it.each([
    [
      { from: 'yesterday' },
      '/from',
      'must be a time with its zone such as 2026-01-31T12:00:00Z, or an offset of the feed',
    ],
    [{ from: '5' }, '/from', 'must be a time with its zone such as 2026-01-31T12:00:00Z, or an offset of the feed'],
    [{ from: 'now' }, '/from', 'must be a time with its zone such as 2026-01-31T12:00:00Z, or an offset of the feed'],
    [
      { from: offset('feed/of-another-server', 1) },
      '/from',
      'is an offset of another stream; take one that this stream gave out, or begin anew with -1',
    ],
    [
      { from: '-1', to: offset('ctx_other', 1) },
      '/to',
      'is an offset of another stream; take one that this stream gave out, or begin anew with -1',
    ],
    [{ from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' }, '/to', 'must not be before /from'],
  ])('a replay of %o', async (json, pointer, message) => {
    const { path } = await webhookOf(ann, receiver());
    await expectInvalid(await ann.post(`${path}/replay`, json), pointer, message);
    await ann.remove(path);
  });
});
