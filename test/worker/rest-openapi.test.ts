import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { routes } from '../../src/http/routes.ts';
import { api, createContext } from '../support/api.ts';
import { derivedId, patch, post, read, remove, restore } from '../support/rest.ts';

const content = z.record(z.string(), z.object({ schema: z.unknown() }));
const header = z.looseObject({ required: z.boolean().optional() });
const operation = z.looseObject({
  operationId: z.string(),
  parameters: z.array(z.looseObject({ name: z.string(), in: z.string() })).default([]),
  requestBody: z.object({ content }).optional(),
  responses: z.record(
    z.string(),
    z.object({ headers: z.record(z.string(), header).default({}), content: content.default({}) }),
  ),
});
type Operation = z.infer<typeof operation>;

/** The document as it is served, with its references in the form that `z.fromJSONSchema` follows. */
async function document() {
  const text = (await (await api('/openapi.json')).text()).replaceAll('#/components/schemas/', '#/$defs/');
  return z
    .object({
      paths: z.record(z.string(), z.record(z.string(), z.unknown())),
      components: z.object({ schemas: z.record(z.string(), z.unknown()) }),
    })
    .parse(JSON.parse(text));
}

/** The operation of the document by its id. */
async function operationOf(operationId: string): Promise<Operation> {
  const operations = Object.values((await document()).paths).flatMap((item) => Object.values(item));
  const found = operations
    .map((each) => operation.safeParse(each))
    .find((each) => each.data?.operationId === operationId);
  if (!found?.data) throw new Error(`${operationId} is not in the document`);
  return found.data;
}

/** A check of values against a schema of the document. */
async function validator(schema: unknown): Promise<z.ZodType> {
  const { components } = await document();
  const whole = z.looseObject({}).parse(schema);
  return z.fromJSONSchema({ ...whole, $defs: components.schemas } as z.core.JSONSchema.JSONSchema);
}

/** Checks that the document says of this operation what the response is: status, headers, media type and body. */
async function expectDocumented(operationId: string, response: Response): Promise<void> {
  const { responses } = await operationOf(operationId);
  const documented = responses[String(response.status)];
  if (!documented) throw new Error(`${operationId}: ${response.status} is not documented`);
  for (const [name, { required }] of Object.entries(documented.headers)) {
    if (required) expect(response.headers.get(name), name).not.toBeNull();
  }
  response.webSocket?.accept();
  response.webSocket?.close();
  const mediaType = response.headers.get('Content-Type');
  if (mediaType === null) {
    expect(documented.content).toEqual({});
    return;
  }
  const form = documented.content[mediaType];
  if (!form) throw new Error(`${operationId}: ${response.status} as ${mediaType} is not documented`);
  if (mediaType === 'text/event-stream') return response.body?.cancel();
  const body = new TextDecoder().decode(await response.arrayBuffer());
  const value: unknown = mediaType.endsWith('json') && mediaType !== 'application/x-ndjson' ? JSON.parse(body) : body;
  expect((await validator(form.schema)).safeParse(value).error).toBeUndefined();
}

async function deletedContext(): Promise<string> {
  const { id } = await createContext();
  await remove(id);
  return id;
}

const nobody = derivedId('ctx', 'openapi: nobody');
const wrongKey = { 'X-API-Key': 'wrong' };
const stale = { 'If-Match': '"9"' };
const live = { Upgrade: 'websocket' };

/** A request that gets the status from the operation; each is given an active context of its own. */
const cases: [operationId: string, status: number, send: (id: string) => Promise<Response>][] = [
  ['health', 200, () => api('/health')],
  ['openApi', 200, () => api('/openapi.json')],
  ['createContext', 201, () => post('{"name":"x","metadata":{"a":[null]}}')],
  ['createContext', 400, () => post('{')],
  ['createContext', 400, () => post('{"name":"","x":1}')],
  ['createContext', 401, () => post('{"name":"x"}', wrongKey)],
  ['createContext', 413, () => post('x'.repeat(1024 * 1024 + 1))],
  ['createContext', 415, () => post('{}', { 'Content-Type': 'text/plain' })],
  ['createContext', 422, () => reusedKey()],
  ['readContext', 200, (id) => read(id)],
  ['readContext', 200, (id) => read(id, '?at=1')],
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
  ['readHistory', 200, (id) => events(id)],
  ['readHistory', 200, (id) => events(id, { Accept: 'application/x-ndjson' })],
  ['readHistory', 204, async () => events(await deletedContext(), sse({ 'Last-Event-ID': '0000000000000002' }))],
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
];

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

describe('what the API answers is what its document says', () => {
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
    const { components } = await document();
    const schema = JSON.stringify(responses['410']?.content['application/problem+json']);
    expect(schema + JSON.stringify(components.schemas)).toContain('tombstone');
  });
});
