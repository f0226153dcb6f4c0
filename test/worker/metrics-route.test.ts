import { createExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Directory } from '../../actors/directory.ts';
import type { Env } from '../../src/env.ts';
import { handleRequest } from '../../src/http/router.ts';
import { routes } from '../../src/http/routes.ts';
import { api, BASE, createContext } from '../support/api.ts';
import { type ParsedFamily, parseOpenMetrics, sampleValue } from '../support/openmetrics.ts';
import { configured, expectProblem, objectOf, patch, read } from '../support/rest.ts';

const METRICS_API_KEY = 'the-key-of-the-scraper';
const ADMIN = { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) };

/** Milliseconds after which nothing that was remembered is fresh. */
const STALE_MS = 30_001;

async function scrape(variables: Partial<Env> = {}): Promise<Map<string, ParsedFamily>> {
  const response = await configured(variables, '/metrics', { headers: ADMIN });
  expect(response.status).toBe(200);
  expect(response.headers.get('Content-Type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
  return parseOpenMetrics(await textOf(response));
}

/** Not text(): workerd warns that the media type does not look like text. */
async function textOf(response: Response): Promise<string> {
  return new TextDecoder().decode(await response.arrayBuffer());
}

let now = Date.now();

/** Lets everything that is remembered grow old. */
function pass(ms: number): void {
  now += ms;
  vi.spyOn(Date, 'now').mockReturnValue(now);
}

beforeEach(() => pass(STALE_MS));

afterEach(() => {
  vi.restoreAllMocks();
});

describe('who may read the metrics', () => {
  it.each([
    ['the administrator', ADMIN],
    ['the bearer of the metrics key', { Authorization: `Bearer ${METRICS_API_KEY}` }],
    ['the metrics key as X-API-Key', { 'X-API-Key': METRICS_API_KEY }],
  ])('%s', async (_who, headers) => {
    expect((await configured({ METRICS_API_KEY }, '/metrics', { headers })).status).toBe(200);
  });

  it.each<[string, string | undefined, Record<string, string>]>([
    ['nobody without a key', METRICS_API_KEY, {}],
    ['nobody with a wrong key', METRICS_API_KEY, { 'X-API-Key': `${METRICS_API_KEY}x` }],
    ['nobody with the key in two places', METRICS_API_KEY, { ...ADMIN, Authorization: `Bearer ${METRICS_API_KEY}` }],
    ['nobody by a key that is blank', ' ', { 'X-API-Key': ' ' }],
    ['nobody by a key that is empty', '', { 'X-API-Key': '' }],
    ['nobody by "undefined"', undefined, { 'X-API-Key': 'undefined' }],
  ])('%s', async (_who, key, headers) => {
    const variables = key === undefined ? {} : { METRICS_API_KEY: key };
    const response = await configured(variables, '/metrics', { headers });
    expect(response.headers.get('WWW-Authenticate')).toContain('Bearer');
    await expectProblem(response, 401, 'unauthorized');
  });

  it.each(routes.filter(({ access, path }) => access !== 'public' && path !== '/metrics'))(
    'and the metrics key does not open $method $path',
    async ({ method, path }) => {
      const { id } = await createContext();
      const response = await configured(
        { METRICS_API_KEY },
        path.replace(/:id/, id).replaceAll(/:\w+\+?/g, 'context'),
        {
          method,
          headers: { Authorization: `Bearer ${METRICS_API_KEY}` },
        },
      );
      await expectProblem(response, 401, 'unauthorized');
    },
  );
});

describe('what the metrics say', () => {
  it('is OpenMetrics with the type, unit and help of every family', async () => {
    await createContext();
    const families = await scrape();
    expect([...families].map(([name, { type, unit }]) => [name, type, unit])).toEqual([
      ['chittyconnect_isolate', 'info', null],
      ['chittyconnect_requests', 'counter', null],
      ['chittyconnect_request_duration_seconds', 'histogram', 'seconds'],
      ['chittyconnect_commands', 'counter', null],
      ['chittyconnect_events_appended', 'counter', null],
      ['chittyconnect_outbox_lag_seconds', 'histogram', 'seconds'],
      ['chittyconnect_outbox_streams_behind', 'gauge', null],
      ['chittyconnect_outbox_oldest_age_seconds', 'gauge', 'seconds'],
      ['chittyconnect_cold_streams', 'gauge', null],
      ['chittyconnect_cold_segments', 'gauge', null],
      ['chittyconnect_cold_events', 'gauge', null],
      ['chittyconnect_cold_size_bytes', 'gauge', 'bytes'],
      ['chittyconnect_cold_damaged_streams', 'gauge', null],
      ['chittyconnect_queue_messages', 'counter', null],
      ['chittyconnect_circuit_breaker', 'stateset', null],
      ['chittyconnect_d1_errors', 'counter', null],
      ['chittyconnect_webhook_attempts', 'counter', null],
    ]);
    for (const { help } of families.values()) expect(help).toMatch(/^[A-Z].*\.$/);
  });

  it('counts requests and commands by their route, and never shows what is in a path', async () => {
    const { id } = await createContext({ name: 'A secret name' });
    const route = '/v1/contexts/{id}';
    const before = await scrape();
    await read(id);
    await patch(id, { name: 'Another secret' }, { 'Idempotency-Key': 'metrics' });
    await patch(id, { name: 'Another secret' }, { 'Idempotency-Key': 'metrics' });
    await patch(id, { name: '' });
    await api(`/no-such-route/${id}`);
    const after = await scrape();
    const grown = (name: string, labels: Record<string, string>) =>
      (sampleValue(after, name, labels) ?? 0) - (sampleValue(before, name, labels) ?? 0);
    const requests = 'chittyconnect_requests_total';
    expect(grown(requests, { method: 'GET', route, status: '2xx' })).toBe(1);
    expect(grown(requests, { method: 'PATCH', route, status: '2xx' })).toBe(2);
    expect(grown(requests, { method: 'PATCH', route, status: '4xx' })).toBe(1);
    expect(grown(requests, { method: 'GET', route: 'unmatched', status: '4xx' })).toBe(1);
    expect(grown(requests, { method: 'GET', route: '/metrics', status: '2xx' })).toBe(1);
    expect(grown('chittyconnect_request_duration_seconds_count', { method: 'PATCH', route })).toBe(3);
    const commands = 'chittyconnect_commands_total';
    expect(grown(commands, { method: 'PATCH', route, outcome: 'accepted' })).toBe(1);
    expect(grown(commands, { method: 'PATCH', route, outcome: 'replayed' })).toBe(1);
    expect(grown(commands, { method: 'PATCH', route, outcome: 'refused' })).toBe(1);
    const text = await textOf(await api('/metrics'));
    for (const word of [id, 'secret name', 'Another secret', 'no-such-route', 'act_']) expect(text).not.toContain(word);
  });

  it('counts commands of every route that is there to change something, and of no other', async () => {
    const counted = (families: Map<string, ParsedFamily>, method: string, path: string) => {
      const route = path.replaceAll(/:(\w+)\+?/g, '{$1}');
      const samples = families.get('chittyconnect_commands')?.samples ?? [];
      const own = samples.filter(({ labels }) => labels.method === method && labels.route === route);
      return own.reduce((sum, { value }) => sum + value, 0);
    };
    const before = await scrape();
    for (const { method, path } of routes) await configured({}, path.replaceAll(/:\w+\+?/g, 'x'), { method });
    const after = await scrape();
    const grown = ({ method, path }: { method: string; path: string }) =>
      counted(after, method, path) - counted(before, method, path);
    // RFC 7662 has those who only ask about a token use POST.
    const isRead = ({ method, path }: { method: string; path: string }) =>
      method === 'GET' || path === '/oauth/introspect';
    expect(routes.filter((route) => grown(route) !== (isRead(route) ? 0 : 1))).toEqual([]);
  });

  it('counts events that were appended by their type of stream, and no command that appended none', async () => {
    const events = async () =>
      sampleValue(await scrape(), 'chittyconnect_events_appended_total', { stream: 'context' });
    const { id } = await createContext();
    const before = Number(await events());
    await patch(id, { name: 'Counted' });
    expect(await events()).toBe(before + 1);
    await patch(id, { name: 'Counted' });
    expect(await events()).toBe(before + 1);
  });

  it('shows how long it took until a destination had an event', async () => {
    const name = 'chittyconnect_outbox_lag_seconds';
    const lag = async () => {
      const families = await scrape();
      const value = (suffix: string, labels = {}) =>
        sampleValue(families, `${name}_${suffix}`, { destination: 'd1', ...labels }) ?? 0;
      return { count: value('count'), quick: value('bucket', { le: '0.5' }) };
    };
    const { id } = await createContext();
    await objectOf(id).flushOutbox();
    const before = await lag();
    await patch(id, { name: 'On its way' });
    await objectOf(id).whenDelivered('d1', 2, 10_000);
    const after = await lag();
    // Others may be on their way as well.
    expect(after.count).toBeGreaterThan(before.count);
    expect(after.quick).toBeGreaterThan(before.quick);
  });

  it('counts a request whose route breaks down, as 5xx', async () => {
    const CONTEXTS = broken(env.CONTEXTS);
    const labels = { method: 'GET', route: '/v1/contexts/{id}', status: '5xx' };
    const { id } = await createContext();
    const before = sampleValue(await scrape(), 'chittyconnect_requests_total', labels) ?? 0;
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    expect((await configured({ CONTEXTS }, `/v1/contexts/${id}`, { headers: ADMIN })).status).toBe(500);
    expect(sampleValue(await scrape(), 'chittyconnect_requests_total', labels)).toBe(before + 1);
  });

  it('shows how many streams are behind by destination and for how long, at most 30 s old', async () => {
    const { id } = await createContext();
    const behind = (families: Map<string, ParsedFamily>, destination: string) => [
      sampleValue(families, 'chittyconnect_outbox_streams_behind', { destination }),
      sampleValue(families, 'chittyconnect_outbox_oldest_age_seconds', { destination }),
    ];
    const families = await scrape();
    for (const destination of ['d1', 'chronicle', 'dna', 'live', 'given'])
      expect(behind(families, destination)).toEqual([0, 0]);
    const monitor = new Directory(env.DIRECTORY).monitor();
    const cursor = { confirmed: 1, attempts: 2, retryAt: 0, lastError: 'a secret' };
    await monitor.behind(`context/${id}`, { chronicle: cursor, dna: cursor });
    pass(29_999);
    expect(behind(await scrape(), 'dna')).toEqual([0, 0]);
    // The one that is behind longer counts, whichever shard it is in.
    const others = await Promise.all(Array.from({ length: 8 }, async () => `context/${(await createContext()).id}`));
    for (const other of others) await monitor.behind(other, { dna: cursor });
    pass(2);
    expect(behind(await scrape(), 'dna')).toEqual([9, 30.001]);
    expect(behind(await scrape(), 'chronicle')).toEqual([1, 30.001]);
    pass(10_000);
    expect(behind(await scrape(), 'dna')).toEqual([9, 40.001]);
    expect(behind(await scrape(), 'd1')).toEqual([0, 0]);
    for (const each of [`context/${id}`, ...others]) await monitor.caughtUp(each);
    pass(STALE_MS);
    expect(behind(await scrape(), 'chronicle')).toEqual([0, 0]);
  });

  it('leaves the outbox out when the directory fails, and says all the rest', async () => {
    const families = await scrape({ DIRECTORY: broken(env.DIRECTORY) });
    expect(families.get('chittyconnect_outbox_streams_behind')?.samples).toEqual([]);
    expect(families.get('chittyconnect_requests')?.samples).not.toEqual([]);
  });

  it('shows the circuit breaker of each service, and none where there is no ChittyOS', async () => {
    expect((await scrape()).get('chittyconnect_circuit_breaker')?.samples).toEqual([]);
    const CHITTYOS = { fetch: async () => Response.json({ status: 'ok' }) };
    const families = await scrape({ CHITTYOS, CHITTYOS_TOKEN: 't' });
    const samples = families.get('chittyconnect_circuit_breaker')?.samples ?? [];
    expect(samples).toHaveLength(7 * 3);
    const on = samples.filter(({ value }) => value === 1);
    expect(on.map(({ labels }) => labels)).toEqual(
      ['id', 'auth', 'registry', 'dna', 'verify', 'certify', 'chronicle'].map((service) => ({
        service,
        chittyconnect_circuit_breaker: 'closed',
      })),
    );
  });

  it('counts errors of D1: of one statement, of several together, and before anything is sent', async () => {
    const errors = async () => sampleValue(await scrape(), 'chittyconnect_d1_errors_total') ?? -1;
    const before = await errors();
    expect((await api('/v1/contexts/search?q=nothing')).status).toBe(200);
    expect(await errors()).toBe(before);
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const ask = (DB: D1Database) =>
      handleRequest(new Request(`${BASE}/v1/contexts`, { headers: ADMIN }), { ...env, DB }, createExecutionContext());
    expect((await ask(broken(env.DB))).status).toBe(503);
    expect(await errors()).toBe(before + 1);
    // A real error of the database: the statement is asked of a table that is not there.
    const prepare = () => env.DB.prepare('SELECT * FROM no_such_table');
    const DB = new Proxy(env.DB, { get: (db, name) => (name === 'prepare' ? prepare : Reflect.get(db, name, db)) });
    expect((await ask(DB)).status).toBe(503);
    expect(await errors()).toBe(before + 2);
  });
});

/** A binding that throws whatever is asked of it. */
function broken<Binding extends object>(binding: Binding): Binding {
  const fail = () => {
    throw new Error('out of order');
  };
  return new Proxy(binding, { get: () => fail });
}
