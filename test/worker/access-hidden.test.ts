import { SELF } from 'cloudflare:test';
import { beforeAll, describe, expect, it } from 'vitest';
import { derivedId } from '../../events/id.ts';
import { routes } from '../../src/http/routes.ts';
import { type Kind, readingCredentialsOf, STANDINGS } from '../support/access/credentials.ts';
import { rows } from '../support/access/rows.ts';
import { liftLimits, makeWorld, type World } from '../support/access/world.ts';
import { api, BASE } from '../support/api.ts';

let world: World;

beforeAll(async () => {
  await liftLimits();
  world = await makeWorld();
}, 120_000);

const STRANGERS: readonly (readonly [standing: 'stranger' | 'owner' | 'administrator', kind: Kind])[] = [
  ['stranger', 'a key with all scopes'],
  ['stranger', 'a session'],
  ['owner', 'a delegated token for another context'],
  ['administrator', 'a delegated token at depth 3 for another context'],
];

/** Headers by which somebody could try to find out more. */
const PROBES: readonly Readonly<Record<string, string>>[] = [
  {},
  { 'If-Match': '"1"' },
  { 'If-Match': '"999999"' },
  { 'If-None-Match': '"1"' },
  { 'Idempotency-Key': 'probe' },
  { Prefer: 'wait=1' },
  { Accept: 'application/x-ndjson' },
  { Accept: 'text/event-stream', 'Last-Event-ID': '0000000000000001_5f0c1a9e' },
  { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', Origin: 'https://elsewhere.example' },
];

const HIDDEN = ['context', 'connection'] as const;
const about = routes.filter(({ path }) => HIDDEN.some((thing) => path.startsWith(`/v1/${thing}s/:id`)));

/** All of an answer that its caller gets to see, without what names the thing and the request. */
async function seen(response: Response, id: string): Promise<unknown> {
  const headers = Object.fromEntries([...response.headers].filter(([name]) => name !== 'traceparent'));
  // How many requests remain is one less when the one before came in the same millisecond.
  if (headers.ratelimit) headers.ratelimit = headers.ratelimit.replaceAll(/;r=\d+/g, ';r=N');
  if (response.webSocket) {
    const socket = response.webSocket;
    const ended = await new Promise<CloseEvent>((resolve, reject) => {
      socket.addEventListener('close', resolve);
      socket.addEventListener('message', () => reject(new Error('it opened')));
      socket.accept();
    });
    return { status: 101, headers, code: ended.code, reason: ended.reason };
  }
  return { status: response.status, headers, body: (await response.text()).replaceAll(id, 'ID') };
}

describe('what somebody must not know of answers byte for byte like what does not exist', () => {
  it.for(about.map((route) => [`${route.method} ${route.path}`, route] as const))('%s', async ([_name, route]) => {
    const row = rows[route.operation.operationId ?? ''];
    const thing = route.path.startsWith('/v1/contexts') ? 'ctx' : 'con';
    const missing = derivedId(thing, 'access hidden: nobody');
    for (const [standing, kind] of STRANGERS) {
      const { headers: credential, principal } = await world.person(standing).present(kind, null);
      const cell = { route, standing, kind, principal };
      const request = (await row?.request?.(world, cell, false)) ?? {};
      const answerTo = async (id: string, method: string, probe: Readonly<Record<string, string>>) => {
        const path = route.path.replaceAll(/:(\w+)/g, (_, name: string) =>
          name === 'id' ? id : (request.path?.[name] ?? ''),
        );
        const response = await SELF.fetch(BASE + path + (request.query ?? ''), {
          method,
          headers: {
            'X-Request-Id': 'probe',
            ...(request.json && { 'Content-Type': 'application/json' }),
            ...(request.headers?.Upgrade && { Upgrade: 'websocket' }),
            ...credential,
            ...probe,
          },
          ...(request.json && { body: JSON.stringify(request.json) }),
        });
        return seen(response, id);
      };
      const hidden = thing === 'ctx' ? world.context : world.connection;
      const methods = route.method === 'GET' ? ['GET', 'HEAD', 'OPTIONS'] : [route.method];
      for (const method of methods) {
        for (const probe of PROBES) {
          const what = `${standing}, ${kind}, ${method} with ${JSON.stringify(probe)}`;
          const there = await answerTo(hidden, method, probe);
          expect([what, there]).toEqual([what, await answerTo(missing, method, probe)]);
        }
      }
    }
  });
});

interface Listed {
  readonly items: readonly { id: string }[];
  readonly nextCursor: string | null;
}

/** Every id on every page of a list. */
async function listed(path: string, credential: HeadersInit): Promise<string[]> {
  const ids: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const more: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const response = await SELF.fetch(`${BASE}${path}limit=2${more}`, { headers: credential });
    expect(response.status, path).toBe(200);
    const page: Listed = await response.json();
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor;
  }
  return ids;
}

