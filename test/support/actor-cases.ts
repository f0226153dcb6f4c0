import { derivedId } from '../../events/id.ts';
import { as, keyHolder, plain, registerActor, startSession } from './actors.ts';
import { api } from './api.ts';
import { notYetLogged } from './log-cases.ts';

/** A request that gets the status from the operation. */
type Case = [operationId: string, status: number, send: () => Promise<Response>];

const wrongKey = { 'X-API-Key': 'wrong' };
const stale = { 'If-Match': '"99"' };
const nobody = derivedId('act', 'openapi: nobody');
const noKey = derivedId('key', 'openapi: nobody');
const noSession = derivedId('ses', 'openapi: nobody');

async function change(method: string, path: string, init: { json?: unknown; headers?: HeadersInit } = {}) {
  const { id } = await registerActor();
  return api(`/v1/actors/${id}${path}`, { method, ...init });
}

async function onDeleted(method: string, path: string, json?: object) {
  const { id } = await registerActor();
  await api(`/v1/actors/${id}`, { method: 'DELETE' });
  return api(`/v1/actors/${id}${path}`, { method, ...(json && { json }) });
}

function unknown(method: string, path: string, json?: object) {
  return api(`/v1/actors/${nobody}${path}`, { method, ...(json && { json }) });
}

async function asAnother(method: string, path: string, json?: object) {
  const [{ id }, { key }] = [await registerActor(), await keyHolder({}, { scopes: ['actors:read', 'actors:write'] })];
  return as(key, `/v1/actors/${id}${path}`, { method, ...(json && { json }) });
}

/** What every route below an actor answers alike. */
function common(operationId: string, method: string, path: string, json?: object): Case[] {
  const headers = wrongKey;
  return [
    [operationId, 401, () => api(`/v1/actors/${nobody}${path}`, { method, headers, ...(json && { json }) })],
    [operationId, 403, () => asAnother(method, path, json)],
    [operationId, 404, () => unknown(method, path, json)],
  ];
}

function keyPath(suffix = ''): Promise<string> {
  return keyHolder().then(({ id, keyId }) => `/v1/actors/${id}/keys/${keyId}${suffix}`);
}

async function rotated(): Promise<Response> {
  const path = await keyPath('/rotate');
  await api(path, { method: 'POST' });
  return api(path, { method: 'POST' });
}

async function withSession(
  send: (session: Awaited<ReturnType<typeof startSession>>, actor: string) => Promise<Response>,
): Promise<Response> {
  const { id, key } = await keyHolder();
  return send(await startSession(key), id);
}

function refresh(refreshToken: unknown): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' };
  return plain('/v1/sessions/refresh', { method: 'POST', headers, body: JSON.stringify({ refreshToken }) });
}

