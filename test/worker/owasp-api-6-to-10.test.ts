import { SELF } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { call } from '../../src/chittyos/call.ts';
import { routes } from '../../src/http/routes.ts';
import { as, expectJson, keyHolder, plain, registerActor } from '../support/actors.ts';
import { api, BASE, createContext } from '../support/api.ts';
import { delegate } from '../support/delegations.ts';
import { configured, expectProblem, history, withNothingWritten } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';
import { connection, failureOf, network, TOKEN, text } from './chittyos-network.ts';

/** The OWASP API Security Top 10 (2023), the last five. */

let ann: Person;
let bob: Person;
let eve: Person;
/** Ann's, shared with Bob, an editor. */
let context: string;

beforeAll(async () => {
  [ann, bob, eve] = [await person('Ann'), await person('Bob'), await person('Eve')];
  context = await contextOf(ann);
  await share(ann, context, bob);
});

afterEach(() => {
  vi.restoreAllMocks();
});

interface ProposalJson {
  readonly id: string;
  readonly status: string;
  readonly approvals: readonly object[];
}

/** Two approvals are needed. @returns the path of a proposal of Bob's */
async function guarded(): Promise<string> {
  await expectJson(await ann.patch(`${context}/rules`, { approvalsRequired: 2 }), 200);
  const sent = await bob.post(`${context}/proposals`, { change: { name: `Changed ${Math.random()}` } });
  return `${context}/proposals/${(await expectJson<ProposalJson>(sent, 201)).id}`;
}

const APPROVING = ['contexts:read', 'contexts:write'];

describe('API6:2023 Unrestricted Access to Sensitive Business Flows', () => {
  it('nobody approves twice, neither again, nor at once, nor by an agent', async () => {
    const proposal = await guarded();
    const { token } = await delegate(ann.key, (await keyHolder({ kind: 'agent', name: 'Scout' })).id, APPROVING);
    await Promise.all([1, 2, 3].map(() => ann.post(`${proposal}/approve`)));
    await as(token, `${proposal}/approve`, { method: 'POST' });
    const { status, approvals } = await expectJson<ProposalJson>(await ann.call(proposal), 200);
    expect([status, approvals.length]).toEqual(['open', 1]);
  });

  it('nobody approves what they have proposed, nor does their agent, nor one agent for two', async () => {
    const proposal = await guarded();
    const scout = await keyHolder({ kind: 'agent', name: 'Scout' });
    const ofBob = await delegate(bob.key, scout.id, APPROVING);
    await expectProblem(await bob.post(`${proposal}/approve`), 403, 'forbidden');
    await expectProblem(await as(ofBob.token, `${proposal}/approve`, { method: 'POST' }), 403, 'forbidden');

    const json = { change: { name: 'By the agent' } };
    const made = await as(ofBob.token, `${context}/proposals`, { method: 'POST', json });
    const { id } = await expectJson<ProposalJson>(made, 201);
    const ofAnn = await delegate(ann.key, scout.id, APPROVING);
    const both = await as(ofAnn.token, `${context}/proposals/${id}/approve`, { method: 'POST' });
    await expectProblem(both, 403, 'forbidden');
  });

  it('where changes go by proposals, there is no way around them', async () => {
    await expectJson(await ann.patch(`${context}/rules`, { approvalsRequired: 2, proposalsOnly: true }), 200);
    try {
      await withNothingWritten(idOf(context), async () => {
        await expectProblem(await bob.patch(context, { name: 'Around' }), 409, 'proposals-only');
        await expectProblem(await bob.post(`${context}/revert`, { to: 1 }), 409, 'proposals-only');
        await expectProblem(await bob.patch(`${context}/rules`, { proposalsOnly: false }), 403, 'forbidden');
      });
    } finally {
      await ann.patch(`${context}/rules`, { approvalsRequired: 1, proposalsOnly: false });
    }
  });

  it('nobody is flooded: one invitation for each, and a hundred open ones at most', { timeout: 60_000 }, async () => {
    const busy = await contextOf(ann);
    const guest = await registerActor();
    const twice = () => ann.post(`${busy}/invitations`, { actor: guest.id, role: 'viewer' });
    expect((await Promise.all([twice(), twice()])).map(({ status }) => status).sort()).toEqual([201, 409]);
    const guests = await Promise.all(Array.from({ length: 100 }, () => registerActor()));
    const statuses: number[] = [];
    for (const { id } of guests) {
      statuses.push((await ann.post(`${busy}/invitations`, { actor: id, role: 'viewer' })).status);
    }
    expect([statuses.slice(0, 99).every((status) => status === 201), statuses.at(-1)]).toEqual([true, 409]);
  });

  it('actors are made by administrators only', async () => {
    const json = { kind: 'agent', name: 'Mine' };
    await expectProblem(await eve.post('/v1/actors', json), 403, 'insufficient-scope');
  });
});

