import { env } from 'cloudflare:workers';
import { vi } from 'vitest';
import { derivedId } from '../../events/id.ts';
import { webhookRegistry } from '../../src/webhooks/registry.ts';
import { expectJson } from './actors.ts';
import { api } from './api.ts';
import { delegate } from './delegations.ts';
import { configured, feedOffset } from './rest.ts';
import { type Person, person } from './sharing.ts';
import { receiver, standInForNetwork, webhookOf } from './webhooks.ts';

/** A request that gets the status from the operation. */
type Case = [operationId: string, status: number, send: () => Promise<Response>];

const webhooks = '/v1/webhooks';
const nobody = `${webhooks}/${derivedId('whk', 'webhook cases: nobody')}`;
const wrongKey = { 'X-API-Key': 'wrong' };
const url = 'https://hooks.example.com/cases';

const make = (by: Person, json: object = { url }) => by.post(webhooks, json);

/** Somebody with a webhook. */
const onOne = (send: (owner: Person, path: string) => Promise<Response>) => async () => {
  const owner = await person('Ann');
  const { id } = await expectJson<{ id: string }>(await make(owner), 201);
  return send(owner, `${webhooks}/${id}`);
};

/** What every operation on a webhook answers alike. */
function common(operationId: string, method: string, rest = '', json?: object): Case[] {
  const send = (path: string, headers: Record<string, string> = {}) =>
    api(path, { method, headers, ...(json && { json }) });
  return [
    [operationId, 400, onOne((owner, path) => owner.call(`${path}${rest}?x=1`, { method, ...(json && { json }) }))],
    [operationId, 401, () => send(`${nobody}${rest}`, wrongKey)],
    [operationId, 403, () => withoutScope(`${nobody}${rest}`, method, json)],
    [operationId, 404, () => send(`${nobody}${rest}`)],
    ...(method === 'GET'
      ? []
      : ([
          [
            operationId,
            412,
            onOne((owner, path) =>
              owner.call(`${path}${rest}`, { method, headers: { 'If-Match': '"99"' }, ...(json && { json }) }),
            ),
          ],
        ] satisfies Case[])),
  ];
}

/** The same Idempotency-Key with two requests. */
const reusedKey = (method: string, rest: string, json?: object) =>
  onOne(async (owner, path) => {
    const headers = { 'Idempotency-Key': 'webhook cases' };
    await owner.call(path, { method: 'PATCH', json: { description: 'first' }, headers });
    return owner.call(`${path}${rest}`, { method, headers, ...(json && { json }) });
  });

/** What operations that take a body answer to one that they do not take. */
function bodies(operationId: string, method: string, rest: string): Case[] {
  const tooLarge = { description: 'x'.repeat(1024 * 1024) };
  return [
    [operationId, 413, () => api(`${nobody}${rest}`, { method, json: tooLarge })],
    [operationId, 415, () => api(`${nobody}${rest}`, { method, body: 'x' })],
  ];
}

async function withoutScope(path: string, method: string, json?: object): Promise<Response> {
  const { call } = await person('Ann', { scopes: ['contexts:read'] });
  return call(path, { method, ...(json && { json }) });
}

function withoutReadModels(path: string, init: RequestInit = {}): Promise<Response> {
  const DB = new Proxy(env.DB, {
    get: () => () => {
      throw new Error('D1_ERROR: this database is out of order');
    },
  });
  const headers = { 'X-API-Key': String(env.BOOTSTRAP_API_KEY), 'Content-Type': 'application/json' };
  return configured({ DB }, path, { ...init, headers });
}

function withoutKeys(owner: Person, path: string, json?: object): Promise<Response> {
  const headers = { 'X-API-Key': owner.key, ...(json && { 'Content-Type': 'application/json' }) };
  return configured({ KEY_ENCRYPTION_KEY: '' }, path, {
    method: 'POST',
    headers,
    ...(json && { body: JSON.stringify(json) }),
  });
}

async function pinged(): Promise<Response> {
  standInForNetwork();
  const owner = await person('Ann');
  const { path } = await webhookOf(owner, receiver());
  const response = await owner.post(`${path}/test`);
  vi.restoreAllMocks();
  return response;
}