/** The cases of the operations on actors, keys and sessions. */
export const actorCases: Case[] = [
  ['registerActor', 201, () => api('/v1/actors', { method: 'POST', json: { kind: 'agent', name: 'x' } })],
  ['registerActor', 400, () => api('/v1/actors', { method: 'POST', json: { kind: 'x' } })],
  ['registerActor', 401, () => api('/v1/actors', { method: 'POST', json: {}, headers: wrongKey })],
  ['registerActor', 415, () => api('/v1/actors', { method: 'POST', body: '{}', headers: { 'Content-Type': 'x/y' } })],
  ['listActors', 200, () => api('/v1/actors?limit=3')],
  ['listActors', 400, () => api('/v1/actors?kind=x')],
  ['listActors', 401, () => api('/v1/actors', { headers: wrongKey })],
  ['readActor', 200, () => api('/v1/actors/me')],
  ['readActor', 200, () => asAnother('GET', '')],
  ['readActor', 200, () => api('/v1/actors/me?at=1')],
  ['readActor', 403, () => asAnother('GET', '?at=1')],
  ['readActor', 304, () => api('/v1/actors/me', { headers: { 'If-None-Match': '*' } })],
  ['readActor', 400, () => api('/v1/actors/me?x=1')],
  ['readActor', 401, () => api('/v1/actors/me', { headers: wrongKey })],
  ['readActor', 404, () => unknown('GET', '')],
  ['readActorHistory', 200, () => api('/v1/actors/me/events?limit=2')],
  ['readActorHistory', 304, () => api('/v1/actors/me/events?limit=2', { headers: { 'If-None-Match': '*' } })],
  ['readActorHistory', 400, () => api('/v1/actors/me/events?x=1')],
  ['readActorHistory', 401, () => api('/v1/actors/me/events', { headers: wrongKey })],
  ['readActorHistory', 403, () => asAnother('GET', '/events')],
  ['readActorHistory', 404, () => unknown('GET', '/events')],
  ['readActorHistory', 406, () => api('/v1/actors/me/events', { headers: { Accept: 'text/event-stream' } })],
  ['readActorProof', 200, () => api('/v1/actors/me/proof?version=1')],
  ['readActorProof', 400, () => api('/v1/actors/me/proof')],
  ['readActorProof', 401, () => api('/v1/actors/me/proof?version=1', { headers: wrongKey })],
  ['readActorProof', 403, () => asAnother('GET', '/proof?version=1')],
  ['readActorProof', 404, () => unknown('GET', '/proof?version=1')],
  ['readActorBundle', 200, () => api('/v1/actors/me/bundle?wait=60')],
  ['readActorBundle', 400, () => api('/v1/actors/me/bundle?wait=61')],
  ['readActorBundle', 401, () => api('/v1/actors/me/bundle', { headers: wrongKey })],
  ['readActorBundle', 403, () => asAnother('GET', '/bundle?wait=0')],
  ['readActorBundle', 404, () => unknown('GET', '/bundle?wait=0')],
  ['readActorBundle', 503, () => notYetLogged(async () => `/v1/actors/${(await registerActor()).id}`)],
  ['patchActor', 200, () => change('PATCH', '', { json: { name: 'y' } })],
  ['patchActor', 400, () => change('PATCH', '', { json: { name: '' } })],
  ['patchActor', 409, () => onDeleted('PATCH', '', { name: 'y' })],
  ['patchActor', 412, () => change('PATCH', '', { json: { name: 'y' }, headers: stale })],
  ...common('patchActor', 'PATCH', '', { name: 'y' }),
  ['deleteActor', 204, () => change('DELETE', '')],
  ['deleteActor', 409, () => onDeleted('DELETE', '')],
  ['deleteActor', 412, () => change('DELETE', '', { headers: stale })],
  ...common('deleteActor', 'DELETE', ''),
  ['suspendActor', 200, () => change('POST', '/suspend')],
  ['suspendActor', 200, () => change('POST', '/suspend', { json: { reason: 'left' } })],
  ['suspendActor', 400, () => change('POST', '/suspend', { json: { reason: 1 } })],
  ['suspendActor', 409, () => onDeleted('POST', '/suspend')],
  ...common('suspendActor', 'POST', '/suspend'),
  ['reinstateActor', 200, () => suspendedThenReinstated()],
  ['reinstateActor', 409, () => change('POST', '/reinstate')],
  ...common('reinstateActor', 'POST', '/reinstate'),
  ['grantCapability', 200, () => change('PUT', '/capabilities/auditor')],
  ['grantCapability', 404, () => change('PUT', '/capabilities/x')],
  ...common('grantCapability', 'PUT', '/capabilities/auditor'),
  ['revokeCapability', 200, () => change('DELETE', '/capabilities/auditor')],
  ...common('revokeCapability', 'DELETE', '/capabilities/auditor'),
  ['issueKey', 201, () => change('POST', '/keys', { json: { name: 'x' } })],
  ['issueKey', 400, () => change('POST', '/keys', { json: { name: '' } })],
  ['issueKey', 409, () => onDeleted('POST', '/keys', { name: 'x' })],
  ...common('issueKey', 'POST', '/keys', { name: 'x' }),
  ['listKeys', 200, async () => api((await keyPath()).replace(/\/key_.*/, ''))],
  ['listKeys', 400, () => change('GET', '/keys?x=1')],
  ...common('listKeys', 'GET', '/keys'),
  ['rotateKey', 201, async () => api(await keyPath('/rotate'), { method: 'POST' })],
  ['rotateKey', 400, async () => api(await keyPath('/rotate'), { method: 'POST', json: { overlapSeconds: -1 } })],
  ['rotateKey', 409, () => rotated()],
  ...common('rotateKey', 'POST', `/keys/${noKey}/rotate`),
  ['revokeKey', 204, async () => api(await keyPath(), { method: 'DELETE' })],
  [
    'revokeKey',
    200,
    async () => {
      const path = await keyPath();
      await api(`${path}/rotate`, { method: 'POST' });
      return api(path, { method: 'DELETE' });
    },
  ],
  ['revokeKey', 404, () => change('DELETE', `/keys/${noKey}`)],
  ...common('revokeKey', 'DELETE', `/keys/${noKey}`),
  ['startSession', 201, async () => as((await keyHolder()).key, '/v1/sessions', { method: 'POST' })],
  [
    'startSession',
    201,
    async () => as((await keyHolder()).key, '/v1/sessions', { method: 'POST', json: { cookies: true, device: 'x' } }),
  ],
  ['startSession', 400, () => api('/v1/sessions', { method: 'POST', json: { device: '' } })],
  ['startSession', 401, () => api('/v1/sessions', { method: 'POST', headers: wrongKey })],
  ['startSession', 403, () => withSession(({ accessToken }) => as(accessToken, '/v1/sessions', { method: 'POST' }))],
  ['refreshSession', 200, () => withSession(({ refreshToken }) => refresh(refreshToken))],
  ['refreshSession', 400, () => refresh(1)],
  ['refreshSession', 401, () => refresh('ccr_x')],
  [
    'endCurrentSession',
    204,
    () => withSession(({ accessToken }) => as(accessToken, '/v1/sessions/current', { method: 'DELETE' })),
  ],
  ['endCurrentSession', 401, () => api('/v1/sessions/current', { method: 'DELETE', headers: wrongKey })],
  ['endCurrentSession', 409, () => api('/v1/sessions/current', { method: 'DELETE' })],
  ['listSessions', 200, () => withSession((_, actor) => api(`/v1/actors/${actor}/sessions`))],
  ['listSessions', 400, () => change('GET', '/sessions?x=1')],
  ...common('listSessions', 'GET', '/sessions'),
  [
    'endSession',
    204,
    () => withSession(({ id }, actor) => api(`/v1/actors/${actor}/sessions/${id}`, { method: 'DELETE' })),
  ],
  ['endSession', 404, () => change('DELETE', `/sessions/${noSession}`)],
  ...common('endSession', 'DELETE', `/sessions/${noSession}`),
  ['endAllSessions', 204, () => change('DELETE', '/sessions')],
  ['endAllSessions', 409, () => onDeleted('DELETE', '/sessions')],
  ...common('endAllSessions', 'DELETE', '/sessions'),
];

async function suspendedThenReinstated(): Promise<Response> {
  const { id } = await registerActor();
  await api(`/v1/actors/${id}/suspend`, { method: 'POST' });
  return api(`/v1/actors/${id}/reinstate`, { method: 'POST' });
}
