import { runInDurableObject } from 'cloudflare:test';
import { env as bindings } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ChittyOsEnv } from '../../src/chittyos/env.ts';
import { chittyOs, ServiceMemory } from '../../src/chittyos/services.ts';
import { failureOf, hanging, json, network, type Reply, settle } from './chittyos-network.ts';

const ID = '03-1-USA-5537-P-2602-0-38';

/** The environment and the two ways out of it: the network and the embedded services. */
function setUp(env: ChittyOsEnv, reply: Reply = json({ status: 'ok', valid: true })) {
  const outside = network(reply);
  const inside = network(reply);
  const embedded = { CHITTYOS: { fetch: inside.send } };
  const memory = new ServiceMemory();
  const open = () => chittyOs({ ...embedded, ...env }, { fetch: outside.send, memory });
  return { outside: outside.received, inside: inside.received, memory, open, services: open() };
}

const ALL_TOKENS: ChittyOsEnv = {
  CHITTY_ID_SERVICE_TOKEN: 'token-id',
  CHITTY_AUTH_SERVICE_TOKEN: 'token-auth',
  CHITTY_REGISTRY_TOKEN: 'token-registry',
  CHITTY_DNA_TOKEN: 'token-dna',
  CHITTY_VERIFY_TOKEN: 'token-verify',
  CHITTY_CERTIFY_TOKEN: 'token-certify',
  CHITTY_CHRONICLE_TOKEN: 'token-chronicle',
};

const NAMES = ['id', 'auth', 'registry', 'dna', 'verify', 'certify', 'chronicle'] as const;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('where a call goes', () => {
  it('is the embedded service when no token is set, by the same URL with the one token', async () => {
    const { services, inside, outside } = setUp({
      CHITTYOS_TOKEN: 'embedded',
      CHITTY_ID_URL: 'https://elsewhere.test',
    });
    expect((await services.id.validate(ID)).ok).toBe(true);
    expect(outside).toHaveLength(0);
    expect(inside[0]?.url).toBe('https://id.chitty.cc/v1/validate');
    expect(inside[0]?.headers.get('Authorization')).toBe('Bearer embedded');
  });

  it('is the real service when its token is set, each with its own', async () => {
    const { services, inside, outside } = setUp({ ...ALL_TOKENS, CHITTYOS_TOKEN: 'embedded' });
    await services.probeAll(1_000);
    expect(inside).toHaveLength(0);
    const seen = outside.map(({ url, headers }) => `${url} ${headers.get('Authorization')}`).sort();
    expect(seen).toEqual(NAMES.map((name) => `https://${name}.chitty.cc/health Bearer token-${name}`).sort());
  });

  it('is decided for each service by itself', async () => {
    const { services, inside, outside } = setUp({ CHITTY_DNA_TOKEN: 'mine', CHITTYOS_TOKEN: 'embedded' });
    await services.probeAll(1_000);
    expect(outside.map(({ url }) => url)).toEqual(['https://dna.chitty.cc/health']);
    expect(inside).toHaveLength(6);
  });

  it('may be another base URL', async () => {
    const { services, outside } = setUp({ CHITTY_ID_SERVICE_TOKEN: 'mine\n', CHITTY_ID_URL: ' https://ids.test/v9/ ' });
    await services.id.validate(ID);
    expect(outside[0]?.url).toBe('https://ids.test/v9/v1/validate');
    expect(outside[0]?.headers.get('Authorization')).toBe('Bearer mine');
  });

  it.each<[string, ChittyOsEnv]>([
    ['no token at all', {}],
    ['an empty token', { CHITTY_ID_SERVICE_TOKEN: '', CHITTYOS_TOKEN: ' ' }],
  ])('is nowhere with %s, and the failure says what to set', async (_what, env) => {
    const { services, inside, outside } = setUp(env);
    const failure = failureOf(await services.id.validate(ID));
    expect(failure).toMatchObject({ kind: 'configuration', retryable: false });
    expect(failure.detail).toContain('CHITTY_ID_SERVICE_TOKEN');
    expect([...inside, ...outside]).toHaveLength(0);
  });

  it('is nowhere without a binding', async () => {
    const services = chittyOs({ CHITTYOS_TOKEN: 'embedded' }, { memory: new ServiceMemory() });
    expect(failureOf(await services.dna.read('x')).kind).toBe('configuration');
  });
});