/** The operations about webhooks. */
export const webhookCases: Case[] = [
  ['createWebhook', 201, async () => make(await person('Ann'), { url, types: ['context_created'] })],
  ['createWebhook', 400, async () => make(await person('Ann'), { url: 'https://10.0.0.1/' })],
  ['createWebhook', 401, () => api(webhooks, { method: 'POST', json: { url }, headers: wrongKey })],
  [
    'createWebhook',
    403,
    async () => {
      const [ann, bob] = await Promise.all([person('Ann'), person('Bob')]);
      const { token } = await delegate(ann.key, bob.id, ['webhooks:write', 'contexts:read']);
      return api(webhooks, { method: 'POST', json: { url }, headers: { Authorization: `Bearer ${token}` } });
    },
  ],
  [
    'createWebhook',
    409,
    async () => {
      const owner = await person('Ann');
      for (let made = 0; made < 50; made++) {
        await webhookRegistry(env).reserve({ id: `${owner.id} ${made}`, owner: owner.id }, 50);
      }
      return make(owner);
    },
  ],
  ['createWebhook', 413, () => api(webhooks, { method: 'POST', json: { url: 'x'.repeat(1024 * 1024) } })],
  ['createWebhook', 415, () => api(webhooks, { method: 'POST', body: 'x' })],
  ['createWebhook', 503, async () => withoutKeys(await person('Ann'), webhooks, { url })],
  ['listWebhooks', 200, onOne((owner) => owner.call(`${webhooks}?status=active`))],
  ['listWebhooks', 400, () => api(`${webhooks}?limit=0`)],
  ['listWebhooks', 401, () => api(webhooks, { headers: wrongKey })],
  ['listWebhooks', 403, () => withoutScope(webhooks, 'GET')],
  ['listWebhooks', 503, () => withoutReadModels(webhooks)],
  ['readWebhook', 200, onOne((owner, path) => owner.call(path))],
  ...common('readWebhook', 'GET'),
  ['patchWebhook', 200, onOne((owner, path) => owner.patch(path, { description: 'y', types: null }))],
  ...common('patchWebhook', 'PATCH', '', { description: 'z' }),
  ...bodies('patchWebhook', 'PATCH', ''),
  ['patchWebhook', 422, reusedKey('PATCH', '', { description: 'second' })],
  ['deleteWebhook', 204, onOne((owner, path) => owner.remove(path))],
  ...common('deleteWebhook', 'DELETE'),
  ['deleteWebhook', 422, reusedKey('DELETE', '')],
  ['rotateWebhookSecret', 201, onOne((owner, path) => owner.post(`${path}/secrets`))],
  ...common('rotateWebhookSecret', 'POST', '/secrets'),
  [
    'rotateWebhookSecret',
    409,
    onOne(async (owner, path) => {
      for (let made = 1; made < 3; made++) await owner.post(`${path}/secrets`);
      return owner.post(`${path}/secrets`);
    }),
  ],
  ...bodies('rotateWebhookSecret', 'POST', '/secrets'),
  ['rotateWebhookSecret', 503, onOne((owner, path) => withoutKeys(owner, `${path}/secrets`))],
  ['listDeliveries', 200, onOne((owner, path) => owner.call(`${path}/deliveries`))],
  ...common('listDeliveries', 'GET', '/deliveries'),
  ['testWebhook', 200, () => pinged()],
  ...common('testWebhook', 'POST', '/test'),
  ['enableWebhook', 200, onOne((owner, path) => owner.post(`${path}/enable`, { from: 'now' }))],
  ...common('enableWebhook', 'POST', '/enable'),
  ...bodies('enableWebhook', 'POST', '/enable'),
  ['enableWebhook', 422, reusedKey('POST', '/enable', {})],
  ['disableWebhook', 200, onOne((owner, path) => owner.post(`${path}/disable`))],
  ...common('disableWebhook', 'POST', '/disable'),
  ['disableWebhook', 422, reusedKey('POST', '/disable')],
  ['replayWebhook', 202, onOne((owner, path) => owner.post(`${path}/replay`, { from: '2026-01-01T00:00:00Z' }))],
  [
    'replayWebhook',
    400,
    onOne(async (owner, path) => owner.post(`${path}/replay`, { from: await feedOffset(9_000_000_000) })),
  ],
  ...common('replayWebhook', 'POST', '/replay', { from: '-1' }),
  [
    'replayWebhook',
    409,
    onOne(async (owner, path) => {
      await owner.post(`${path}/disable`);
      return owner.post(`${path}/replay`, { from: '-1' });
    }),
  ],
  ...bodies('replayWebhook', 'POST', '/replay'),
  ['replayWebhook', 422, reusedKey('POST', '/replay', { from: '-1' })],
  [
    'replayWebhook',
    503,
    () => withoutReadModels(`${nobody}/replay`, { method: 'POST', body: JSON.stringify({ from: '-1' }) }),
  ],
];
