import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isIntact } from '../../events/envelope.ts';
import { as, expectJson, type IssuedKeyJson, issueKey } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { objectOf } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';
import {
  eventTypesOf,
  isSignedBy,
  readWebhook,
  receiver,
  standInForNetwork,
  verified,
  webhookObject,
  webhookOf,
} from '../support/webhooks.ts';

/** How long something may take that takes a second or two, on a machine that does much else. */
const SOON = 20_000;
/** The same for a test, some of which wait for many such things. */
const TIMEOUT_MS = 90_000;
/** Longer than what is to stay away would take to come. */
const WHILE = 2_500;
const HOUR_MS = 3_600_000;

beforeEach(() => {
  standInForNetwork();
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const soon = <Result>(check: () => Result | Promise<Result>) => vi.waitFor(check, SOON);
const whatever = () => new Promise((resolve) => setTimeout(resolve, WHILE));
const rename = async (by: Person, context: string, name: string) => expectJson(await by.patch(context, { name }), 200);

/** Lets time pass, and the webhook see it; alarms go by the platform's own clock. */
function pass(path: string, ms: number): Promise<void> {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms });
  return webhookObject(path).poke();
}

/** The same as `soon` after time has passed: the webhook is woken in the place of its alarm. */
const soonAfter = <Result>(path: string, check: () => Result | Promise<Result>) =>
  vi.waitFor(
    async () => {
      await webhookObject(path).poke();
      return check();
    },
    { timeout: SOON, interval: 200 },
  );

/** The same, each time after so much time has passed: whatever waits until then has its turn, however long that takes. */
const soonInTime = <Result>(path: string, ms: number, check: () => Result | Promise<Result>) =>
  vi.waitFor(
    async () => {
      await pass(path, ms);
      return check();
    },
    { timeout: SOON, interval: 200 },
  );

/** Has what comes next happen in another millisecond. */
const aMomentLater = () => new Promise((resolve) => setTimeout(resolve, 5));

const status =
  (code: number, headers: Record<string, string> = {}) =>
  () =>
    new Response(code === 204 ? null : 'no\u202e\u0000 thanks', { status: code, headers });

interface AttemptJson {
  message: string;
  cause: string;
  version: number | null;
  outcome: string;
  status: number | null;
  attempt: number;
  error: string | null;
  response: string | null;
}

async function attempts(by: Person, path: string): Promise<AttemptJson[]> {
  const { items } = await expectJson<{ items: AttemptJson[] }>(await by.call(`${path}/deliveries`), 200);
  return items;
}