describe('what an isolate remembers', () => {
  it('outlives the clients: breakers, status and the list of services', async () => {
    const { open, inside } = setUp({ CHITTYOS_TOKEN: 'embedded' }, json({ services: [] }));
    await open().registry.discover();
    await open().registry.discover();
    expect(inside).toHaveLength(1);
    expect(open().status().registry).toMatchObject({ breaker: 'closed', lastFailure: null });
    expect(open().status().registry.lastSuccessAt).not.toBeNull();
    expect(open().status().dna).toMatchObject({ lastSuccessAt: null, lastLatencyMs: null });
  });

  it('does not confuse the embedded service with the real one', async () => {
    const { memory } = setUp({});
    const broken = network(json({}, 500)).send;
    const real = chittyOs({ CHITTY_ID_SERVICE_TOKEN: 'mine' }, { fetch: broken, memory });
    for (let number = 0; number < 5; number++) await settle(real.id.mint({ entity: 'P' }));
    expect(real.status().id.breaker).toBe('open');
    const embedded = chittyOs({ CHITTYOS_TOKEN: 't', CHITTYOS: { fetch: broken } }, { memory });
    expect(embedded.status().id.breaker).toBe('closed');
  });

  it('is renewed from within an object too, where nothing but the runtime’s own waitUntil is at hand', async () => {
    vi.useRealTimers();
    const { open, inside } = setUp({ CHITTYOS_TOKEN: 'embedded' }, json({ services: [] }));
    await open().registry.discover();
    const now = Date.now();
    vi.spyOn(Date, 'now').mockReturnValue(now + 270_000);
    const object = bindings.COUNTERS.get(bindings.COUNTERS.idFromName('chittyos-services waitUntil'));
    const found = await runInDurableObject(object, () => open().registry.discover());
    expect(found).toMatchObject({ ok: true, value: { source: 'cache' } });
    await vi.waitFor(() => expect(inside).toHaveLength(2));
    vi.restoreAllMocks();
  });
});

describe('the health of all services', () => {
  it('is up, with how long each took', async () => {
    const { services } = setUp({ CHITTYOS_TOKEN: 'embedded' });
    const { services: found, checkedAt } = await services.probeAll(1_000);
    expect(Object.keys(found).sort()).toEqual([...NAMES].sort());
    expect(checkedAt).toMatch(/^\d{4}-.*Z$/);
    for (const name of NAMES) {
      expect(found[name]).toMatchObject({ status: 'up', latencyMs: 0, breaker: 'closed', detail: null });
      expect(found[name].lastSuccessAt).not.toBeNull();
    }
  });

  it.each<[string, string, Reply]>([
    ['up', 'has no health to read', json({ title: 'Not found' }, 404)],
    ['degraded', 'refuses the token', json({}, 401)],
    ['degraded', 'has had too many calls', json({}, 429)],
    ['degraded', 'says so', json({ status: 'degraded' })],
    ['down', 'fails', json({}, 500)],
    ['down', 'answers something else', json({ weather: 'sunny' })],
    ['down', 'is not at that address', () => new Response('nothing here', { status: 404 })],
    ['down', 'hangs', hanging],
  ])('is %s when a service %s', async (status, _what, reply) => {
    const { services, inside } = setUp({ CHITTYOS_TOKEN: 'embedded' }, reply);
    const { value, ms } = await settle(services.probeAll(2_000));
    for (const name of NAMES) expect(value.services[name].status).toBe(status);
    expect(ms).toBeLessThanOrEqual(2_000);
    // Asked once each: a health check does not try again.
    expect(inside).toHaveLength(7);
  });

  it('is remembered for 30 s, also when it is bad', async () => {
    const { open, inside } = setUp({ CHITTYOS_TOKEN: 'embedded' }, json({}, 500));
    const first = await open().probeAll(1_000);
    await vi.advanceTimersByTimeAsync(29_999);
    expect(await open().probeAll(1_000)).toEqual(first);
    expect(inside).toHaveLength(7);
    await vi.advanceTimersByTimeAsync(1);
    await open().probeAll(1_000);
    expect(inside).toHaveLength(14);
  });

  it('is found out once for all who ask at the same time', async () => {
    const { open, inside } = setUp({ CHITTYOS_TOKEN: 'embedded' });
    const all = await Promise.all(Array.from({ length: 20 }, () => open().probeAll(1_000)));
    expect(inside).toHaveLength(7);
    for (const found of all) expect(found).toEqual(all[0]);
  });

  it('is down without a call for a service that is left alone, and the probe tests it when that time is over', async () => {
    let isIll = true;
    const reply: Reply = () => (isIll ? Response.json({}, { status: 500 }) : Response.json({ status: 'ok' }));
    const { services, inside } = setUp({ CHITTYOS_TOKEN: 'embedded' }, reply);
    for (let number = 0; number < 5; number++) await settle(services.id.mint({ entity: 'P' }));
    isIll = false;
    const { services: found } = await services.probeAll(1_000);
    expect(found.id).toMatchObject({ status: 'down', breaker: 'open', latencyMs: null });
    expect(inside).toHaveLength(5 + 6);
    await vi.advanceTimersByTimeAsync(30_000);
    expect((await services.probeAll(1_000)).services.id).toMatchObject({ status: 'up', breaker: 'closed' });
  });

  it('is known in time also when the request that finds it out is lost', async () => {
    const { open } = setUp({ CHITTYOS_TOKEN: 'embedded' }, hanging);
    // The timeouts of the one who asks first never fire, as when its request was cancelled.
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(() => 0 as never);
    void open().probeAll(2_000);
    vi.restoreAllMocks();
    const { value, ms } = await settle(open().probeAll(2_000));
    expect(ms).toBeLessThanOrEqual(2_000);
    for (const name of NAMES) expect(value.services[name].status).toBe('unknown');
  });

  it('says what is missing when nothing is configured', async () => {
    const { services } = setUp({});
    const { services: found } = await services.probeAll(1_000);
    for (const name of NAMES) expect(found[name]).toMatchObject({ status: 'down', latencyMs: null });
    expect(found.certify.detail).toContain('CHITTY_CERTIFY_TOKEN');
  });
});
