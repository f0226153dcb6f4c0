import { env } from 'cloudflare:workers';
import { derivedId } from '../../events/id.ts';
import { api } from './api.ts';
import { ask, connectContexts } from './connections.ts';
import { configured } from './rest.ts';
import { contextOf, idOf, type Person, person, share } from './sharing.ts';

/** A request that gets the status from the operation. */
type Case = [operationId: string, status: number, send: () => Promise<Response>];

/** A connection that Ann asked for, from her context to Bob's. */
interface Pair {
  readonly ann: Person;
  readonly bob: Person;
  readonly mine: string;
  readonly theirs: string;
  readonly path: string;
}

let people: Promise<readonly [Person, Person]> | null = null;

async function pair(): Promise<Pair> {
  people ??= Promise.all([person('Ann'), person('Bob')]);
  const [ann, bob] = await people;
  const [mine, theirs] = await Promise.all([contextOf(ann), contextOf(bob)]);
  await share(bob, theirs, ann, 'viewer');
  return { ann, bob, mine, theirs, path: await connectContexts(ann, mine, theirs) };
}

const onPair = (send: (pair: Pair) => Promise<Response>) => async () => send(await pair());

const connections = '/v1/connections';
const nobody = `${connections}/${derivedId('con', 'connection cases: nobody')}`;
const noContext = `/v1/contexts/${derivedId('ctx', 'connection cases: nobody')}`;
const wrongKey = { 'X-API-Key': 'wrong' };

/** What every operation on a connection answers alike. */
function common(operationId: string, method: string, rest = ''): Case[] {
  const send = (path: string, headers: Record<string, string> = {}) => api(path, { method, headers });
  return [
    [operationId, 400, onPair(({ path }) => send(`${path}${rest}?x=1`))],
    [operationId, 401, () => send(`${nobody}${rest}`, wrongKey)],
    [operationId, 404, () => send(`${nobody}${rest}`)],
    ...(method === 'GET'
      ? []
      : ([
          [operationId, 412, onPair(({ path }) => send(`${path}${rest}`, { 'If-Match': '"99"' }))],
          [operationId, 422, onPair(({ path }) => reusedKey(path, method, rest))],
        ] satisfies Case[])),
  ];
}

/** The same Idempotency-Key with two requests. */
async function reusedKey(path: string, method: string, rest: string): Promise<Response> {
  const headers = { 'Idempotency-Key': 'connection cases' };
  await api(`${path}/consent`, { method: 'POST' });
  await api(`${path}/heartbeat`, { method: 'POST', json: { status: 'failed', reason: 'x' }, headers });
  return api(`${path}${rest}`, { method, headers });
}

function post(json: object, headers: Record<string, string> = {}): Promise<Response> {
  return api(connections, { method: 'POST', json, headers });
}

/** A request to a Worker whose database is out of order. */
function withoutReadModels(path: string): Promise<Response> {
  const DB = new Proxy(env.DB, {
    get: () => () => {
      throw new Error('D1_ERROR: this database is out of order');
    },
  });
  return configured({ DB }, path, { headers: { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) } });
}