describe('a delivery', { timeout: TIMEOUT_MS }, () => {
  it('comes a moment after the event, is signed as the official library checks it, and holds the sealed event', async () => {
    const errors = vi.spyOn(console, 'error');
    const ann = await person('Ann');
    const there = receiver();
    const { secret } = await webhookOf(ann, there);
    const context = await contextOf(ann, { name: 'Delivered' });
    await soon(() => expect(there.places).toEqual([`${idOf(context)} 1`]));
    const [hook] = there.hooks;
    if (!hook) throw new Error('nothing came');
    const { type, timestamp, data } = verified(secret, hook);
    expect(isIntact(data)).toBe(true);
    expect({ type, timestamp }).toEqual({ type: data.type, timestamp: data.time });
    const history = await (await ann.call(`${context}/events`)).text();
    expect(history).toBe(`[${hook.body.slice(hook.body.indexOf('"data":') + '"data":'.length, -1)}]`);
    expect(hook.headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-id': expect.stringMatching(/^msg_/),
    });
    expect(hook.init).toMatchObject({ method: 'POST', redirect: 'manual' });
    expect(isSignedBy('whsec_bm90IHRoZSBzZWNyZXQgb2YgdGhlIHdlYmhvb2s=', hook)).toBe(false);
    expect(isSignedBy(secret, { ...hook, body: hook.body.replace('Delivered', 'Altered') })).toBe(false);
    // A step of which no event tells is none that failed: what comes next is due when it is due.
    expect(errors.mock.calls.flat().join()).not.toContain('a process step failed');
  });

  it('is of what the webhook is narrowed to, and of nothing from before it was made', async () => {
    const [ann, bob] = [await person('Ann'), await person('Bob')];
    const [one, two] = [await contextOf(ann), await contextOf(ann)];
    await share(ann, one, bob);
    for (const context of [one, two]) await objectOf(idOf(context)).flushOutbox();
    const [byType, byContext, byActor] = [receiver(), receiver(), receiver()];
    await webhookOf(ann, byType, { types: ['context_updated'] });
    await webhookOf(ann, byContext, { contexts: [idOf(two)] });
    await webhookOf(ann, byActor, { actors: [bob.id] });
    await rename(ann, two, 'by Ann');
    await rename(bob, one, 'by Bob');
    await expectJson(await ann.post(`${one}/notes`, { text: 'a note' }), 201);
    const { version } = await expectJson<{ version: number }>(await ann.call(one), 200);
    const updates = [`${idOf(two)} 2`, `${idOf(one)} ${version - 1}`];
    await soon(() => expect(byType.places.sort()).toEqual(updates.sort()));
    await soon(() => expect(byContext.places).toEqual([`${idOf(two)} 2`]));
    await soon(() => expect(byActor.places).toEqual([`${idOf(one)} ${version - 1}`]));
    await whatever();
    expect([byType, byContext, byActor].map(({ places }) => places.length)).toEqual([2, 1, 1]);
  });

  it('is of what the owner may read at that moment: not of what they have lost, nor while they are suspended', async () => {
    const [ann, bob] = [await person('Ann'), await person('Bob')];
    const context = await contextOf(ann);
    const there = receiver();
    const { path } = await webhookOf(bob, there);
    await rename(ann, context, 'Not Bob’s');
    await share(ann, context, bob, 'viewer');
    await rename(ann, context, 'Bob’s');
    await soon(() => expect(there.places.length).toBeGreaterThan(1));
    there.reply = status(500);
    await rename(ann, context, 'Sent in vain');
    await soon(async () => expect((await readWebhook(bob, path)).delivery.failing).toBe(1));
    expect((await ann.remove(`${context}/members/${bob.id}`)).status).toBe(204);
    // It is passed over; sent once more, it would fail once more.
    await soonInTime(path, HOUR_MS, async () => expect((await readWebhook(bob, path)).delivery.failing).toBe(0));
    there.reply = status(204);
    const count = there.hooks.length;
    await pass(path, HOUR_MS);
    await whatever();
    expect(there.hooks).toHaveLength(count);
    vi.useRealTimers();

    const own = await contextOf(bob);
    await soonAfter(path, () => expect(there.places.at(-1)).toBe(`${idOf(own)} 1`));
    await expectJson(await api(`/v1/actors/${bob.id}/suspend`, { method: 'POST' }), 200);
    await api(`/v1/contexts/${idOf(own)}`, { method: 'PATCH', json: { name: 'While he is suspended' } });
    await whatever();
    expect(there.places.at(-1)).toBe(`${idOf(own)} 1`);
    await expectJson(await api(`/v1/actors/${bob.id}/reinstate`, { method: 'POST' }), 200);
    await soonInTime(path, HOUR_MS, () => expect(there.places.at(-1)).toBe(`${idOf(own)} 2`));
  });

  it('is of an administrator’s own contexts, not of everybody’s', async () => {
    const [ann, root] = [await person('Ann'), await person('Root', { scopes: ['webhooks:write', 'contexts:write'] })];
    await expectJson(await api(`/v1/actors/${root.id}/capabilities/administrator`, { method: 'PUT' }), 200);
    const key = await issueKey(root.id, { scopes: ['admin', 'contexts:read', 'contexts:write', 'webhooks:write'] });
    const there = receiver();
    await expectJson(await as(key.key, '/v1/webhooks', { method: 'POST', json: { url: there.url } }), 201);
    await contextOf(ann);
    const own = await contextOf(root);
    await soon(() => expect(there.places).toEqual([`${idOf(own)} 1`]));
  });

  it('that fails is made again with the same id and signed anew, and holds up no other context', async () => {
    const ann = await person('Ann');
    const [bad, good] = [await contextOf(ann), await contextOf(ann)];
    for (const context of [bad, good]) await objectOf(idOf(context)).flushOutbox();
    const there = receiver();
    const { path, secret } = await webhookOf(ann, there);
    // Words with spaces: ids and hashes, of which a body has many, have none.
    const [atFirst, again] = ['fails the first time', Promise.withResolvers<void>()];
    let tries = 0;
    there.reply = async ({ body }) => {
      if (!body.includes(atFirst)) return status(204)();
      tries += 1;
      if (tries === 1) return status(503)();
      await again.promise;
      return status(204)();
    };
    await rename(ann, bad, atFirst);
    await rename(ann, bad, 'behind it');
    const isFailing = { status: 'active', delivery: { failing: 1 } };
    await soon(async () => expect(await readWebhook(ann, path)).toMatchObject(isFailing));
    await rename(ann, good, 'good');
    await soon(() => expect(there.places).toContain(`${idOf(good)} 2`));
    expect(there.places).not.toContain(`${idOf(bad)} 3`);
    expect(await readWebhook(ann, path)).toMatchObject(isFailing);
    const [failed] = (await attempts(ann, path)).filter(({ outcome }) => outcome === 'failed');
    expect(failed).toMatchObject({ version: 2, status: 503, error: 'HTTP 503', response: 'no thanks', cause: 'event' });
    again.resolve();
    // By itself, after five seconds at most.
    await soon(() => expect(there.places.filter((place) => place.startsWith(idOf(bad)))).toHaveLength(3));
    const ofBad = there.hooks.filter(({ body }) => body.includes(idOf(bad)));
    expect(there.places.filter((place) => place.startsWith(idOf(bad)))).toEqual(
      [2, 2, 3].map((v) => `${idOf(bad)} ${v}`),
    );
    expect(ofBad[0]?.headers['webhook-id']).toBe(ofBad[1]?.headers['webhook-id']);
    expect(ofBad[0]?.headers['webhook-timestamp']).not.toBe(ofBad[1]?.headers['webhook-timestamp']);
    for (const hook of ofBad) verified(secret, hook);
    expect((await attempts(ann, path)).find(({ attempt }) => attempt === 2)).toMatchObject({ outcome: 'delivered' });
    await soon(async () =>
      expect((await readWebhook(ann, path)).delivery).toMatchObject({ failing: 0, nextAttemptAt: null }),
    );
  });
});

