import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { chittyRegistryClient } from '../../src/chittyos/chitty-registry.ts';
import { RegistryCache } from '../../src/chittyos/registry-cache.ts';
import { connection, dropped, failureOf, hanging, json, network, type Reply, settle } from './chittyos-network.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const service = (id: string) => ({ id, name: id, type: 'core', baseUrl: `https://${id}.test`, capabilities: ['x'] });
const FALLBACK = JSON.stringify([service('configured')]);

/** A registry whose list names how often it was asked, and that can be switched off. */
function registry(fallback?: string) {
  const state: { broken: Reply | null; asked: number } = { broken: null, asked: 0 };
  const { send, received } = network((request, signal) => {
    if (state.broken) return state.broken(request, signal);
    state.asked += 1;
    return Response.json({ services: [service(`list-${state.asked}`)] });
  });
  const background: Promise<unknown>[] = [];
  const cache = new RegistryCache();
  const waitUntil = (work: Promise<unknown>) => void background.push(work);
  const client = chittyRegistryClient(connection(send, { service: 'registry' }), { cache, waitUntil, fallback });
  /** What a caller sees: the first service's id and where the list came from. */
  const look = async () => {
    const { value: found, ms } = await settle(client.discover());
    return found.ok ? `${found.value.services[0]?.id} from ${found.value.source}` : `failed after ${ms} ms`;
  };
  return { state, received, background, client, look };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  vi.setSystemTime(Date.UTC(2026, 6, 1));
});

afterEach(() => {
  vi.useRealTimers();
});

describe('the list of services', () => {
  it('is asked for once in five minutes', async () => {
    const { look, state } = registry();
    expect(await look()).toBe('list-1 from registry');
    await vi.advanceTimersByTimeAsync(4 * MINUTE - 1);
    expect(await look()).toBe('list-1 from cache');
    expect(state.asked).toBe(1);
  });

  it('is asked for without contexts, and has none when the registry gives them nevertheless', async () => {
    const { send, received } = network(() =>
      Response.json({ services: [{ ...service('a context'), type: 'context' }, service('dna')] }),
    );
    const dependencies = { cache: new RegistryCache(), waitUntil: () => {}, fallback: undefined };
    const found = await chittyRegistryClient(connection(send, { service: 'registry' }), dependencies).discover();
    expect(found).toMatchObject({ ok: true, value: { services: [{ id: 'dna' }] } });
    expect(new URL(received[0]?.url ?? '').search).toBe('?exclude=context');
  });

  it('is asked for once when many want it at the same time', async () => {
    const { client, state } = registry();
    const all = await Promise.all(Array.from({ length: 50 }, () => client.discover()));
    expect(state.asked).toBe(1);
    for (const found of all) expect(found).toEqual(all[0]);
  });

  it('is renewed in the background before it is five minutes old, once, and nobody waits', async () => {
    const { client, look, state, background } = registry();
    await look();
    await vi.advanceTimersByTimeAsync(4 * MINUTE);
    state.broken = hanging;
    // None of these waits for the registry, which hangs.
    const all = await Promise.all(Array.from({ length: 20 }, () => client.discover()));
    for (const found of all) expect(found).toMatchObject({ ok: true, value: { source: 'cache' } });
    expect(background).toHaveLength(1);
  });

  it('that was renewed in the background is what the next caller gets', async () => {
    const { look, background } = registry();
    await look();
    await vi.advanceTimersByTimeAsync(4 * MINUTE);
    expect(await look()).toBe('list-1 from cache');
    await Promise.all(background);
    expect(await look()).toBe('list-2 from cache');
    await vi.advanceTimersByTimeAsync(3 * MINUTE);
    expect(await look()).toBe('list-2 from cache');
  });

  it('says when it is from', async () => {
    const { client } = registry();
    await client.discover();
    await vi.advanceTimersByTimeAsync(2 * MINUTE);
    const found = await client.discover();
    expect(found.ok && found.value.asOf).toBe('2026-07-01T00:00:00.000Z');
  });

  it('is asked for anew when it is five minutes old', async () => {
    const { look } = registry();
    await look();
    await vi.advanceTimersByTimeAsync(5 * MINUTE);
    expect(await look()).toBe('list-2 from registry');
  });

  it('is asked for anew when the clock was put back', async () => {
    const { look } = registry();
    await look();
    vi.setSystemTime(Date.UTC(2026, 5, 1));
    expect(await look()).toBe('list-2 from registry');
    expect(await look()).toBe('list-2 from cache');
  });

  it('is read page by page, and no more than ten of them', async () => {
    const { send, received } = network(({ url }) => {
      const after = Number(new URL(url).searchParams.get('after') ?? 0);
      return Response.json({ services: [service(`s${after}`)], nextAfter: after === 2 ? null : after + 1 });
    });
    const dependencies = { cache: new RegistryCache(), waitUntil: () => undefined, fallback: undefined };
    const found = await chittyRegistryClient(connection(send), dependencies).discover();
    expect(found.ok && found.value.services.map(({ id }) => id)).toEqual(['s0', 's1', 's2']);
    expect(received[0]?.url).not.toContain('after');

    const without = network(json({ services: [service('s')], nextAfter: 7 }));
    await chittyRegistryClient(connection(without.send), { ...dependencies, cache: new RegistryCache() }).discover();
    expect(without.received).toHaveLength(10);
  });
});