/** The operations by which contexts are connected. */
export const connectionCases: Case[] = [
  ['createConnection', 201, onPair(({ ann, mine, theirs }) => ask(ann, mine, theirs, { type: 'uses' }))],
  ['createConnection', 400, onPair(({ ann, mine }) => ask(ann, mine, mine))],
  ['createConnection', 401, () => post({}, wrongKey)],
  ['createConnection', 403, onPair(({ ann, mine, theirs }) => ask(ann, theirs, mine))],
  ['createConnection', 404, onPair(({ ann, mine }) => ask(ann, mine, noContext))],
  ['createConnection', 409, onPair(({ ann, mine, theirs }) => ask(ann, mine, theirs))],
  ['createConnection', 413, () => post({ from: 'x'.repeat(1024 * 1024) })],
  ['createConnection', 415, () => api(connections, { method: 'POST', body: 'x' })],
  [
    'createConnection',
    422,
    onPair(async ({ ann, mine, theirs }) => {
      const json = { from: idOf(mine), to: idOf(theirs), type: 'uses' };
      const headers = { 'Idempotency-Key': 'connection cases' };
      await ann.post(connections, json, headers);
      return ann.post(connections, { ...json, idleAfterSeconds: 10 }, headers);
    }),
  ],
  ['listConnections', 200, onPair(({ ann, mine }) => ann.call(`${connections}?context=${idOf(mine)}`))],
  ['listConnections', 400, () => api(`${connections}?limit=0`)],
  ['listConnections', 401, () => api(connections, { headers: wrongKey })],
  ['listConnections', 503, () => withoutReadModels(connections)],
  ['readConnection', 200, onPair(({ bob, path }) => bob.call(path))],
  ['readConnection', 200, onPair(({ bob, path }) => bob.call(`${path}?at=1`))],
  ['readConnection', 304, onPair(({ bob, path }) => bob.call(path, { headers: { 'If-None-Match': '*' } }))],
  ...common('readConnection', 'GET'),
  ['readConnectionHistory', 200, onPair(({ bob, path }) => bob.call(`${path}/events`))],
  ['readConnectionHistory', 200, onPair(({ bob, path }) => bob.call(`${path}/events?at=1`))],
  ...common('readConnectionHistory', 'GET', '/events'),
  ['consentToConnection', 200, onPair(({ bob, path }) => bob.post(`${path}/consent`))],
  ['consentToConnection', 403, onPair(({ ann, path }) => ann.post(`${path}/consent`))],
  [
    'consentToConnection',
    409,
    onPair(async ({ ann, bob, path }) => {
      await ann.remove(path);
      return bob.post(`${path}/consent`);
    }),
  ],
  ...common('consentToConnection', 'POST', '/consent'),
  ['declineConnection', 200, onPair(({ bob, path }) => bob.post(`${path}/decline`))],
  ['declineConnection', 403, onPair(({ ann, path }) => ann.post(`${path}/decline`))],
  [
    'declineConnection',
    409,
    onPair(async ({ bob, path }) => {
      await bob.post(`${path}/consent`);
      return bob.post(`${path}/decline`);
    }),
  ],
  ...common('declineConnection', 'POST', '/decline'),
  [
    'sendHeartbeat',
    200,
    onPair(async ({ ann, bob, path }) => {
      await bob.post(`${path}/consent`);
      return ann.post(`${path}/heartbeat`, { status: 'failed', reason: 'no route' });
    }),
  ],
  [
    'sendHeartbeat',
    403,
    onPair(async ({ ann, mine, path }) => {
      const cat = await person('Cat');
      await share(ann, mine, cat, 'viewer');
      return cat.post(`${path}/heartbeat`);
    }),
  ],
  ['sendHeartbeat', 409, onPair(({ ann, path }) => ann.post(`${path}/heartbeat`))],
  ['sendHeartbeat', 413, onPair(({ ann, path }) => ann.post(`${path}/heartbeat`, { reason: 'x'.repeat(1024 * 1024) }))],
  ['sendHeartbeat', 415, onPair(({ path }) => api(`${path}/heartbeat`, { method: 'POST', body: 'x' }))],
  ...common('sendHeartbeat', 'POST', '/heartbeat'),
  ['disconnect', 204, onPair(({ bob, path }) => bob.remove(path))],
  [
    'disconnect',
    403,
    onPair(async ({ ann, mine, path }) => {
      const cat = await person('Cat');
      await share(ann, mine, cat, 'viewer');
      return cat.remove(path);
    }),
  ],
  ...common('disconnect', 'DELETE'),
  [
    'readGraph',
    200,
    onPair(async ({ ann, bob, mine, path }) => {
      await bob.call(`${path}/consent`, { method: 'POST', headers: { Prefer: 'wait=10' } });
      return ann.call(`${mine}/graph?depth=2`);
    }),
  ],
  ['readGraph', 400, onPair(({ ann, mine }) => ann.call(`${mine}/graph?depth=99`))],
  ['readGraph', 401, () => api(`${noContext}/graph`, { headers: wrongKey })],
  ['readGraph', 404, () => api(`${noContext}/graph`)],
  [
    'readGraph',
    410,
    onPair(async ({ ann, mine }) => {
      await ann.remove(mine);
      return ann.call(`${mine}/graph`);
    }),
  ],
  ['readGraph', 503, onPair(({ mine }) => withoutReadModels(`${mine}/graph`))],
];