describe('a receiver that is dead', { timeout: TIMEOUT_MS }, () => {
  /** A webhook whose receiver failed until it was disabled. */
  async function dead() {
    const ann = await person('Ann');
    const context = await contextOf(ann);
    await objectOf(idOf(context)).flushOutbox();
    const there = receiver();
    const { path } = await webhookOf(ann, there);
    there.reply = status(500);
    await rename(ann, context, 'first');
    await soon(() => expect(there.hooks).not.toEqual([]));
    await soonInTime(path, 14 * HOUR_MS, async () => expect((await readWebhook(ann, path)).status).toBe('disabled'));
    expect((await attempts(ann, path)).map(({ attempt }) => attempt)).toEqual([8, 7, 6, 5, 4, 3, 2, 1]);
    await rename(ann, context, 'second');
    return { ann, context, there, path };
  }

  it('has its webhook disabled after more than a day, which is an event; it goes on from where it stood', async () => {
    const { ann, context, there, path } = await dead();
    const { disabled } = await readWebhook(ann, path);
    expect(disabled).toMatchObject({ reason: 'failing', detail: '8 attempts, the last: HTTP 500' });
    expect(await eventTypesOf(path)).toEqual(['webhook_created', 'webhook_disabled']);
    await soon(async () => {
      const audit = await api(`/v1/audit?stream=webhook/${idOf(path)}&action=webhook_disabled&system=true`);
      expect(await audit.text()).toContain(idOf(path));
    });
    await whatever();
    expect(there.hooks).toHaveLength(8);
    there.reply = status(204);
    await expectJson(await ann.post(`${path}/enable`), 200);
    await soonAfter(path, () =>
      expect(there.places.slice(8)).toEqual([2, 3].map((version) => `${idOf(context)} ${version}`)),
    );
  });

  it('or from now, when its owner says so', async () => {
    const { ann, context, there, path } = await dead();
    await objectOf(idOf(context)).flushOutbox();
    there.reply = status(204);
    vi.setSystemTime(Date.now() + 1);
    await expectJson(await ann.post(`${path}/enable`, { from: 'now' }), 200);
    await rename(ann, context, 'third');
    await soonAfter(path, () => expect(there.places.slice(8)).toEqual([`${idOf(context)} 4`]));
  });

  it('with 410 is left alone at once', async () => {
    const ann = await person('Ann');
    const there = receiver();
    const { path } = await webhookOf(ann, there);
    there.reply = status(410);
    await contextOf(ann);
    await soon(async () => expect(await readWebhook(ann, path)).toMatchObject({ disabled: { reason: 'gone' } }));
    expect(there.hooks).toHaveLength(1);
  });

  it('that asks to be left alone for a while is', async () => {
    const ann = await person('Ann');
    const there = receiver();
    const { path } = await webhookOf(ann, there);
    there.reply = status(429, { 'Retry-After': '7200' });
    const startedAt = Date.now();
    await contextOf(ann);
    await soon(async () => expect(await attempts(ann, path)).toHaveLength(1));
    await contextOf(ann);
    await whatever();
    expect(there.hooks).toHaveLength(1);
    const { delivery } = await readWebhook(ann, path);
    expect(Date.parse(delivery.nextAttemptAt ?? '')).toBeGreaterThanOrEqual(startedAt + 2 * HOUR_MS);
    there.reply = status(204);
    await pass(path, 2 * HOUR_MS + 1_000);
    await soonAfter(path, () => expect(there.hooks).toHaveLength(3));
  });

  it('that redirects is not followed, and told so', async () => {
    const ann = await person('Ann');
    const [there, elsewhere] = [receiver(), receiver()];
    const { path } = await webhookOf(ann, there);
    there.reply = status(307, { Location: elsewhere.url });
    await contextOf(ann);
    await soon(async () => expect(await attempts(ann, path)).toHaveLength(1));
    expect((await attempts(ann, path))[0]).toMatchObject({
      outcome: 'redirected',
      status: 307,
      error: 'HTTP 307: redirects are not followed, give the address itself',
    });
    expect(elsewhere.hooks).toEqual([]);
  });
});