describe('while the registry fails', () => {
  it.each<[string, Reply]>([
    ['with errors', json({}, 500)],
    ['by not being there', dropped],
    ['with wrong answers', json({ services: 'many' })],
    ['by refusing the token', json({}, 401)],
    ['by not answering', hanging],
  ])('%s, the last list serves', async (_how, reply) => {
    const { look, state } = registry(FALLBACK);
    await look();
    await vi.advanceTimersByTimeAsync(10 * MINUTE);
    state.broken = reply;
    expect(await look()).toBe('list-1 from stale');
  });

  it('it is asked every 10 s only, so that not every caller waits for it', async () => {
    const { look, state, received } = registry();
    await look();
    await vi.advanceTimersByTimeAsync(10 * MINUTE);
    state.broken = json({}, 401);
    await look();
    for (let number = 0; number < 20; number++) expect(await look()).toBe('list-1 from stale');
    expect(received).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(10_000);
    state.broken = null;
    expect(await look()).toBe('list-2 from registry');
  });

  it('a list of yesterday gives way to the configured one', async () => {
    const { look, state } = registry(FALLBACK);
    await look();
    state.broken = json({}, 500);
    await vi.advanceTimersByTimeAsync(24 * HOUR - MINUTE);
    expect(await look()).toBe('list-1 from stale');
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(await look()).toBe('configured from fallback');
  });

  it('and never answered, the configured list serves, as an array or as an answer', async () => {
    for (const fallback of [FALLBACK, JSON.stringify({ services: [service('configured')] })]) {
      const { look, state } = registry(fallback);
      state.broken = dropped;
      expect(await look()).toBe('configured from fallback');
    }
  });

  it('and nothing is configured, the failure is told', async () => {
    for (const fallback of [undefined, '', '  ']) {
      const { client, state } = registry(fallback);
      state.broken = json({}, 401);
      expect(failureOf(await client.discover())).toMatchObject({ service: 'registry', kind: 'status', status: 401 });
    }
  });

  it.each(['{', '5', '{"services":5}', '[{"name":"no id"}]'])(
    'and %j is configured, the failure says so',
    async (text) => {
      const { client, state } = registry(text);
      state.broken = json({}, 401);
      expect(failureOf(await client.discover()).detail).toContain('CHITTY_REGISTRY_FALLBACK is no help');
    },
  );

  it('a renewal in the background that fails is no failure for anybody', async () => {
    const { look, state, background } = registry();
    await look();
    await vi.advanceTimersByTimeAsync(4 * MINUTE);
    state.broken = json({}, 401);
    expect(await look()).toBe('list-1 from cache');
    await Promise.all(background);
    expect(await look()).toBe('list-1 from cache');
    expect(background).toHaveLength(1);
  });
});

describe('one service', () => {
  it('is what the registry says', async () => {
    const { send, received } = network(json(service('dna')));
    const dependencies = { cache: new RegistryCache(), waitUntil: () => undefined, fallback: undefined };
    const found = await chittyRegistryClient(connection(send), dependencies).service('dna');
    expect(found).toMatchObject({ ok: true, value: { id: 'dna', baseUrl: 'https://dna.test' } });
    expect(received[0]?.url).toBe('https://id.chitty.test/api/services/dna');
  });

  it('is found in the list that is known while the registry fails', async () => {
    const { client, state } = registry(FALLBACK);
    state.broken = dropped;
    const { value: found } = await settle(client.service('configured'));
    expect(found).toMatchObject({ ok: true, value: { id: 'configured' } });
    expect(failureOf((await settle(client.service('other'))).value).service).toBe('registry');
  });

  it('that the registry does not know is not looked for elsewhere', async () => {
    const { client, state } = registry(JSON.stringify([service('gone')]));
    state.broken = json({}, 404);
    expect(failureOf(await client.service('gone')).status).toBe(404);
  });
});

describe('requests of one isolate', () => {
  /** Two objects are two requests to the runtime: what belongs to the one must not be used by the other. */
  const object = (name: string) => env.COUNTERS.get(env.COUNTERS.idFromName(`chittyos-registry ${name}`));

  it('share one question to the registry', async () => {
    vi.useRealTimers();
    const { state, discover } = slowRegistry(2);
    const [first, second] = await Promise.all([
      runInDurableObject(object('a'), discover),
      runInDurableObject(object('b'), discover),
    ]);
    expect(state.asked).toBe(1);
    expect(first).toMatchObject({ ok: true, value: { source: 'registry' } });
    expect(second).toEqual(first);
  });

  it('do not wait for ever for one that was lost', async () => {
    const { client, state } = registry();
    state.broken = hanging;
    // The one who asks is cancelled: its call, with its timeouts, never comes back.
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(() => 0 as never);
    void client.discover();
    vi.restoreAllMocks();
    state.broken = null;
    const { value: joined, ms } = await settle(client.discover());
    expect(failureOf(joined).kind).toBe('timeout');
    expect(ms).toBeLessThanOrEqual(15_000);
    expect(await settle(client.discover())).toMatchObject({ value: { ok: true } });
  });
});

/** A registry that answers no sooner than so many wait for its list. */
function slowRegistry(callers: number) {
  const state = { asked: 0, waiting: 0 };
  const { send } = network(async () => {
    state.asked += 1;
    while (state.waiting < callers) await new Promise((resolve) => setTimeout(resolve, 5));
    return Response.json({ services: [service('one')] });
  });
  const dependencies = { cache: new RegistryCache(), waitUntil: () => undefined, fallback: undefined };
  const client = chittyRegistryClient(connection(send), dependencies);
  const discover = () => {
    const found = client.discover();
    state.waiting += 1;
    return found;
  };
  return { state, discover };
}
