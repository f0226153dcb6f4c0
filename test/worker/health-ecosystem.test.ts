import { createExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { chittyOs } from '../../src/chittyos/services.ts';
import type { Env } from '../../src/env.ts';
import { handleRequest } from '../../src/http/router.ts';
import { api, BASE } from '../support/api.ts';
import { expectInvalid, expectProblem } from '../support/rest.ts';
import { hanging, json, network, type Reply, settle } from './chittyos-network.ts';

const NAMES = ['auth', 'certify', 'chronicle', 'dna', 'id', 'registry', 'verify'];
const PATH = '/v1/health/ecosystem';

const health = z.looseObject({ status: z.string(), latencyMs: z.number().nullable(), detail: z.string().nullable() });
const answer = z.object({
  status: z.string(),
  configured: z.boolean(),
  database: health,
  services: z.record(z.string(), health),
});

let place = 0;

/** A Worker whose services answer like this; each has addresses of its own, because an isolate remembers them. */
function worker(reply: Reply, variables: Partial<Env> = {}) {
  place += 1;
  const { send, received } = network(reply);
  const CHITTYOS = { fetch: send };
  return { received, env: { ...env, CHITTYOS, CHITTYOS_TOKEN: `t${place}`, DB: wellDatabase(), ...variables } };
}

/** Asks a Worker how everything is. */
async function look(configured: Env): Promise<z.infer<typeof answer>> {
  const request = new Request(BASE + PATH, { headers: { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) } });
  const response = await handleRequest(request, configured, createExecutionContext());
  expect(response.status).toBe(200);
  return answer.parse(await response.json());
}

/** A database whose queries end in this way. */
function database(all: () => Promise<unknown>): D1Database {
  const prepare = () => ({ all });
  return new Proxy(env.DB, { get: () => prepare });
}

/** One in memory, which answers before any timer does: the clock of these tests does not wait for a real one. */
const wellDatabase = () => database(() => Promise.resolve({ results: [] }));
const brokenDatabase = () => database(() => Promise.reject(new Error('D1_ERROR: no such disk')));
const hangingDatabase = () => database(() => new Promise(() => undefined));

/** What the isolate remembers of the embedded services is 30 s old, and their breakers have closed. */
let clock = Date.now();

beforeEach(() => {
  clock += 60_000;
  vi.useFakeTimers({ now: clock, toFake: ['setTimeout', 'clearTimeout', 'Date'] });
});

afterEach(() => {
  clock = Date.now();
  vi.useRealTimers();
});

describe('the health of the ecosystem', () => {
  it('is up when every service and the database are, with how each is', async () => {
    const { value } = await settle(look(worker(json({ status: 'ok' })).env));
    expect(value).toMatchObject({ status: 'up', configured: true, database: { status: 'up', detail: null } });
    expect(Object.keys(value.services).sort()).toEqual(NAMES);
    for (const name of NAMES) {
      expect(value.services[name]).toMatchObject({ status: 'up', breaker: 'closed', latencyMs: 0, detail: null });
      expect(value.services[name]?.lastSuccessAt).toMatch(/^\d{4}-.*Z$/);
    }
  });

  it('says so when there is no ChittyOS, and looks at the database alone', async () => {
    const response = await api(PATH);
    expect(answer.parse(await response.json())).toMatchObject({
      status: 'up',
      configured: false,
      database: { status: 'up' },
      services: {},
    });
  });

  it('is degraded when one service is down, and says what it is', async () => {
    const reply: Reply = ({ url }) =>
      url.startsWith('https://dna.') ? Response.json({}, { status: 500 }) : Response.json({ status: 'ok' });
    const { value } = await settle(look(worker(reply).env));
    expect(value).toMatchObject({ status: 'degraded', services: { dna: { status: 'down' }, id: { status: 'up' } } });
    expect(value.services.dna?.detail).toMatch(/500/);
  });

  it('is degraded when the database fails and the services are well', async () => {
    const { value } = await settle(look(worker(json({ status: 'ok' }), { DB: brokenDatabase() }).env));
    expect(value).toMatchObject({
      status: 'degraded',
      database: { status: 'down', lastSuccessAt: null, detail: 'D1_ERROR: no such disk' },
    });
  });

  it('is down when nothing answers', async () => {
    const { value } = await settle(look(worker(json({}, 500), { DB: brokenDatabase() }).env));
    expect(value.status).toBe('down');
  });

  it('takes no longer than 2 s when nothing ever answers', async () => {
    const { value, ms } = await settle(look(worker(hanging, { DB: hangingDatabase() }).env));
    expect(ms).toBeLessThanOrEqual(2_000);
    expect(value).toMatchObject({ status: 'down', database: { status: 'down', detail: 'It did not answer in time.' } });
  });

  it('is remembered for 30 s, the database’s too', async () => {
    const all = vi.fn(() => Promise.resolve({ results: [] }));
    const { env: configured, received } = worker(json({ status: 'ok' }), { DB: database(all) });
    const first = (await settle(look(configured))).value;
    vi.setSystemTime(Date.now() + 29_000);
    expect((await settle(look(configured))).value).toEqual(first);
    expect([received.length, all.mock.calls.length]).toEqual([7, 1]);
    vi.setSystemTime(Date.now() + 2_000);
    await settle(look(configured));
    expect([received.length, all.mock.calls.length]).toEqual([14, 2]);
  });

  it('shows a service that calls have failed to reach since as down at once', async () => {
    let isIll = false;
    const reply: Reply = () => (isIll ? Response.json({}, { status: 500 }) : Response.json({ status: 'ok' }));
    const { env: configured, received } = worker(reply);
    expect((await settle(look(configured))).value.status).toBe('up');
    isIll = true;
    for (let call = 0; call < 5; call++) await settle(chittyOs(configured).id.mint({ entity: 'P' }));
    const sent = received.length;
    const { value } = await settle(look(configured));
    expect(received).toHaveLength(sent);
    expect(value).toMatchObject({ status: 'degraded', services: { id: { status: 'down', breaker: 'open' } } });
    expect(value.services.id?.detail).toMatch(/500/);
  });

  it('is found out once for all who ask at the same time', async () => {
    const all = vi.fn(() => Promise.resolve({ results: [] }));
    const { env: configured, received } = worker(json({ status: 'ok' }), { DB: database(all) });
    await settle(Promise.all(Array.from({ length: 10 }, () => look(configured))));
    expect([received.length, all.mock.calls.length]).toEqual([7, 1]);
  });

  it('says when the database last answered, after it has stopped to', async () => {
    let isIll = false;
    const all = () => (isIll ? Promise.reject(new Error('gone')) : Promise.resolve({ results: [] }));
    const { env: configured } = worker(json({ status: 'ok' }), { DB: database(all) });
    const wellAt = new Date().toISOString();
    await settle(look(configured));
    isIll = true;
    vi.setSystemTime(Date.now() + 31_000);
    const { value } = await settle(look(configured));
    expect(value.database).toMatchObject({ status: 'down', lastSuccessAt: wellAt });
  });

  it('is for those who have a key, and takes no parameters', async () => {
    await expectProblem(await api(PATH, { headers: { 'X-API-Key': 'wrong' } }), 401, 'unauthorized');
    await expectInvalid(await api(`${PATH}?x=1`), 'x', 'is not a query parameter here; this route takes none');
  });
});