describe('a webhook', { timeout: TIMEOUT_MS }, () => {
  it('signs with the old secret beside the new one until the overlap is over', async () => {
    const ann = await person('Ann');
    const there = receiver();
    const { path, secret: old } = await webhookOf(ann, there);
    const rotate = async (json: object) => {
      const { secret } = await expectJson<{ secret: string }>(await ann.post(`${path}/secrets`, json), 201);
      return secret;
    };
    const ping = async () => {
      const { attempt } = await expectJson<{ attempt: AttemptJson }>(await ann.post(`${path}/test`), 200);
      expect(attempt).toMatchObject({ outcome: 'delivered', cause: 'test', status: 204 });
      const hook = there.hooks.at(-1);
      if (!hook) throw new Error('no ping came');
      expect(JSON.parse(hook.body)).toMatchObject({ type: 'ping', data: { webhook: idOf(path) } });
      return (secret: string) => isSignedBy(secret, hook);
    };
    const next = await rotate({ overlapSeconds: 60 });
    const during = await ping();
    expect([during(old), during(next)]).toEqual([true, true]);
    expect(there.hooks.at(-1)?.headers['webhook-signature']).toMatch(/^v1,\S{44} v1,\S{44}$/);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 });
    const later = await ping();
    expect([later(old), later(next)]).toEqual([false, true]);
    const third = await rotate({ overlapSeconds: 0 });
    const atOnce = await ping();
    expect([atOnce(next), atOnce(third)]).toEqual([false, true]);
  });

  it('sends a part of the feed again, by offsets and by time, with the ids it had', async () => {
    const ann = await person('Ann');
    const there = receiver();
    const { path, secret } = await webhookOf(ann, there);
    const offset = async () => (await ann.call('/v1/events?offset=now')).headers.get('Stream-Next-Offset') ?? '';
    const context = await contextOf(ann);
    await soon(() => expect(there.hooks).toHaveLength(1));
    const from = await offset();
    await rename(ann, context, 'second');
    await soon(() => expect(there.hooks).toHaveLength(2));
    const [to, time] = [await offset(), new Date().toISOString()];
    await aMomentLater();
    await rename(ann, context, 'third');
    await soon(() => expect(there.hooks).toHaveLength(3));
    await expectJson(await ann.post(`${path}/replay`, { from, to }), 202);
    await soon(() => expect(there.places.slice(3)).toEqual([`${idOf(context)} 2`]));
    await expectJson(await ann.post(`${path}/replay`, { from: '-1', to: time }), 202);
    await soon(() => expect(there.places.slice(4)).toEqual([1, 2].map((version) => `${idOf(context)} ${version}`)));
    await expectJson(await ann.post(`${path}/replay`, { from: time }), 202);
    await soon(() => expect(there.places.slice(6)).toEqual([`${idOf(context)} 3`]));
    const ids = there.hooks.map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids).size).toBe(3);
    expect([ids[1], ids[3]]).toEqual([ids[5], ids[5]]);
    for (const hook of there.hooks) verified(secret, hook);
    await soon(async () => expect((await readWebhook(ann, path)).delivery.replays).toBe(0));
    expect((await attempts(ann, path))[0]).toMatchObject({ cause: 'replay', version: 3 });
  });

  it('sends nothing again because the read models were made anew', async () => {
    const ann = await person('Ann');
    const there = receiver();
    const old = await contextOf(ann, { name: 'before it was made' });
    await rename(ann, old, 'still before');
    const { path } = await webhookOf(ann, there);
    const context = await contextOf(ann);
    await rename(ann, context, 'second');
    await soon(() => expect(there.hooks).toHaveLength(2));
    const left = await contextOf(ann, { name: 'left out' });
    await soon(() => expect(there.hooks).toHaveLength(3));
    await expectJson(await ann.post(`${path}/disable`), 200);
    await rename(ann, left, 'left out, too');
    await aMomentLater();
    await expectJson(await ann.post(`${path}/enable`, { from: 'now' }), 200);
    for (let cursor: string | null = ''; cursor !== null; ) {
      const address: string = `/v1/admin/rebuild${cursor === '' ? '' : `?cursor=${cursor}`}`;
      const { nextCursor }: { nextCursor: string | null } = await (await api(address, { method: 'POST' })).json();
      cursor = nextCursor;
    }
    await whatever();
    await rename(ann, context, 'third');
    await soon(() => expect(there.places.at(-1)).toBe(`${idOf(context)} 3`));
    expect(there.places).toEqual([`${idOf(context)} 1`, `${idOf(context)} 2`, `${idOf(left)} 1`, `${idOf(context)} 3`]);
    const { items } = await expectJson<{ items: { id: string }[] }>(await ann.call('/v1/webhooks'), 200);
    expect(items.map(({ id }) => id)).toEqual([idOf(path)]);
  });

  it('ends with the credential that made it, and goes on with one that lasts', async () => {
    const ann = await person('Ann');
    const there = receiver();
    const expiresAt = new Date(Date.now() + HOUR_MS).toISOString();
    const { key } = await expectJson<IssuedKeyJson>(
      await api(`/v1/actors/${ann.id}/keys`, { method: 'POST', json: { name: 'for an hour', expiresAt } }),
      201,
    );
    const sent = await as(key, '/v1/webhooks', { method: 'POST', json: { url: there.url } });
    const { id, expiresAt: ends } = await expectJson<{ id: string; expiresAt: string }>(sent, 201);
    expect(ends).toBe(expiresAt);
    const path = `/v1/webhooks/${id}`;
    await pass(path, HOUR_MS + 1);
    await soonAfter(path, async () =>
      expect(await readWebhook(ann, path)).toMatchObject({ disabled: { reason: 'expired' } }),
    );
    await expectJson(await ann.post(`${path}/enable`), 200);
    expect(await readWebhook(ann, path)).toMatchObject({ status: 'active', expiresAt: null });
  });

  it('ends with a credential by which it got another address or a secret, whatever made it', async () => {
    const ann = await person('Ann');
    const expiresAt = new Date(Date.now() + HOUR_MS).toISOString();
    const { key } = await expectJson<IssuedKeyJson>(
      await api(`/v1/actors/${ann.id}/keys`, { method: 'POST', json: { name: 'for an hour', expiresAt } }),
      201,
    );
    const [moved, rotated] = [await webhookOf(ann, receiver()), await webhookOf(ann, receiver())];
    const json = { url: receiver().url };
    expect(await expectJson(await as(key, moved.path, { method: 'PATCH', json }), 200)).toMatchObject({ expiresAt });
    const secret = await as(key, `${rotated.path}/secrets`, { method: 'POST' });
    expect(await expectJson(secret, 201)).toMatchObject({ expiresAt });
  });

  it('that was deleted or disabled sends nothing', async () => {
    const ann = await person('Ann');
    const [deleted, disabled] = [receiver(), receiver()];
    const { path } = await webhookOf(ann, deleted);
    const { path: other } = await webhookOf(ann, disabled);
    expect((await ann.remove(path)).status).toBe(204);
    await expectJson(await ann.post(`${other}/disable`), 200);
    expect((await ann.call(path)).status).toBe(404);
    await contextOf(ann);
    await whatever();
    expect([deleted.hooks, disabled.hooks]).toEqual([[], []]);
  });
});