/** Addresses that somebody might have the service call. */
const ADDRESSES = [
  'http://169.254.169.254/latest/meta-data/',
  'http://127.0.0.1:8787/v1/admin/limits',
  'http://[::1]/',
  'file:///etc/passwd',
  'gopher://evil.example/',
];

describe('API7:2023 Server Side Request Forgery', () => {
  it('no address in what callers write is ever called', async () => {
    const outgoing = vi.spyOn(globalThis, 'fetch');
    for (const address of ADDRESSES) {
      const fields = {
        name: address,
        description: address,
        systems: [address],
        tools: [address],
        metadata: { address },
      };
      const path = await contextOf(ann, fields);
      await ann.post(`${path}/notes`, { text: address });
      await ann.post(`${path}/proposals`, { change: { description: `see ${address}` }, message: address });
      expect((await ann.call(`/v1/contexts/search?q=${encodeURIComponent(address)}`)).status).toBe(200);
    }
    expect(outgoing).not.toHaveBeenCalled();
  });

  it.each([
    '/embedded/http://169.254.169.254/latest',
    '/embedded//169.254.169.254/latest',
    '/embedded/@evil.example/',
    '/embedded/..%2f..%2fevil.example',
    '/embedded/%2f%2fevil.example/x',
    '/embedded/dna/..%5c..%5cevil.example',
  ])('the way to the embedded services leads to them only: %s', async (path) => {
    const called: string[] = [];
    const CHITTYOS = {
      fetch: async (input: RequestInfo | URL) => {
        called.push(new URL(input instanceof Request ? input.url : input).origin);
        return new Response('there');
      },
    };
    const headers = { Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}` };
    const outgoing = vi.spyOn(globalThis, 'fetch');
    const variables: object = { CHITTYOS, CHITTYOS_TOKEN: 'the token' };
    expect((await configured(variables, path, { headers })).status).toBe(200);
    expect(called).toEqual(['http://127.0.0.1']);
    expect(outgoing).not.toHaveBeenCalled();
  });

  it('a service of ChittyOS sends its token to no other host', async () => {
    const redirect = () => new Response(null, { status: 307, headers: { Location: 'https://evil.example/v1/things' } });
    const { send, received } = network(redirect);
    const operation = { name: 'create', method: 'POST', answer: z.looseObject({}) } as const;
    const failure = failureOf(await call(connection(send), operation, { path: ['v1', 'things'], body: {} }));
    expect(failure.kind).not.toBe('network');
    expect(received.map(({ url }) => new URL(url).host)).toEqual(['id.chitty.test']);
  });
});

describe('API8:2023 Security Misconfiguration', () => {
  const everywhere: readonly [string, () => Promise<Response>][] = [
    ['an answer', () => ann.call(context)],
    ['a list', () => ann.call('/v1/contexts')],
    ['a 401', () => plain(context)],
    ['a 404', () => eve.call(context)],
    ['no route', () => plain('/nowhere')],
    ['a wrong method', () => api('/health', { method: 'POST' })],
    ['a wrong body', () => ann.post('/v1/contexts', { nothing: 1 })],
    [
      'a token’s state',
      () => as(ann.key, '/oauth/revoke', { method: 'POST', body: new URLSearchParams({ token: 'x' }) }),
    ],
    ['the history', () => ann.call(`${context}/events`)],
  ];

  it.each(everywhere)('%s is kept by no cache, is taken for what it is, and names no software', async (_what, send) => {
    const { headers } = await send();
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff');
    expect(headers.get('Cache-Control')).toMatch(/no-store|private/);
    for (const name of ['Server', 'X-Powered-By', 'Via', 'X-AspNet-Version']) expect(headers.has(name)).toBe(false);
    expect([...headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);
  });

  it('scripts of other origins get nothing, and never with cookies, whatever is configured', async () => {
    for (const CORS_ORIGINS of ['', 'https://app.example', '*']) {
      const headers = { Origin: 'https://evil.example', Cookie: '__Host-chitty_session=x' };
      const answer = await configured({ CORS_ORIGINS }, context, { headers });
      expect(answer.headers.has('Access-Control-Allow-Credentials')).toBe(false);
      if (CORS_ORIGINS !== '*') expect(answer.headers.has('Access-Control-Allow-Origin')).toBe(false);
    }
  });

  it.each<[string, () => Promise<Response>]>([
    ['a body that is no JSON', () => ann.call('/v1/contexts', { method: 'POST', body: '{"a":', headers: JSON_TYPE })],
    ['a body with a control character', () => ann.post('/v1/contexts', { name: 'x\u0000' })],
    ['a quote for a database', () => ann.call(`/v1/contexts?owner=${encodeURIComponent("' OR 1=1 --")}`)],
    ['an operator for the search', () => ann.call(`/v1/contexts/search?q=${encodeURIComponent('" OR name:*')}`)],
    ['a cursor that is none', () => ann.call('/v1/contexts?cursor=eyJhIjoxfQ')],
    ['a percent that escapes nothing', () => ann.call('/v1/contexts/%E0%A4%A')],
  ])('%s tells nothing of what is inside', async (_what, send) => {
    const response = await send();
    expect(response.status).toBeLessThan(500);
    expect(await response.text()).not.toMatch(/SQLITE|D1_ERROR|\bat \w+ \(|\.ts\b|node_modules|durable/i);
  });

  it('a filter with a quote in it finds what has it, and nothing else', async () => {
    const all = await ann.call(`/v1/contexts?owner=${encodeURIComponent("' OR 1=1 --")}`);
    expect(await all.json()).toMatchObject({ items: [] });
  });

  it('what fails inside is 500 with the id of the request and nothing else', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const broken: object = {
      CONTEXTS: {
        idFromName: () => {
          throw new Error('SQLITE_CORRUPT in /var/data');
        },
      },
    };
    const headers = { Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}`, 'X-Request-Id': 'the-request' };
    const { detail } = await expectProblem(await configured(broken, context, { headers }), 500, 'internal');
    expect(detail).toContain('the-request');
    expect(detail).not.toMatch(/SQLITE|var/);
  });
});

