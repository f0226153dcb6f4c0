import { createExecutionContext, listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { sha256Hex } from '../../events/hash.ts';
import { handleRequest } from '../../src/http/router.ts';
import { routes } from '../../src/http/routes.ts';
import { api, type ContextJson, createContext } from '../support/api.ts';
import { WEBHOOK } from '../support/github.ts';
import { configured, derivedId, expectProblem, historyText, post } from '../support/rest.ts';

const KEY = String(env.BOOTSTRAP_API_KEY);

/** Every route's method and an address of it. */
const addresses = routes.map((route) => ({
  ...route,
  address: route.path.replace(':id', derivedId('ctx', 'protocol')),
}));

describe('without a valid key', () => {
  // What GitHub signs takes no key: github-webhook.test.ts.
  it.each(addresses.filter((route) => route.access !== 'public' && route.path !== WEBHOOK))(
    '$method $path is 401 and says how to send one',
    async ({ method, address }) => {
      const response = await api(address, { method, headers: { Authorization: 'Bearer wrong' } });
      expect(response.headers.get('WWW-Authenticate')).toBe('Bearer realm="chittyconnect"');
      const { detail } = await expectProblem(response, 401, 'unauthorized');
      expect(detail).toBe(
        'Send one valid API key or token, as "Authorization: Bearer <key or token>" or "X-API-Key: <key>".',
      );
    },
  );

  it.each<[string, Record<string, string>]>([
    ['no credential', {}],
    ['a key with one character more', { Authorization: `Bearer ${KEY}x` }],
    ['a key with one character less', { Authorization: `Bearer ${KEY.slice(0, -1)}` }],
    ['a key in capitals', { Authorization: `Bearer ${KEY.toUpperCase()}` }],
    ['no scheme', { Authorization: KEY }],
    ['another scheme', { Authorization: `Basic ${btoa(`x:${KEY}`)}` }],
    ['a scheme and nothing', { Authorization: 'Bearer' }],
    ['two keys in one header', { Authorization: `Bearer ${KEY}, Bearer ${KEY}` }],
    ['a key in each header', { Authorization: `Bearer ${KEY}`, 'X-API-Key': KEY }],
    ['a bad Authorization beside a good X-API-Key', { Authorization: 'Basic x', 'X-API-Key': KEY }],
    ['the hash of the key', { 'X-API-Key': sha256Hex(KEY) }],
    ['a wrong X-API-Key', { 'X-API-Key': 'wrong' }],
    ['a very long key', { 'X-API-Key': 'k'.repeat(20_000) }],
  ])('%s is 401 and creates nothing', async (_what, headers) => {
    const objects = await listDurableObjectIds(env.CONTEXTS);
    const response = await configured({}, '/v1/contexts', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: '{"name":"x"}',
    });
    await expectProblem(response, 401, 'unauthorized');
    expect(await listDurableObjectIds(env.CONTEXTS)).toHaveLength(objects.length);
  });

  it('a context that exists and one that does not cannot be told apart', async () => {
    const { id } = await createContext();
    const bodies = await Promise.all(
      [id, derivedId('ctx', 'nobody'), 'nonsense'].map(async (each) => {
        const response = await api(`/v1/contexts/${each}`, { headers: { 'X-API-Key': 'wrong' } });
        return (await response.text()).replace(each, '');
      }),
    );
    expect(new Set(bodies).size).toBe(1);
  });

  it.each([
    ['no key is configured', { BOOTSTRAP_API_KEY: '' }],
    ['a hash is configured that is not that of the key', { BOOTSTRAP_API_KEY_SHA256: sha256Hex('another') }],
  ])('nobody comes in when %s', async (_what, variables) => {
    for (const key of ['', KEY, 'undefined']) {
      const response = await configured(variables, '/v1/contexts/x', { headers: { 'X-API-Key': key } });
      await expectProblem(response, 401, 'unauthorized');
    }
  });

  it('the scheme may be written in any case (RFC 9110, section 11.1)', async () => {
    const response = await api(`/v1/contexts/${derivedId('ctx', 'x')}`, {
      headers: { Authorization: `bearer  ${KEY}` },
    });
    expect(response.status).toBe(404);
  });

  it('a key that is known by its hash only is taken', async () => {
    const response = await configured({ BOOTSTRAP_API_KEY_SHA256: sha256Hex('by hash') }, '/v1/contexts/x', {
      headers: { 'X-API-Key': 'by hash' },
    });
    expect(response.status).toBe(404);
  });
});