async function isReadable(path: string, credential: HeadersInit): Promise<boolean> {
  const response = await SELF.fetch(BASE + path, { headers: credential });
  await response.body?.cancel();
  return response.status === 200;
}

describe('lists have what may be read, and nothing else', () => {
  beforeAll(async () => {
    // Until everything that was made is in the read models.
    for (const id of [world.context, world.neighbour]) {
      const change = { method: 'PATCH', json: { description: 'listed' }, headers: { Prefer: 'wait=10' } };
      const response = await api(`/v1/contexts/${id}`, change);
      expect(response.headers.get('Preference-Applied')).toBe('wait=10');
    }
  });

  it.for(STANDINGS)('for %s', async (standing) => {
    for (const kind of readingCredentialsOf(standing)) {
      const { headers } = await world.person(standing).present(kind, null);
      const contexts = [world.context, world.neighbour];
      const readable: string[] = [];
      for (const id of contexts) if (await isReadable(`/v1/contexts/${id}`, headers)) readable.push(id);
      const ours = (ids: string[]) => ids.filter((id) => contexts.includes(id)).sort();
      readable.sort();
      const what = (list: string) => `${list} with ${kind}`;

      expect([what('list'), ours(await listed('/v1/contexts?', headers))]).toEqual([what('list'), readable]);
      const search = await listed('/v1/contexts/search?q=shared&', headers);
      expect([what('search'), ours(search)]).toEqual([what('search'), readable]);
      const owner = await listed(`/v1/contexts?owner=${world.person('owner').id}&`, headers);
      expect([what('by owner'), ours(owner)]).toEqual([what('by owner'), readable]);

      const isConnectionReadable = await isReadable(`/v1/connections/${world.connection}`, headers);
      const connections = await listed('/v1/connections?', headers);
      expect([what('connections'), connections.includes(world.connection)]).toEqual([
        what('connections'),
        isConnectionReadable,
      ]);
      if (!readable.includes(world.context)) continue;
      const graph = await SELF.fetch(`${BASE}/v1/contexts/${world.context}/graph?depth=4`, { headers });
      const { nodes }: { nodes: { id: string }[] } = await graph.json();
      expect([what('graph'), nodes.map(({ id }) => id).sort()]).toEqual([what('graph'), readable]);
    }
  });

  it('an invitation is listed by who is invited, and by nobody else', async () => {
    for (const standing of STANDINGS) {
      const { headers } = await world.person(standing).present('a key with all scopes', null);
      const response = await SELF.fetch(`${BASE}/v1/invitations`, { headers });
      const { items }: { items: { context: { id: string } }[] } = await response.json();
      const isListed = items.some(({ context }) => context.id === world.context);
      expect([standing, isListed]).toEqual([standing, standing === 'invited']);
    }
    const elsewhere = await world.person('invited').present('a delegated token for another context', null);
    const response = await SELF.fetch(`${BASE}/v1/invitations`, { headers: elsewhere.headers });
    expect(await response.json()).toMatchObject({ items: [] });
  });

  it('the cursor of one is no key for another', async () => {
    const owner = await world.person('owner').present('a key with all scopes', null);
    const stranger = await world.person('stranger').present('a key with all scopes', null);
    const page: Listed = await (await SELF.fetch(`${BASE}/v1/contexts?limit=1`, owner)).json();
    expect(page.nextCursor).not.toBeNull();
    const path = `${BASE}/v1/contexts?limit=1&cursor=${encodeURIComponent(page.nextCursor ?? '')}`;
    expect((await SELF.fetch(path, owner)).status).toBe(200);
    expect((await SELF.fetch(path, stranger)).status).toBe(400);
  });
});
