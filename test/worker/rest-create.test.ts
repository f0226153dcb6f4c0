import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { isIntact } from '../../events/envelope.ts';
import { isId } from '../../events/id.ts';
import { BOOTSTRAP_ACTOR } from '../../src/auth/bootstrap-actor.ts';
import { api, type ContextJson, createContext } from '../support/api.ts';
import { history, post, read } from '../support/rest.ts';

describe('creating a context', () => {
  it('needs only a name and fills in the rest', async () => {
    const response = await api('/v1/contexts', { method: 'POST', json: { name: 'Planning' } });
    const context: ContextJson = await response.json();
    expect(response.status).toBe(201);
    expect(context).toEqual({
      id: context.id,
      chittyId: null,
      name: 'Planning',
      description: '',
      owner: BOOTSTRAP_ACTOR,
      members: [{ actor: BOOTSTRAP_ACTOR, role: 'owner', since: context.updatedAt }],
      systems: [],
      tools: [],
      metadata: {},
      status: 'active',
      version: 1,
      createdAt: context.updatedAt,
      updatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      provisioning: { status: 'pending', steps: {} },
    });
    expect(isId('ctx', context.id)).toBe(true);
  });

  it('says where it is, at what version, and that nobody may cache it', async () => {
    const response = await post('{"name":"Planning"}');
    const created = await response.text();
    const location = response.headers.get('Location') ?? '';
    expect(response.headers.get('ETag')).toBe('"1"');
    expect(response.headers.get('Content-Type')).toBe('application/json');
    expect(response.headers.get('Cache-Control')).toBe('no-store');
    expect(await (await api(location)).text()).toBe(created);
  });

  it('keeps everything that was sent, any Unicode and any JSON included', async () => {
    const fields = {
      name: 'Größe 😀 العربية',
      description: ' keeps its spaces \n and lines ',
      systems: ['github', 'Größe'],
      tools: ['linear'],
      metadata: { b: 1, a: [null, true, -2.5e-7, { '': 'empty key', 'a/b~c': '😀' }], '\u2028': '\u0001' },
    };
    const { id } = await createContext(fields);
    expect(await (await read(id)).json()).toMatchObject(fields);
  });

  it('trims the name, the systems and the tools', async () => {
    const context = await createContext({ name: '\t Planning \u00a0', systems: [' a '], tools: ['\nb'] });
    expect(context).toMatchObject({ name: 'Planning', systems: ['a'], tools: ['b'] });
  });

  it.each([
    ['a name of 200 characters', { name: 'x'.repeat(200) }],
    ['a name of 200 characters that are two UTF-16 units each', { name: '😀'.repeat(200) }],
    ['a name of 200 characters and spaces around it', { name: ` ${'x'.repeat(200)} ` }],
    ['a description of 10,000 characters', { description: '😀'.repeat(10_000) }],
    ['a hundred systems and a hundred tools of a hundred characters', { systems: labels(100), tools: labels(100) }],
    ['metadata of exactly 64 KiB', { metadata: { x: 'x'.repeat(64 * 1024 - '{"x":""}'.length) } }],
    ['metadata of exactly 16 levels', { metadata: nested(16) }],
    ['your own id as the owner', { owner: BOOTSTRAP_ACTOR }],
  ])('takes %s', async (_what, fields) => {
    const response = await api('/v1/contexts', { method: 'POST', json: { name: 'x', ...fields } });
    expect(response.status, await response.clone().text()).toBe(201);
  });

  it.each([
    ['application/json'],
    ['Application/JSON; charset=UTF-8'],
    ['application/json;charset="utf-8"'],
    ['application/json; odata=verbose'],
  ])('takes Content-Type %s', async (mediaType) => {
    expect((await post('{"name":"x"}', { 'Content-Type': mediaType })).status).toBe(201);
  });

  it('takes a body that begins with a byte order mark', async () => {
    expect((await post('\ufeff{"name":"x"}')).status).toBe(201);
  });

  it('takes a body of exactly 1 MiB', async () => {
    const start = '{"name":"x"';
    expect((await post(`${start}${' '.repeat(1024 * 1024 - start.length - 1)}}`)).status).toBe(201);
  });

  it('takes the key as X-API-Key as well', async () => {
    const response = await api('/v1/contexts', {
      method: 'POST',
      json: { name: 'x' },
      headers: { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) },
    });
    expect(response.status).toBe(201);
  });

  it('is the first event of a history: who, what, and a hash that checks', async () => {
    const response = await post('{"name":"x","tools":["a"]}', { 'X-Request-Id': 'my-request-1' });
    const { id, createdAt }: ContextJson = await response.json();
    const events = await history(id);
    expect(events).toMatchObject([
      {
        stream: `context/${id}`,
        version: 1,
        type: 'context_created',
        schemaVersion: 1,
        time: createdAt,
        actor: BOOTSTRAP_ACTOR,
        correlationId: 'my-request-1',
        causationId: null,
        data: { name: 'x', description: '', owner: BOOTSTRAP_ACTOR, systems: [], tools: ['a'], metadata: {} },
      },
    ]);
    expect(events.every(isIntact)).toBe(true);
  });

  it('makes another context every time', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, async () => (await createContext()).id));
    expect(new Set(ids).size).toBe(20);
  });
});

function labels(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index).padStart(100, 'x'));
}

/** An object with `levels` objects inside each other. */
function nested(levels: number): object {
  return levels === 1 ? {} : { a: nested(levels - 1) };
}