const JSON_TYPE = { 'Content-Type': 'application/json' };

const documentSchema = z.looseObject({
  paths: z.record(z.string(), z.record(z.string(), z.unknown())),
});

describe('API9:2023 Improper Inventory Management', () => {
  const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

  async function documented(): Promise<string[]> {
    const { paths } = documentSchema.parse(await (await plain('/openapi.json')).json());
    return Object.entries(paths).flatMap(([path, item]) =>
      Object.keys(item)
        .filter((method) => METHODS.includes(method))
        .map((method) => `${method.toUpperCase()} ${path}`),
    );
  }

  it('the document that is served has every route, and no other', async () => {
    const table = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)\+?/g, '{$1}')}`);
    expect((await documented()).sort()).toEqual(table.sort());
  });

  it('every address takes the methods that are documented, and no other', async () => {
    const paths = new Map<string, string[]>();
    for (const line of await documented()) {
      const [method = '', path = ''] = line.split(' ');
      paths.set(path, [...(paths.get(path) ?? []), method]);
    }
    for (const [template, methods] of paths) {
      const path = template.replaceAll(/\{\w+\}/g, 'x');
      // Where one word is taken for an id, the other path answers.
      if (path !== template && paths.has(path)) continue;
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND']) {
        const { status } = await SELF.fetch(BASE + path, { method });
        expect([method, path, status === 405]).toEqual([method, path, !methods.includes(method)]);
      }
    }
  });

  it.each([
    '/',
    '/v2/contexts',
    '/v1',
    '/v1/debug',
    '/admin',
    '/console',
    '/graphql',
    '/.env',
    '/.git/config',
    '/cdn-cgi/mf/scheduled',
    '/swagger.json',
    '/v1/contexts/x/members',
    '/actuator/health',
  ])('there is nothing at %s', async (path) => {
    expect((await api(path)).status).toBe(404);
  });
});

describe('API10:2023 Unsafe Consumption of APIs', () => {
  it('a webhook that GitHub did not sign changes nothing, though it is well formed', async () => {
    const body = JSON.stringify({ action: 'created', installation: { id: 1, account: { login: 'evil' } } });
    for (const signature of [undefined, 'sha256=', `sha256=${'0'.repeat(64)}`, `sha1=${'0'.repeat(40)}`]) {
      const headers = {
        ...JSON_TYPE,
        'X-GitHub-Event': 'installation',
        'X-GitHub-Delivery': 'one',
        ...(signature !== undefined && { 'X-Hub-Signature-256': signature }),
      };
      const sent = await plain('/integrations/github/webhook', { method: 'POST', body, headers });
      await expectProblem(sent, 401, 'unauthorized');
    }
    expect(await (await api('/v1/installations')).json()).toMatchObject({ items: [] });
  });

  it.each([
    ['too much', () => text(`{"id":"${'x'.repeat(2_000_000)}"}`, 'application/json')],
    ['something else', () => text('{"id":{"$ne":null}}', 'application/json')],
    ['a page', () => text('<script>alert(1)</script>', 'text/html')],
    ['its own token back, in an error', () => text(`{"error":"bad token ${TOKEN}"}`, 'application/json')],
  ])('a service that answers %s is not believed, and its answer is not repeated', async (_what, reply) => {
    const operation = { name: 'create', method: 'POST', answer: z.looseObject({ id: z.string() }) } as const;
    const { send } = network(reply());
    const failure = failureOf(await call(connection(send), operation, { path: ['v1', 'things'], body: {} }));
    expect(failure.kind).toBe('wrong-answer');
    expect(failure.detail).not.toContain(TOKEN);
    expect(failure.detail.length).toBeLessThanOrEqual(300);
  });

  it('what others have written is data when it comes back: it makes no header and no second event', async () => {
    const name = 'x\r\nSet-Cookie: a=b\n\ndata: {"type":"forged"}';
    const { id } = await createContext({ name: 'x', description: name, metadata: { text: name } });
    const stream = await api(`/v1/contexts/${id}/events`, { headers: { Accept: 'text/event-stream' } });
    expect(stream.headers.has('Set-Cookie')).toBe(false);
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    let sent = '';
    while (!sent.includes('event: context_created')) sent += (await reader?.read())?.value ?? '';
    await reader?.cancel();
    expect(sent.split('\n').filter((line) => line.startsWith('data: {"type":"forged"'))).toEqual([]);
    const lines = await api(`/v1/contexts/${id}/events`, { headers: { Accept: 'application/x-ndjson' } });
    const rows = new TextDecoder()
      .decode(await lines.arrayBuffer())
      .trimEnd()
      .split('\n');
    expect(rows).toHaveLength((await history(id)).length);
  });
});
