import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DEFAULT_LIMITS, LIMITS_ID, type Limits } from '../../events/limits.ts';
import { takeQuota } from '../../src/limits/quotas.ts';
import { as, expectJson, keyHolder } from '../support/actors.ts';
import { api, createContext } from '../support/api.ts';
import { Watcher, watch } from '../support/live.ts';
import { configured, expectInvalid, expectProblem } from '../support/rest.ts';

const PATH = '/v1/admin/limits';
const put = (limits: unknown, headers: Record<string, string> = {}) =>
  api(PATH, { method: 'PUT', json: limits, headers });

/** A request that came through a proxy which says where from. */
function from(address: string, path: string, headers: Record<string, string> = {}): Promise<Response> {
  return configured({ CLIENT_ADDRESS_HEADER: 'X-Test-Address' }, path, {
    headers: { 'X-Test-Address': address, ...headers },
  });
}

/** An address of its own for each path, from which nothing else comes. */
const addressFor = (path: string) => `192.0.2.${100 + path.length}`;

const wrong = (n: number) => ({ Authorization: `Bearer cck_guess-${n}` });
const right = { Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}` };

/** Limits flow back as time passes, and quotas end with the day: the clock stands still, however long a test takes. */
beforeEach(() => {
  vi.spyOn(Date, 'now').mockReturnValue(Date.now());
});

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the limits', () => {
  it('are those that the service comes with until somebody sets others, which is an event', async () => {
    const first = await api(PATH);
    expect(await first.json()).toEqual(DEFAULT_LIMITS);
    expect(first.headers.has('ETag')).toBe(false);
    const limits: Limits = { ...DEFAULT_LIMITS, guesses: { requests: 5, seconds: 60 } };
    const changed = await put(limits);
    expect([changed.status, changed.headers.get('ETag')]).toEqual([200, '"1"']);
    expect(await (await api(PATH)).json()).toEqual(limits);
    expect((await put(limits)).headers.get('ETag')).toBe('"1"');
    await expectProblem(await put(DEFAULT_LIMITS, { 'If-Match': '"7"' }), 412, 'version-mismatch');
    const events = await runInDurableObject(env.LIMITS.get(env.LIMITS.idFromName(LIMITS_ID)), (_object, { storage }) =>
      storage.sql.exec<{ event: string }>('SELECT event FROM events').toArray(),
    );
    expect(events.map(({ event }) => JSON.parse(event).type)).toEqual(['limits_changed']);
  });

  it('are not taken when something in them is wrong', async () => {
    await expectInvalid(
      await put({ ...DEFAULT_LIMITS, guesses: { requests: 0, seconds: 60 } }),
      '/guesses/requests',
      'Too small: expected number to be >=1',
    );
    await expectProblem(await put({}), 400, 'invalid');
  });
});

describe('wrong credentials', () => {
  it('are not looked at any more after too many from one address; those from others are, and those known to be right', async () => {
    await put({ ...DEFAULT_LIMITS, guesses: { requests: 5, seconds: 60 } });
    expect((await from('203.0.113.9', '/v1/contexts', right)).status).toBe(200);
    const statuses: number[] = [];
    for (let n = 0; n < 8; n++) statuses.push((await from('203.0.113.9', '/v1/contexts', wrong(n))).status);
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
    const refused = await from('203.0.113.9', '/v1/contexts', wrong(9));
    expect(refused.headers.get('Retry-After')).toBe('60');
    expect(refused.headers.get('RateLimit-Policy')).toBe('"guesses";q=5;w=60');
    expect(refused.headers.get('RateLimit')).toBe('"guesses";r=0;t=60');
    await expectProblem(refused, 429, 'too-many-guesses');
    expect((await from('203.0.113.9', '/v1/contexts', right)).status).toBe(200);
    expect((await from('2001:db8::1', '/v1/contexts', wrong(10))).status).toBe(401);
  });

  it('are counted by nothing that the caller can choose', async () => {
    for (let n = 0; n < 10; n++) {
      const headers = { ...wrong(n), 'CF-Connecting-IP': '198.51.100.1', 'X-Forwarded-For': `198.51.100.${n}` };
      expect((await from('198.51.100.77', '/v1/contexts', headers)).status).toBe(n < 5 ? 401 : 429);
    }
  });
});

describe('wrong keys for the metrics', () => {
  const METRICS_API_KEY = 'the-key-of-the-scraper';
  const scrape = (address: string, credential: string) =>
    configured({ CLIENT_ADDRESS_HEADER: 'X-Test-Address', METRICS_API_KEY }, '/metrics', {
      headers: { 'X-Test-Address': address, 'X-API-Key': credential },
    });

  it('count as guesses as well: after too many not even the right one is looked at, unless it was used before', async () => {
    await put({ ...DEFAULT_LIMITS, guesses: { requests: 5, seconds: 60 } });
    const statuses: number[] = [];
    for (let n = 0; n < 6; n++) statuses.push((await scrape('203.0.113.40', `guess-${n}`)).status);
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429]);
    await expectProblem(await scrape('203.0.113.40', METRICS_API_KEY), 429, 'too-many-guesses');
    expect((await from('203.0.113.40', '/v1/contexts', wrong(11))).status).toBe(429);
    expect((await scrape('203.0.113.41', METRICS_API_KEY)).status).toBe(200);
    expect((await scrape('203.0.113.40', METRICS_API_KEY)).status).toBe(200);
  });
});

describe('guesses by WebSocket', () => {
  it('are told from a credential that has ended: the client comes back when it may', async () => {
    await put({ ...DEFAULT_LIMITS, guesses: { requests: 5, seconds: 60 } });
    const { id } = await createContext();
    const codes: number[] = [];
    for (let n = 0; n < 7; n++) {
      const headers = { ...wrong(n), Upgrade: 'websocket' };
      const { webSocket } = await from('203.0.113.60', `/v1/contexts/${id}/live`, headers);
      if (!webSocket) throw new Error('there is no WebSocket');
      codes.push((await new Watcher(webSocket).untilClosed()).code);
    }
    expect(codes).toEqual([4401, 4401, 4401, 4401, 4401, 4429, 4429]);
  });
});

describe('callers without a credential', () => {
  it('have a limit by address on what is for everybody, health excepted', async () => {
    await put({ ...DEFAULT_LIMITS, unauthenticated: { requests: 2, seconds: 60 } });
    const first = await from('192.0.2.4', '/openapi.json');
    expect(first.headers.get('RateLimit-Policy')).toBe('"unauthenticated";q=2;w=60');
    expect(first.headers.get('RateLimit')).toBe('"unauthenticated";r=1;t=30');
    expect((await from('192.0.2.4', '/openapi.json')).status).toBe(200);
    const refused = await from('192.0.2.4', '/openapi.json');
    expect(refused.headers.get('Retry-After')).toBe('30');
    expect(await expectProblem(refused, 429, 'quota-exceeded')).toMatchObject({
      'violated-policies': ['unauthenticated'],
    });
    expect((await from('192.0.2.5', '/openapi.json')).status).toBe(200);
    for (let n = 0; n < 5; n++) expect((await from('192.0.2.4', '/health')).status).toBe(200);
  });

  it.each(['/v1/contexts', '/v1/contexts?ticket=none', '/v1/contexts/x/events?ticket=none', '/metrics'])(
    'have it as well where one is needed: %s',
    async (path) => {
      await put({ ...DEFAULT_LIMITS, unauthenticated: { requests: 2, seconds: 60 } });
      const address = addressFor(path);
      const first = await from(address, path);
      expect([first.status, first.headers.get('RateLimit')]).toEqual([401, '"unauthenticated";r=1;t=30']);
      expect(first.headers.has('WWW-Authenticate')).toBe(true);
      expect((await from(address, path)).status).toBe(401);
      const refused = await from(address, path);
      expect(refused.headers.get('Retry-After')).toBe('30');
      await expectProblem(refused, 429, 'quota-exceeded');
      expect((await from(address, '/v1/contexts', right)).status).toBe(200);
      expect((await configured({}, path)).status).toBe(401);
    },
  );

  it('have it where a body shows who calls, before that is read', async () => {
    await put({ ...DEFAULT_LIMITS, unauthenticated: { requests: 2, seconds: 60 } });
    const deliver = () =>
      configured(
        { CLIENT_ADDRESS_HEADER: 'X-Test-Address', GITHUB_WEBHOOK_SECRET: 'a secret' },
        '/integrations/github/webhook',
        {
          method: 'POST',
          body: '{}',
          headers: {
            'X-Test-Address': '192.0.2.80',
            Authorization: 'Bearer nothing',
            'Content-Type': 'application/json',
            'X-Hub-Signature-256': `sha256=${'0'.repeat(64)}`,
          },
        },
      );
    expect([(await deliver()).status, (await deliver()).status]).toEqual([401, 401]);
    await expectProblem(await deliver(), 429, 'quota-exceeded');
  });

  it('have it where they open a WebSocket', async () => {
    await put({ ...DEFAULT_LIMITS, unauthenticated: { requests: 2, seconds: 60 } });
    const { id } = await createContext();
    const codes: number[] = [];
    for (let n = 0; n < 3; n++) {
      const { webSocket } = await from('192.0.2.81', `/v1/contexts/${id}/live`, { Upgrade: 'websocket' });
      if (!webSocket) throw new Error('there is no WebSocket');
      codes.push((await new Watcher(webSocket).untilClosed()).code);
    }
    expect(codes).toEqual([4401, 4401, 4429]);
  });
});

describe('quotas', () => {
  const DAY_MS = 86_400_000;
  const noon = Date.UTC(2026, 4, 10, 12);

  it('are never exceeded, however many ask at once', async () => {
    const quotas = { day: 250, month: null };
    const answers = await Promise.all(Array.from({ length: 300 }, () => takeQuota(env, 'act_many', quotas, noon)));
    expect(answers.filter(({ isAllowed }) => isAllowed).length).toBeLessThanOrEqual(250);
    let more = 0;
    while ((await takeQuota(env, 'act_many', quotas, noon)).isAllowed) more += 1;
    expect(answers.filter(({ isAllowed }) => isAllowed).length + more).toBe(250);
  });

  it('begin anew with the UTC day, and the month goes on', async () => {
    const quotas = { day: 3, month: 5 };
    const take = async (now: number) => (await takeQuota(env, 'act_days', quotas, now)).isAllowed;
    expect([await take(noon), await take(noon), await take(noon), await take(noon)]).toEqual([true, true, true, false]);
    const next = noon + DAY_MS;
    expect([await take(next), await take(next), await take(next)]).toEqual([true, true, false]);
    expect(await take(noon + 30 * DAY_MS)).toBe(true);
  });

  it.each([
    ['day', { day: 2, month: 1_000 }, '"day";q=2;w=86400, "month";q=1000;w='],
    ['month', { day: null, month: 2 }, '"month";q=2;w='],
  ] as const)(
    'that are used up answer 429 until the %s ends, and every answer says what is left',
    async (policy, quotas, told) => {
      const { id, key } = await keyHolder();
      await put({ ...DEFAULT_LIMITS, actors: { [id]: { quotas } } });
      const answers = [];
      for (let n = 0; n < 3; n++) answers.push(await as(key, '/v1/actors/me'));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
      for (const [index, answer] of answers.entries()) {
        expect(answer.headers.get('RateLimit-Policy')).toContain(told);
        expect(answer.headers.get('RateLimit')).toMatch(new RegExp(`"${policy}";r=${[1, 0, 0][index]};t=\\d+`));
      }
      const [, , refused] = answers;
      if (!refused) throw new Error('there is no third answer');
      const now = new Date(Date.now());
      const [year, month, date] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
      const endsAt = policy === 'day' ? Date.UTC(year, month, date + 1) : Date.UTC(year, month + 1);
      const waitS = Math.ceil((endsAt - now.getTime()) / 1000);
      expect(refused.headers.get('Retry-After')).toBe(String(waitS));
      expect(await expectProblem(refused, 429, 'quota-exceeded')).toMatchObject({ 'violated-policies': [policy] });
    },
  );
});

describe('the limit of the platform', () => {
  it('is asked for each kind of request of an actor from half of their limit on, and what it refuses is refused', async () => {
    const { id, key } = await keyHolder();
    await put({ ...DEFAULT_LIMITS, classes: { ...DEFAULT_LIMITS.classes, read: { requests: 4, seconds: 60 } } });
    const asked: string[] = [];
    const RATE_LIMIT: RateLimit = {
      limit: async (options) => {
        asked.push(options.key);
        return { success: asked.length < 2 };
      },
    };
    const read = () => configured({ RATE_LIMIT }, '/v1/actors/me', { headers: { Authorization: `Bearer ${key}` } });
    for (let n = 0; n < 3; n++) expect((await read()).status).toBe(200);
    expect(asked).toEqual([`read ${id}`]);
    const refused = await read();
    expect(refused.headers.get('Retry-After')).toBe('1');
    expect(refused.headers.get('RateLimit-Policy')).toBe('"read";q=4;w=60');
    expect(await expectProblem(refused, 429, 'quota-exceeded')).toMatchObject({ 'violated-policies': ['read'] });
  });
});

describe('what searches', () => {
  it.each(['/v1/contexts', '/v1/contexts/search?q=boiler', '/v1/connections', '/v1/actors', '/v1/actors?q=ada'])(
    'counts as a search: %s',
    async (path) => {
      await put(DEFAULT_LIMITS);
      const { key } = await keyHolder();
      const response = await as(key, path);
      expect([response.status, response.headers.get('RateLimit-Policy')]).toEqual([200, '"search";q=600;w=60']);
    },
  );
});

describe('opening a WebSocket', () => {
  async function ownContext(key: string): Promise<string> {
    const response = await as(key, '/v1/contexts', { method: 'POST', json: { name: 'watched' } });
    return (await expectJson<{ id: string }>(response, 201)).id;
  }

  it('counts as a request: above a rate it is closed with 4429, and without an upgrade it is 429', async () => {
    const { key } = await keyHolder();
    const id = await ownContext(key);
    const open = () => watch(id, '?after=0', { Authorization: `Bearer ${key}` });
    await put({ ...DEFAULT_LIMITS, endpoints: { watchContext: { requests: 2, seconds: 60 } } });
    for (let n = 0; n < 2; n++) await (await open()).untilVersion(1);
    const refused = await open();
    expect(await refused.untilClosed()).toMatchObject({ code: 4429, reason: expect.stringContaining('Try again in') });
    expect(refused.frames).toEqual([]);
    const plainly = await as(key, `/v1/contexts/${id}/live`);
    expect(plainly.headers.get('Retry-After')).toBe('30');
    await expectProblem(plainly, 429, 'quota-exceeded');
  });

  it('is not had without a quota, by a ticket no more than by a key', async () => {
    const holder = await keyHolder();
    const id = await ownContext(holder.key);
    const issued = await as(holder.key, `/v1/contexts/${id}/tickets`, { method: 'POST' });
    const { ticket } = await expectJson<{ ticket: string }>(issued, 201);
    await put({ ...DEFAULT_LIMITS, actors: { [holder.id]: { quotas: { day: 0, month: null } } } });
    for (const watcher of [
      await watch(id, '', { Authorization: `Bearer ${holder.key}` }),
      await watch(id, `?ticket=${ticket}`, { Authorization: '' }),
    ]) {
      expect(await watcher.untilClosed()).toMatchObject({ code: 4429, reason: expect.stringContaining('used up') });
    }
  });
});

describe('under pressure', () => {
  it('the heaviest caller has less than their limit, and is told so; others have all of theirs', {
    timeout: 60_000,
  }, async () => {
    vi.restoreAllMocks();
    const [heavy, light] = [await keyHolder(), await keyHolder()];
    await put({
      ...DEFAULT_LIMITS,
      classes: { ...DEFAULT_LIMITS.classes, search: { requests: 100, seconds: 60 } },
      // Whatever takes longer than a millisecond is slow.
      pressure: { slowMs: 1, slowShare: 0, backlog: 1_000_000, floor: 0.05 },
    });
    const refusals: Response[] = [];
    for (let second = 0; second < 10 && refusals.length === 0; second++) {
      const answers = await Promise.all(Array.from({ length: 25 }, () => as(heavy.key, '/v1/contexts')));
      refusals.push(...answers.filter(({ status }) => status === 429));
      expect((await as(light.key, '/v1/contexts')).status).toBe(200);
      await scheduler.wait(1_000);
    }
    const [refused] = refusals;
    if (!refused) throw new Error('nothing was refused');
    expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(0);
    const problem = await expectProblem(refused, 429, 'temporary-reduced-capacity');
    expect(problem).toMatchObject({ 'violated-policies': ['search'] });
    expect(refused.headers.get('RateLimit-Policy')).not.toContain('q=100;');
    expect((await as(light.key, '/v1/contexts')).headers.get('RateLimit-Policy')).toBe('"search";q=100;w=60');
  });
});