describe('an address that is not there', () => {
  it.each([
    '/',
    '/v1',
    '/v2/contexts',
    '/V1/contexts',
    '/v1/context',
    '/health/x',
    '/openapi',
    '/v1//contexts',
    '/%',
    '/%00',
  ])('%s is 404', async (path) => {
    const { detail } = await expectProblem(await api(path, { method: 'POST' }), 404, 'not-found');
    expect(detail).toContain('/openapi.json');
  });

  const ids = [
    '..%2f..%2fhealth',
    '..',
    '%2e%2e',
    '%00',
    '%F0%9F%98%80',
    'ctx_',
    'ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
    `x${derivedId('ctx', 'odd')}`,
    `${derivedId('ctx', 'odd')}0`,
    `${derivedId('ctx', 'odd')}%20`,
    derivedId('ctx', 'odd').toLowerCase(),
    derivedId('act', 'odd'),
    `ctx_8${'Z'.repeat(25)}`,
    'ctx_'.repeat(2000),
    "'; DROP TABLE events; --",
    '__proto__',
    'constructor',
  ];

  it.each(ids)('a context id %s is 404 on every route and makes no object', async (id) => {
    const objects = await listDurableObjectIds(env.CONTEXTS);
    const bodies: Record<string, object> = {
      patchContext: { name: 'x' },
      revertContext: { to: 1 },
      patchActor: { name: 'x' },
      issueKey: { name: 'x' },
      sendInvitation: { actor: BOOTSTRAP_ACTOR, role: 'viewer' },
      changeRole: { role: 'viewer' },
      transferOwnership: { to: derivedId('act', 'successor') },
      addNote: { text: 'x' },
      makeProposal: { change: { name: 'x' } },
      commentProposal: { text: 'x' },
      patchRules: { approvalsRequired: 1 },
      setPrivacyRules: { rules: [] },
      setRetention: { days: 30, after: 'deletion' },
      placeHold: { reason: 'a lawsuit' },
      eraseInContext: { subject: 'nobody' },
      patchWebhook: { description: 'x' },
      replayWebhook: { from: '-1' },
    };
    const queries: Record<string, string> = { readProof: '?version=1', readActorProof: '?version=1' };
    for (const { method, path, operation } of routes.filter((route) => route.path.includes(':id'))) {
      // The address of the collection or of the root is another route.
      if (id === '..' || id === '%2e%2e') continue;
      const operationId = operation.operationId ?? '';
      const address = path.replace(':id', id) + (queries[operationId] ?? '');
      const response = await api(address, { method, json: bodies[operationId] });
      await expectProblem(response, 404, 'not-found');
    }
    expect((await api(`/v1/contexts/${id}`)).status).toBeGreaterThanOrEqual(404);
    expect(await listDurableObjectIds(env.CONTEXTS)).toHaveLength(objects.length);
  });
});

