import { createMessageBatch } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { Directory } from '../../actors/directory.ts';
import { DEFAULT_LIMITS } from '../../events/limits.ts';
import { consumeDeadLetters } from '../../src/delivery/dead-letters.ts';
import { routes } from '../../src/http/routes.ts';
import { actorCases } from '../support/actor-cases.ts';
import { api, createContext } from '../support/api.ts';
import { auditCases } from '../support/audit-cases.ts';
import { connectionCases } from '../support/connection-cases.ts';
import { delegationCases } from '../support/delegation-cases.ts';
import { feedCases } from '../support/feed-cases.ts';
import { deliver, payload } from '../support/github.ts';
import { logCases } from '../support/log-cases.ts';
import { expectDocumented, openApiDocument, operationOf, validator } from '../support/openapi.ts';
import { principalOf } from '../support/principals.ts';
import { privacyCases } from '../support/privacy-cases.ts';
import { configured, derivedId, objectOf, offset, patch, post, read, remove, restore } from '../support/rest.ts';
import { sharingCases } from '../support/sharing-cases.ts';
import { webhookCases } from '../support/webhook-cases.ts';

async function deletedContext(): Promise<string> {
  const { id } = await createContext();
  await remove(id);
  return id;
}

const nobody = derivedId('ctx', 'openapi: nobody');
const wrongKey = { 'X-API-Key': 'wrong' };
const stale = { 'If-Match': '"9"' };
const live = { Upgrade: 'websocket' };
const outbox = '/v1/admin/outbox';
const coldHistory = '/v1/admin/cold-history';
const json = { 'Content-Type': 'application/json' };
const signingKeys = '/v1/admin/signing-keys';
const letters = '/v1/admin/dead-letters';
const installations = '/v1/installations';
const noInstallation = derivedId('ins', 'openapi: nobody');
const noLetter = derivedId('dlq', 'openapi: nobody');

/** A request that gets the status from the operation; each is given an active context of its own. */
type Case = [operationId: string, status: number, send: (id: string) => Promise<Response>];

