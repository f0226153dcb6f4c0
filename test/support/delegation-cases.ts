import { env } from 'cloudflare:workers';
import { derivedId } from '../../events/id.ts';
import { as, type KeyHolder, keyHolder, registerActor } from './actors.ts';
import { api } from './api.ts';
import { askDelegation, delegate, sendForm } from './delegations.ts';
import { configured } from './rest.ts';

/** A request that gets the status from the operation. */
type Case = [operationId: string, status: number, send: () => Promise<Response>];

const wrongKey = { 'X-API-Key': 'wrong' };
const scopes = ['contexts:read'];
const path = '/v1/delegate';

/** A request of one actor about something that concerns another. */
async function between(send: (ann: KeyHolder, ben: KeyHolder) => Promise<Response>): Promise<Response> {
  return send(await keyHolder(), await keyHolder());
}

function withKeyOf(keyScopes: readonly string[], send: (key: string) => Promise<Response>): Promise<Response> {
  return keyHolder({}, { scopes: keyScopes }).then(({ key }) => send(key));
}

async function toSuspended(): Promise<Response> {
  const { id } = await registerActor();
  await api(`/v1/actors/${id}/suspend`, { method: 'POST' });
  return withKeyOf(['delegate'], (key) => askDelegation(key, { to: id, scopes: ['delegate'] }));
}

async function withoutEncryptionKey(): Promise<Response> {
  const { id } = await registerActor();
  const headers = { 'X-API-Key': String(env.BOOTSTRAP_API_KEY), 'Content-Type': 'application/json' };
  return configured({ KEY_ENCRYPTION_KEY: '' }, path, {
    method: 'POST',
    headers,
    body: JSON.stringify({ to: id, scopes }),
  });
}

/** What of delegation each operation answers; for the test of the OpenAPI document. */
export const delegationCases: readonly Case[] = [
  ['delegate', 201, () => between((ann, ben) => askDelegation(ann.key, { to: ben.id, scopes }))],
  ['delegate', 400, () => between((ann) => askDelegation(ann.key, { to: ann.id, scopes }))],
  ['delegate', 401, () => api(path, { method: 'POST', json: {}, headers: wrongKey })],
  ['delegate', 403, () => between((_, ben) => withKeyOf(scopes, (key) => askDelegation(key, { to: ben.id, scopes })))],
  ['delegate', 409, () => toSuspended()],
  ['delegate', 413, () => between((ann) => askDelegation(ann.key, { to: 'x'.repeat(1024 * 1024) }))],
  ['delegate', 415, () => between((ann) => as(ann.key, path, { method: 'POST', body: 'x' }))],
  [
    'delegate',
    422,
    () =>
      between(async (ann, ben) => {
        const headers = { 'Idempotency-Key': 'openapi' };
        await askDelegation(ann.key, { to: ben.id, scopes }, headers);
        return askDelegation(ann.key, { to: ben.id, scopes, maxUses: 1 }, headers);
      }),
  ],
  ['delegate', 503, () => withoutEncryptionKey()],
  [
    'listDelegations',
    200,
    () =>
      between(async (ann, ben) => {
        await delegate(ann.key, ben.id, scopes);
        return as(ann.key, path);
      }),
  ],
  ['listDelegations', 400, () => api(`${path}?role=x`)],
  ['listDelegations', 401, () => api(path, { headers: wrongKey })],
  ['listDelegations', 403, () => withKeyOf(scopes, (key) => as(key, path))],
  [
    'readDelegation',
    200,
    () =>
      between(async (ann, ben) => {
        const { token } = await delegate(ann.key, ben.id, ['contexts:read', 'delegate']);
        const cem = await keyHolder();
        return as(cem.key, `${path}/${(await delegate(token, cem.id, scopes)).id}`);
      }),
  ],
  ['readDelegation', 400, () => api(`${path}/x?x=1`)],
  ['readDelegation', 401, () => api(`${path}/x`, { headers: wrongKey })],
  ['readDelegation', 403, () => withKeyOf(scopes, (key) => as(key, `${path}/x`))],
  ['readDelegation', 404, () => api(`${path}/${derivedId('dlg', 'openapi: nobody')}`)],
  [
    'revokeDelegation',
    204,
    () =>
      between(async (ann, ben) => {
        const { id } = await delegate(ann.key, ben.id, scopes);
        return as(ann.key, `${path}/${id}`, { method: 'DELETE' });
      }),
  ],
  ['revokeDelegation', 400, () => api(`${path}/x?x=1`, { method: 'DELETE' })],
  ['revokeDelegation', 401, () => api(`${path}/x`, { method: 'DELETE', headers: wrongKey })],
  ['revokeDelegation', 403, () => withKeyOf(scopes, (key) => as(key, `${path}/x`, { method: 'DELETE' }))],
  ['revokeDelegation', 404, () => api(`${path}/x`, { method: 'DELETE' })],
  [
    'introspectToken',
    200,
    () =>
      between(async (ann, ben) => {
        const { token } = await delegate(ann.key, ben.id, scopes);
        return sendForm(ann.key, '/oauth/introspect', { token });
      }),
  ],
  ['introspectToken', 200, () => between((ann) => sendForm(ann.key, '/oauth/introspect', { token: 'x' }))],
  [
    'revokeToken',
    403,
    () =>
      between(async (ann, ben) => {
        const { token } = await delegate(ann.key, ben.id, scopes);
        return sendForm((await keyHolder()).key, '/oauth/revoke', { token });
      }),
  ],
  ['revokeToken', 200, () => between((ann) => sendForm(ann.key, '/oauth/revoke', { token: 'x' }))],
  ...(['introspect', 'revoke'] as const).flatMap((name): Case[] => [
    [`${name}Token`, 400, () => between((ann) => sendForm(ann.key, `/oauth/${name}`, {}))],
    [`${name}Token`, 401, () => sendForm('wrong', `/oauth/${name}`, { token: 'x' })],
    [
      `${name}Token`,
      413,
      () => between((ann) => sendForm(ann.key, `/oauth/${name}`, { token: 'x'.repeat(1024 * 1024) })),
    ],
    [`${name}Token`, 415, () => between((ann) => as(ann.key, `/oauth/${name}`, { method: 'POST', json: {} }))],
  ]),
];