describe('a method that an address does not take', () => {
  const paths = [...new Set(routes.map((route) => route.path))];

  it.each(paths)('is 405 with Allow on %s, with and without a key', async (path) => {
    const methods: string[] = routes.filter((route) => route.path === path).map((route) => route.method);
    const allowed = new Set([...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS']);
    const address = path.replace(':id', derivedId('ctx', '405'));
    const refused = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'HEAD'].filter((each) => !allowed.has(each));
    for (const method of refused) {
      const response = await api(address, { method });
      const allow = (response.headers.get('Allow') ?? '').split(', ');
      expect(new Set(allow), method).toEqual(allowed);
      if (method === 'HEAD') expect(response.status).toBe(405);
      else await expectProblem(response, 405, 'method-not-allowed');
      expect((await configured({}, address, { method })).status).toBe(405);
    }
  });

  it.each(paths)('OPTIONS is 204 with Allow on %s, without a key', async (path) => {
    const response = await configured({}, path.replace(':id', 'anything'), { method: 'OPTIONS' });
    expect(response.status).toBe(204);
    expect(response.headers.get('Allow')).toContain('OPTIONS');
    expect(await response.text()).toBe('');
  });
});

describe('a problem', () => {
  it('has the members of RFC 9457 and names the path it is about', async () => {
    const response = await api('/nowhere/at/all?key=secret', { method: 'POST', body: 'secret' });
    expect(await response.json()).toEqual({
      type: 'https://connect.chitty.cc/problems/not-found',
      title: 'Not found',
      status: 404,
      detail: 'There is no such route. /openapi.json lists all there are.',
      instance: '/nowhere/at/all',
    });
    expect(response.headers.get('Cache-Control')).toBe('no-store');
    expect(response.headers.get('X-Content-Type-Options')).toBe('nosniff');
  });

  it('never repeats the key', async () => {
    const responses = [await post('{'), await post('{"owner":"x","name":"x"}'), await api('/v1/contexts/x?a=1')];
    for (const response of responses) expect(await response.text()).not.toContain(KEY);
  });

  it('of our own making is a 500 that gives the request id and no stack', async () => {
    const broken: typeof env.CONTEXTS = Object.create(env.CONTEXTS, {
      idFromName: {
        value: () => {
          throw new Error('a secret of the inside');
        },
      },
    });
    const response = await configured({ CONTEXTS: broken }, `/v1/contexts/${derivedId('ctx', 'broken')}`, {
      headers: { 'X-API-Key': KEY, 'X-Request-Id': 'find-me' },
    });
    const body = await expectProblem(response, 500, 'internal');
    expect(body.detail).toContain('find-me');
    expect(JSON.stringify(body)).not.toContain('secret');
  });

  it('of an object that is too busy is 503 and says when to try again', async () => {
    const busy: typeof env.CONTEXTS = Object.create(env.CONTEXTS, {
      idFromName: {
        value: () => {
          throw Object.assign(new Error('Durable Object is overloaded.'), { overloaded: true });
        },
      },
    });
    const response = await configured({ CONTEXTS: busy }, `/v1/contexts/${derivedId('ctx', 'busy')}`, {
      headers: { 'X-API-Key': KEY },
    });
    expect(response.headers.get('Retry-After')).toBe('1');
    await expectProblem(response, 503, 'overloaded');
  });
});

describe('small print', () => {
  it('/health is 200 without a key', async () => {
    const response = await configured({}, '/health');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'ok' });
  });

  it('a slash at the end of an address makes no difference', async () => {
    const { id }: ContextJson = await createContext();
    expect(await (await api(`/v1/contexts/${id}/`)).json()).toMatchObject({ id });
    expect((await api('/v1/contexts/', { method: 'POST', json: { name: 'x' } })).status).toBe(201);
  });

  // The real runtime answers 500 when a handshake comes with another method than GET.
  it('HEAD with a WebSocket handshake opens none', async () => {
    const { id } = await createContext();
    // Not through SELF, which makes a GET of it.
    const headers = { Upgrade: 'websocket', Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}` };
    const request = new Request(`https://connect.test/v1/contexts/${id}/live`, { method: 'HEAD', headers });
    expect((await handleRequest(request, env, createExecutionContext())).status).toBe(426);
  });

  // The engine lets a Host such as x:99999 or [ through, of which no URL can be made.
  it('a request whose address is no URL is 400, not an exception', async () => {
    const request = new Proxy(new Request('https://connect.test/health'), {
      get(target, key) {
        if (key === 'url') return 'http://connect.test:99999/health';
        return Reflect.get(target, key, target);
      },
    });
    const response = await handleRequest(request, env, createExecutionContext());
    expect(response.status).toBe(400);
  });

  // A caller that goes away in the middle of its body is no fault of the server's.
  it('a body that breaks off is 400, and no error in our log', async () => {
    const broken = new ReadableStream({
      pull(controller) {
        controller.error(new Error('the connection is gone'));
      },
    });
    const response = await configured({}, '/v1/contexts', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-API-Key': KEY },
      body: broken,
    });
    await expectProblem(response, 400, 'malformed-body');
  });

  it('reading writes nothing', async () => {
    const { id } = await createContext();
    const before = await historyText(id);
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT']) await api(`/v1/contexts/${id}`, { method });
    expect(await historyText(id)).toBe(before);
  });
});