const cases: Case[] = [
  ['health', 200, () => api('/health')],
  ['openApi', 200, () => api('/openapi.json')],
  ['readProof', 200, (id) => api(`/v1/contexts/${id}/proof?version=1`)],
  ['readProof', 400, (id) => api(`/v1/contexts/${id}/proof`)],
  ...logCases,
  ['readLimits', 200, () => api('/v1/admin/limits')],
  ['changeLimits', 200, () => api('/v1/admin/limits', { method: 'PUT', json: DEFAULT_LIMITS })],
  ['changeLimits', 412, () => api('/v1/admin/limits', { method: 'PUT', json: DEFAULT_LIMITS, headers: stale })],
  ['ecosystem', 200, () => api('/v1/health/ecosystem')],
  ['ecosystem', 200, () => withChittyOs('/v1/health/ecosystem')],
  ['ecosystem', 400, () => api('/v1/health/ecosystem?x=1')],
  ['ecosystem', 401, () => api('/v1/health/ecosystem', { headers: wrongKey })],
  ['metrics', 200, () => api('/metrics')],
  ['metrics', 400, () => api('/metrics?x=1')],
  ['metrics', 401, () => api('/metrics', { headers: wrongKey })],
  ['readJwks', 200, () => api('/.well-known/jwks.json')],
  ['readJwks', 400, () => api('/.well-known/jwks.json?x=1')],
  ['createContext', 201, () => post('{"name":"x","metadata":{"a":[null]}}')],
  ['createContext', 400, () => post('{')],
  ['createContext', 400, () => post('{"name":"","x":1}')],
  ['createContext', 401, () => post('{"name":"x"}', wrongKey)],
  ['createContext', 413, () => post('x'.repeat(1024 * 1024 + 1))],
  ['createContext', 415, () => post('{}', { 'Content-Type': 'text/plain' })],
  ['createContext', 422, () => reusedKey()],
  ['readContext', 200, (id) => read(id)],
  ['readContext', 200, (id) => read(id, '?at=1')],
  ['readContext', 200, (id) => read(id, '?form=sealed')],
  ['readContext', 304, (id) => read(id, '', { 'If-None-Match': '*' })],
  ['readContext', 400, (id) => read(id, '?at=x')],
  ['readContext', 401, (id) => read(id, '', wrongKey)],
  ['readContext', 404, () => read(nobody)],
  ['readContext', 404, (id) => read(id, '?at=2001-01-01T00:00:00Z')],
  ['readContext', 410, async () => read(await deletedContext())],
  ['patchContext', 200, (id) => patch(id, { name: 'y', metadata: { b: { c: 1 } } })],
  ['patchContext', 400, (id) => patch(id, { name: '' })],
  ['patchContext', 401, (id) => patch(id, {}, wrongKey)],
  ['patchContext', 404, () => patch(nobody, {})],
  ['patchContext', 409, async () => patch(await deletedContext(), {})],
  ['patchContext', 412, (id) => patch(id, {}, stale)],
  ['patchContext', 413, (id) => patch(id, { name: 'x'.repeat(1024 * 1024) })],
  ['patchContext', 415, (id) => patch(id, {}, { 'Content-Type': 'text/plain' })],
  ['deleteContext', 204, (id) => remove(id)],
  ['deleteContext', 400, (id) => remove(id, { 'If-Match': 'x' })],
  ['deleteContext', 401, (id) => remove(id, wrongKey)],
  ['deleteContext', 404, () => remove(nobody)],
  ['deleteContext', 409, async () => remove(await deletedContext())],
  ['deleteContext', 412, (id) => remove(id, stale)],
  ['restoreContext', 200, async () => restore(await deletedContext())],
  ['restoreContext', 401, (id) => restore(id, wrongKey)],
  ['restoreContext', 404, () => restore(nobody)],
  ['restoreContext', 409, (id) => restore(id)],
  ['restoreContext', 412, (id) => restore(id, stale)],
  ['revertContext', 200, (id) => revert(id)],
  ['revertContext', 400, (id) => revert(id, { to: 0 })],
  ['revertContext', 401, (id) => revert(id, { to: 1 }, wrongKey)],
  ['revertContext', 404, () => revert(nobody)],
  ['revertContext', 409, async () => revert(await deletedContext())],
  ['revertContext', 409, (id) => conflictingRevert(id)],
  ['revertContext', 412, (id) => revert(id, { to: 1 }, stale)],
  ['revertContext', 413, (id) => revert(id, { to: 'x'.repeat(1024 * 1024) })],
  ['revertContext', 415, (id) => revert(id, {}, { 'Content-Type': 'text/plain' })],
  ['diffContext', 200, (id) => changedAndBack(id, 'diff?from=1&to=2')],
  ['diffContext', 400, (id) => api(`/v1/contexts/${id}/diff`)],
  ['diffContext', 401, (id) => api(`/v1/contexts/${id}/diff?from=1`, { headers: wrongKey })],
  ['diffContext', 404, () => api(`/v1/contexts/${nobody}/diff?from=1`)],
  ['readFieldHistory', 200, (id) => changedAndBack(id, 'history?pointer=/metadata/a')],
  ['readFieldHistory', 200, (id) => changedAndBack(id, 'history?pointer=/name&limit=1')],
  ['readFieldHistory', 400, (id) => api(`/v1/contexts/${id}/history?pointer=name`)],
  ['readFieldHistory', 401, (id) => api(`/v1/contexts/${id}/history?pointer=/name`, { headers: wrongKey })],
  ['readFieldHistory', 404, () => api(`/v1/contexts/${nobody}/history?pointer=/name`)],
  ['readHistory', 200, (id) => events(id)],
  ['readHistory', 200, (id) => events(id, { Accept: 'application/x-ndjson' })],
  ['readHistory', 200, (id) => api(`/v1/contexts/${id}/events?at=1`)],
  [
    'readHistory',
    204,
    async () => {
      const id = await deletedContext();
      return events(id, sse({ 'Last-Event-ID': offset(id, 2) }));
    },
  ],
  ['readHistory', 200, (id) => api(`/v1/contexts/${id}/events?offset=-1&live=long-poll`)],
  ['readHistory', 204, (id) => api(`/v1/contexts/${id}/events?offset=now&live=long-poll&timeout=0`)],
  ['readHistory', 304, (id) => events(id, { 'If-None-Match': '*' })],
  ['readHistory', 400, (id) => events(id, sse({ 'Last-Event-ID': 'x' }))],
  ['readHistory', 401, (id) => events(id, wrongKey)],
  ['readHistory', 404, () => events(nobody)],
  ['readHistory', 406, (id) => events(id, { Accept: 'text/html' })],
  ['watchContext', 101, (id) => api(`/v1/contexts/${id}/live`, { headers: live })],
  ['watchContext', 400, (id) => api(`/v1/contexts/${id}/live?after=x`, { headers: live })],
  ['watchContext', 401, (id) => api(`/v1/contexts/${id}/live`, { headers: wrongKey })],
  ['watchContext', 404, () => api('/v1/contexts/x/live')],
  ['watchContext', 426, (id) => api(`/v1/contexts/${id}/live`)],
  ['issueTicket', 201, (id) => api(`/v1/contexts/${id}/tickets`, { method: 'POST' })],
  ['issueTicket', 401, (id) => api(`/v1/contexts/${id}/tickets`, { method: 'POST', headers: wrongKey })],
  ['issueTicket', 404, () => api(`/v1/contexts/${nobody}/tickets`, { method: 'POST' })],
  ['listContexts', 200, () => api('/v1/contexts')],
  ['listContexts', 400, () => api('/v1/contexts?limit=0')],
  ['listContexts', 401, () => api('/v1/contexts', { headers: wrongKey })],
  ['listContexts', 503, () => withoutReadModels('/v1/contexts')],
  ['searchContexts', 200, () => api('/v1/contexts/search?q=context&highlight=true')],
  ['searchContexts', 400, () => api('/v1/contexts/search')],
  ['searchContexts', 401, () => api('/v1/contexts/search?q=x', { headers: wrongKey })],
  ['searchContexts', 503, () => withoutReadModels('/v1/contexts/search?q=context')],
  ['listInvitations', 503, () => withoutReadModels('/v1/invitations')],
  ['retryProvisioning', 200, (id) => retryProvisioning(id)],
  ['retryProvisioning', 400, (id) => retryProvisioning(id, { 'If-Match': 'x' })],
  ['retryProvisioning', 401, (id) => retryProvisioning(id, wrongKey)],
  ['retryProvisioning', 404, () => retryProvisioning(nobody)],
  ['retryProvisioning', 409, async () => retryProvisioning(await deletedContext())],
  ['retryProvisioning', 412, (id) => retryProvisioning(id, stale)],
  ['readOutbox', 200, () => outboxThatIsBehind()],
  ['readOutbox', 400, () => api(`${outbox}?x=1`)],
  ['readOutbox', 401, () => api(outbox, { headers: wrongKey })],
  ['retryOutbox', 204, (id) => send(`${outbox}/context/${id}/retry`)],
  ['retryOutbox', 400, (id) => send(`${outbox}/context/${id}/retry?x=1`)],
  ['retryOutbox', 401, (id) => send(`${outbox}/context/${id}/retry`, wrongKey)],
  ['retryOutbox', 413, (id) => send(`${outbox}/context/${id}/retry`, json, 'x'.repeat(1024 * 1024 + 1))],
  ['retryOutbox', 415, (id) => send(`${outbox}/context/${id}/retry`, { 'Content-Type': 'text/plain' }, '{}')],
  ['retryOutbox', 404, (id) => send(`${outbox}/actor/${id}/retry`)],
  ['readColdHistory', 200, () => api(coldHistory)],
  ['readColdHistory', 400, () => api(`${coldHistory}?x=1`)],
  ['readColdHistory', 401, () => api(coldHistory, { headers: wrongKey })],
  ['archiveStream', 200, (id) => send(`/v1/admin/streams/context/${id}/archive`)],
  ['archiveStream', 400, (id) => send(`/v1/admin/streams/context/${id}/archive?x=1`)],
  ['archiveStream', 401, (id) => send(`/v1/admin/streams/context/${id}/archive`, wrongKey)],
  ['archiveStream', 503, (id) => withoutBucket(`/v1/admin/streams/context/${id}/archive`)],
  ['archiveStream', 404, () => send(`/v1/admin/streams/context/${nobody}/archive`)],
  ['rebuildReadModels', 200, () => send('/v1/admin/rebuild')],
  ['rebuildReadModels', 400, () => send('/v1/admin/rebuild?cursor=x')],
  ['rebuildReadModels', 401, () => send('/v1/admin/rebuild', wrongKey)],
  ['rotateSigningKeys', 200, () => send(`${signingKeys}/rotate`)],
  ['rotateSigningKeys', 400, () => api(`${signingKeys}/rotate`, { method: 'POST', json: { kid: 'x' } })],
  ['rotateSigningKeys', 401, () => send(`${signingKeys}/rotate`, wrongKey)],
  ['rotateSigningKeys', 415, () => api(`${signingKeys}/rotate`, { method: 'POST', body: 'x' })],
  ['rotateSigningKeys', 503, () => withoutEncryptionKey(`${signingKeys}/rotate`)],
  ['resealSigningKeys', 200, () => send(`${signingKeys}/reseal`)],
  ['resealSigningKeys', 400, () => send(`${signingKeys}/reseal?x=1`)],
  ['resealSigningKeys', 401, () => send(`${signingKeys}/reseal`, wrongKey)],
  ['resealSigningKeys', 503, () => withoutEncryptionKey(`${signingKeys}/reseal`)],
  ['listSigningKeys', 200, () => api(signingKeys)],
  ['listSigningKeys', 400, () => api(`${signingKeys}?x=1`)],
  ['listSigningKeys', 401, () => api(signingKeys, { headers: wrongKey })],
  ['listDeadLetters', 200, () => listedDeadLetter()],
  ['listDeadLetters', 400, () => api(`${letters}?status=x`)],
  ['listDeadLetters', 401, () => api(letters, { headers: wrongKey })],
  ['readDeadLetter', 200, async () => api(`${letters}/${await deadLetter()}`)],
  ['readDeadLetter', 400, async () => api(`${letters}/${await deadLetter()}?x=1`)],
  ['readDeadLetter', 401, () => api(`${letters}/${noLetter}`, { headers: wrongKey })],
  ['readDeadLetter', 404, () => api(`${letters}/${noLetter}`)],
  ['replayDeadLetter', 200, async () => send(`${letters}/${await deadLetter()}/replay`)],
  ['replayDeadLetter', 401, () => send(`${letters}/${noLetter}/replay`, wrongKey)],
  ['replayDeadLetter', 404, () => send(`${letters}/${noLetter}/replay`)],
  ['replayDeadLetter', 409, async () => send(`${letters}/${await droppedLetter()}/replay`)],
  ['dropDeadLetter', 200, async () => send(`${letters}/${await deadLetter()}/drop`)],
  ['dropDeadLetter', 401, () => send(`${letters}/${noLetter}/drop`, wrongKey)],
  ['dropDeadLetter', 404, () => send(`${letters}/${noLetter}/drop`)],
  ['dropDeadLetter', 409, async () => send(`${letters}/${await droppedLetter()}/drop`)],
  ['githubWebhook', 200, () => deliver({ body: JSON.stringify(payload(1, 'created')) })],
  ['githubWebhook', 202, () => deliver({ event: 'push', body: '{}' })],
  ['githubWebhook', 400, () => deliver({ body: '{}' })],
  ['githubWebhook', 401, () => deliver({ body: '{}', signature: null })],
  ['githubWebhook', 413, () => deliver({ body: ' '.repeat(1024 * 1024 + 1) })],
  ['githubWebhook', 415, () => deliver({ body: '{}', headers: { 'Content-Type': 'text/plain' } })],
  ['githubWebhook', 422, () => reusedDelivery()],
  ['githubWebhook', 503, () => deliver({ body: '{}', signature: null }, { GITHUB_WEBHOOK_SECRET: '' })],
  ['listInstallations', 200, () => listedInstallation()],
  ['listInstallations', 400, () => api(`${installations}?status=x`)],
  ['listInstallations', 401, () => api(installations, { headers: wrongKey })],
  ['readInstallation', 200, () => readInstallation()],
  ['readInstallation', 400, () => api(`${installations}/${noInstallation}?x=1`)],
  ['readInstallation', 401, () => api(`${installations}/${noInstallation}`, { headers: wrongKey })],
  ['readInstallation', 404, () => api(`${installations}/${noInstallation}`)],
  ...actorCases,
  ...auditCases,
  ...connectionCases,
  ...webhookCases,
  ...delegationCases,
  ...feedCases,
  ...privacyCases,
  ...sharingCases,
  ...(['GET', 'POST', 'PUT', 'DELETE'] as const).flatMap((method): Case[] => [
    [`embedded${method}`, 200, () => withChittyOs('/embedded/dna/health', method)],
    [`embedded${method}`, 401, () => api('/embedded/dna/health', { method, headers: wrongKey })],
    [`embedded${method}`, 404, () => api('/embedded/dna/health', { method })],
  ]),
];

function send(path: string, headers: Record<string, string> = {}, body: string | null = null): Promise<Response> {
  return api(path, { method: 'POST', headers, body });
}

function revert(id: string, json: object = { to: 1 }, headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${id}/revert`, { method: 'POST', json, headers });
}

/** A revert that somebody else's change stands against. */
async function conflictingRevert(id: string): Promise<Response> {
  const principal = principalOf('act_ben', { capabilities: ['administrator'] });
  const cause = { correlationId: 'test', causationId: null, commandId: 'test' };
  await objectOf(id).execute({ id, command: { type: 'update', data: { name: 'Two' } }, principal, cause });
  return revert(id);
}

/** Reads of a context to which a member was added, of which one was changed and one was taken away. */
async function changedAndBack(id: string, rest: string): Promise<Response> {
  await patch(id, { name: 'Two', metadata: { a: null, b: 1 }, tools: [] });
  await patch(id, { name: 'Three', metadata: { a: { c: [1] } } });
  return api(`/v1/contexts/${id}/${rest}`);
}

function retryProvisioning(id: string, headers: Record<string, string> = {}): Promise<Response> {
  return send(`/v1/contexts/${id}/provisioning/retry`, headers);
}

/** A request to a Worker whose database is out of order. */
function withoutReadModels(path: string): Promise<Response> {
  const prepare = () => {
    throw new Error('D1_ERROR: this database is out of order');
  };
  const DB = new Proxy(env.DB, { get: () => prepare });
  return configured({ DB }, path, { headers: { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) } });
}

/** A request to a Worker that cannot open its signing keys. */
function withoutEncryptionKey(path: string): Promise<Response> {
  const headers = { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) };
  return configured({ KEY_ENCRYPTION_KEY: '' }, path, { method: 'POST', headers });
}

/** A request to a Worker that has nowhere to move old events to. */
function withoutBucket(path: string): Promise<Response> {
  const headers = { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) };
  return configured({ COLD_HISTORY: undefined }, path, { method: 'POST', headers });
}

/** A request to a Worker that has embedded services. */
function withChittyOs(path: string, method = 'GET'): Promise<Response> {
  const CHITTYOS = { fetch: async () => Response.json({ status: 'ok' }) };
  const headers = { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) };
  return configured({ CHITTYOS, CHITTYOS_TOKEN: 't' }, path, { method, headers });
}

async function outboxThatIsBehind(): Promise<Response> {
  const cursor = { confirmed: 1, attempts: 2, retryAt: 3, lastError: null };
  await new Directory(env.DIRECTORY).monitor().behind(`context/${nobody}`, { d1: cursor });
  return api(outbox);
}

let letterCount = 0;

/** @returns the id of a new dead letter */
async function deadLetter(): Promise<string> {
  letterCount += 1;
  const id = `openapi ${letterCount}`;
  const message = { id, timestamp: new Date(), attempts: 4, body: { not: 'ours' } };
  await consumeDeadLetters(createMessageBatch('chittyconnect-context-ops-dlq', [message]), env);
  return derivedId('dlq', id);
}

async function droppedLetter(): Promise<string> {
  const id = await deadLetter();
  await send(`${letters}/${id}/drop`);
  return id;
}

async function listedDeadLetter(): Promise<Response> {
  const id = await deadLetter();
  return vi.waitFor(async () => {
    const response = await api(letters);
    expect(await response.clone().text()).toContain(id);
    return response;
  });
}

async function reusedDelivery(): Promise<Response> {
  await deliver({ body: JSON.stringify(payload(2, 'created')), delivery: 'openapi' });
  return deliver({ body: JSON.stringify(payload(2, 'deleted')), delivery: 'openapi' });
}

async function readInstallation(): Promise<Response> {
  const repositories = [{ id: 1, full_name: 'octo/repo' }];
  const response = await deliver({ body: JSON.stringify(payload(3, 'created', { repositories })) });
  const { installation }: { installation: string } = await response.json();
  return api(`${installations}/${installation}`);
}

async function listedInstallation(): Promise<Response> {
  await readInstallation();
  return vi.waitFor(async () => {
    const response = await api(installations);
    expect(await response.clone().text()).toContain('octo/repo');
    return response;
  });
}

function events(id: string, headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${id}/events`, { headers });
}

function sse(headers: Record<string, string>): Record<string, string> {
  return { Accept: 'text/event-stream', ...headers };
}

async function reusedKey(): Promise<Response> {
  await post('{"name":"x"}', { 'Idempotency-Key': 'openapi' });
  return post('{"name":"y"}', { 'Idempotency-Key': 'openapi' });
}

// Each case is short; on a busy machine one of so many may have to wait, some of them for the next checkpoint.
describe('what the API answers is what its document says', { timeout: 60_000 }, () => {
  it.each(cases)('%s: %i', async (operationId, status, send) => {
    const response = await send((await createContext()).id);
    expect(response.status).toBe(status);
    await expectDocumented(operationId, response);
  });

  it('there is a case above for every operation that succeeds', () => {
    const tried = new Set(cases.filter(([, status]) => status < 300).map(([operationId]) => operationId));
    expect([...tried].sort()).toEqual(routes.map(({ operation }) => operation.operationId).sort());
  });

  it('what the API takes is what the document says it takes', async () => {
    const { requestBody } = await operationOf('createContext');
    const creation = await validator(requestBody?.content['application/json']?.schema);
    expect(creation.safeParse({ name: 'x' }).success).toBe(true);
    expect(creation.safeParse({ name: 'x', metadata: { a: 1 }, tools: ['a'] }).success).toBe(true);
    expect(creation.safeParse({}).success).toBe(false);
    expect(creation.safeParse({ name: 'x', version: 1 }).success).toBe(false);
    const { requestBody: patchBody } = await operationOf('patchContext');
    const change = await validator(patchBody?.content['application/merge-patch+json']?.schema);
    expect(change.safeParse({ metadata: null, tools: null }).success).toBe(true);
    expect(change.safeParse({ name: null }).success).toBe(false);
  });

  // Stream-Next-Offset is documented as always there.
  it('readHistory: 200 as server-sent events', async () => {
    const response = await events((await createContext()).id, sse({}));
    await expectDocumented('readHistory', response).finally(() => response.body?.cancel());
  });

  it('a patch may also be sent as application/json', async () => {
    const { requestBody } = await operationOf('patchContext');
    expect(Object.keys(requestBody?.content ?? {})).toContain('application/json');
  });

  it('a creation answers with Location', async () => {
    const { responses } = await operationOf('createContext');
    expect(Object.keys(responses['201']?.headers ?? {})).toContain('Location');
  });

  it('a read takes If-None-Match', async () => {
    const { parameters } = await operationOf('readContext');
    expect(parameters.map(({ name }) => name)).toContain('If-None-Match');
  });

  it('a deleted context answers with a tombstone', async () => {
    const { responses } = await operationOf('readContext');
    const { components } = await openApiDocument();
    const schema = JSON.stringify(responses['410']?.content['application/problem+json']);
    expect(schema + JSON.stringify(components.schemas)).toContain('tombstone');
  });
});
