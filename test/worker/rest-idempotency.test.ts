import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { as, keyHolder } from '../support/actors.ts';
import { api, type ContextJson, createContext } from '../support/api.ts';
import { delegate } from '../support/delegations.ts';
import {
  derivedId,
  expectInvalid,
  expectProblem,
  history,
  objectOf,
  patch,
  post,
  read,
  remove,
  restore,
  withNothingCreated,
  withNothingWritten,
} from '../support/rest.ts';

const key = (value: string) => ({ 'Idempotency-Key': value });

/** The body of a response, its ETag and whether it was given before. */
async function answerOf(response: Response) {
  const { status, headers } = response;
  return {
    status,
    etag: headers.get('ETag'),
    replayed: headers.get('Idempotent-Replayed'),
    body: await response.text(),
  };
}

describe('a creation with an Idempotency-Key', () => {
  it('makes one context, however often it is sent', async () => {
    const send = () => post('{"name":"Once"}', key('create-1'));
    const first = await send();
    const location = first.headers.get('Location');
    const original = await answerOf(first);
    expect(original).toMatchObject({ status: 201, etag: '"1"', replayed: null });
    for (let round = 0; round < 3; round++) {
      const again = await withNothingCreated(send);
      expect(again.headers.get('Location')).toBe(location);
      expect(await answerOf(again)).toEqual({ ...original, replayed: 'true' });
    }
  });

  it('makes one context when it is sent twenty times at once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => post('{"name":"x"}', key('create-at-once'))));
    const bodies = await Promise.all(answers.map((answer) => answer.text()));
    expect(new Set(bodies).size).toBe(1);
    expect(answers.filter((answer) => answer.headers.get('Idempotent-Replayed') === null)).toHaveLength(1);
  });

  it('gives the first answer again after the context was changed, deleted and evicted', async () => {
    const original = await answerOf(await post('{"name":"Once"}', key('create-2')));
    const { id }: ContextJson = JSON.parse(original.body);
    await patch(id, { name: 'Changed' });
    await remove(id);
    await evictDurableObject(objectOf(id));
    const again = await withNothingWritten(id, () => post('{"name":"Once"}', key('create-2')));
    expect(await answerOf(again)).toEqual({ ...original, replayed: 'true' });
    await expectProblem(await read(id), 410, 'gone');
  });

  it('holds for ever: the alarm that prunes old answers leaves it', async () => {
    const created: ContextJson = await (await post('{"name":"x"}', key('create-forever'))).json();
    await runDurableObjectAlarm(objectOf(created.id));
    const again = await post('{"name":"x"}', key('create-forever'));
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
  });

  it('is the same creation however the body is written', async () => {
    await post('{"name":"x","tools":["a"]}', key('create-format'));
    const again = await post(' { "tools" : [ " a " ] , "name":"\\u0078", "metadata": {} } ', key('create-format'));
    expect(await answerOf(again)).toMatchObject({ status: 201, replayed: 'true' });
  });

  it('with another body is 422 and changes nothing', async () => {
    const { id }: ContextJson = await (await post('{"name":"x"}', key('create-3'))).json();
    const response = await withNothingWritten(id, () => post('{"name":"y"}', key('create-3')));
    const { detail } = await expectProblem(response, 422, 'idempotency-key-reused');
    expect(detail).toContain('Use a new key');
    expect(await (await read(id)).json()).toMatchObject({ name: 'x' });
  });

  it('that was refused can be mended and sent again with the same key', async () => {
    await expectProblem(await post('{"name":""}', key('create-mended')), 400, 'invalid');
    expect((await post('{"name":"x"}', key('create-mended'))).status).toBe(201);
  });

  it('belongs to its caller: others may choose the same, also those who act in one subject’s name', async () => {
    const [ann, ben, cem] = await Promise.all([keyHolder(), keyHolder(), keyHolder()]);
    const scopes = ['contexts:read', 'contexts:write'];
    const toBen = await delegate(ann.key, ben.id, scopes);
    const toCem = await delegate(ann.key, cem.id, scopes);
    const init = { method: 'POST', json: { name: 'x' }, headers: key('create-shared') };
    const ids = new Set<string>();
    for (const credential of [toBen.token, toCem.token, ann.key, ben.key]) {
      const created = await answerOf(await as(credential, '/v1/contexts', init));
      expect(created).toMatchObject({ status: 201, replayed: null });
      const again = await answerOf(await as(credential, '/v1/contexts', init));
      expect(again).toEqual({ ...created, replayed: 'true' });
      const { id }: ContextJson = JSON.parse(created.body);
      ids.add(id);
    }
    expect(ids.size).toBe(4);
  });

  it('belongs to one key: letter case and spaces inside count', async () => {
    const ids = new Set<string>();
    for (const value of ['k', 'K', 'k k', 'k  k', '"k"']) {
      const { id }: ContextJson = await (await post('{"name":"x"}', key(value))).json();
      ids.add(id);
    }
    expect(ids.size).toBe(5);
  });
});

describe('a change with an Idempotency-Key', () => {
  it('is made once and answered the same, also after later changes and an eviction', async () => {
    const { id } = await createContext({ name: 'One' });
    const original = await answerOf(await patch(id, { name: 'Two' }, key('k')));
    await patch(id, { name: 'Three' });
    await evictDurableObject(objectOf(id));
    const again = await withNothingWritten(id, () => patch(id, { name: 'Two' }, key('k')));
    expect(await answerOf(again)).toEqual({ ...original, etag: '"2"', replayed: 'true' });
    expect(await (await read(id)).json()).toMatchObject({ name: 'Three', version: 3 });
  });

  it('is made once when it is sent twenty times at once', async () => {
    const { id } = await createContext();
    const send = () => patch(id, { name: 'Two' }, key('at-once'));
    const answers = await Promise.all(Array.from({ length: 20 }, send));
    expect(answers.every((answer) => answer.headers.get('ETag') === '"2"')).toBe(true);
    expect(await history(id)).toHaveLength(2);
  });

  it('that changed nothing gives the same answer when it would change something now', async () => {
    const { id } = await createContext({ name: 'Same' });
    const first = await answerOf(await patch(id, { name: 'Same' }, key('nothing')));
    expect(first).toMatchObject({ status: 200, etag: '"1"', replayed: null });
    await patch(id, { name: 'Other' });
    await evictDurableObject(objectOf(id));
    const again = await withNothingWritten(id, () => patch(id, { name: 'Same' }, key('nothing')));
    expect(await answerOf(again)).toEqual({ ...first, replayed: 'true' });
  });

  it('with another body is 422 with the current ETag, also after an eviction, and writes nothing', async () => {
    const { id } = await createContext();
    await patch(id, { name: 'Two' }, key('k'));
    await evictDurableObject(objectOf(id));
    const response = await withNothingWritten(id, () => patch(id, { name: 'Three' }, key('k')));
    expect(response.headers.get('ETag')).toBe('"2"');
    await expectProblem(response, 422, 'idempotency-key-reused');
  });

  it('with another method is 422 and writes nothing', async () => {
    const { id } = await createContext();
    await patch(id, { name: 'Two' }, key('k'));
    await expectProblem(await withNothingWritten(id, () => remove(id, key('k'))), 422, 'idempotency-key-reused');
    await expectProblem(await withNothingWritten(id, () => restore(id, key('k'))), 422, 'idempotency-key-reused');
  });

  it('cannot be taken for the creation of the context that had the same key', async () => {
    const { id }: ContextJson = await (await post('{"name":"x"}', key('both'))).json();
    const response = await withNothingWritten(id, () => patch(id, { name: 'x' }, key('both')));
    await expectProblem(response, 422, 'idempotency-key-reused');
  });

  it('is another one on another context', async () => {
    const [a, b] = [await createContext(), await createContext()];
    expect((await patch(a.id, { name: 'Two' }, key('shared'))).headers.get('Idempotent-Replayed')).toBeNull();
    expect((await patch(b.id, { name: 'Three' }, key('shared'))).headers.get('Idempotent-Replayed')).toBeNull();
  });

  it('deletes and restores once', async () => {
    const { id } = await createContext();
    for (const replayed of [null, 'true']) {
      expect(await answerOf(await remove(id, key('d')))).toEqual({ status: 204, etag: '"2"', replayed, body: '' });
    }
    for (const replayed of [null, 'true']) {
      expect(await answerOf(await restore(id, key('r')))).toMatchObject({ status: 200, etag: '"3"', replayed });
    }
    // The key of the first deletion still gives its answer and does not delete again.
    expect((await remove(id, key('d'))).headers.get('Idempotent-Replayed')).toBe('true');
    expect((await read(id)).status).toBe(200);
  });

  it('gives its answer again although the version in If-Match has passed', async () => {
    const { id } = await createContext();
    const send = () => patch(id, { name: 'Two' }, { ...key('k'), 'If-Match': '"1"' });
    await send();
    expect(await answerOf(await send())).toMatchObject({ status: 200, etag: '"2"', replayed: 'true' });
  });

  it('that was refused is decided anew', async () => {
    const { id } = await createContext();
    await expectProblem(await patch(id, { name: 'Two' }, { ...key('k'), 'If-Match': '"9"' }), 412, 'version-mismatch');
    await remove(id);
    await expectProblem(await patch(id, { name: 'Two' }, key('k')), 409, 'deleted');
    await restore(id);
    expect(await answerOf(await patch(id, { name: 'Two' }, key('k')))).toMatchObject({ status: 200, replayed: null });
  });

  it('is remembered for a day at least', async () => {
    const { id } = await createContext();
    const before = Date.now();
    await patch(id, { name: 'Two' }, key('day'));
    const expiresAt = await runInDurableObject(
      objectOf(id),
      (_object, { storage }) => storage.sql.exec('SELECT min(expires_at) AS at FROM answers').one().at,
    );
    expect(expiresAt).toBeGreaterThanOrEqual(before + 24 * 60 * 60 * 1000);
  });

  it('of a context that is not there is 404 and remembers nothing', async () => {
    const id = derivedId('ctx', 'idempotency');
    for (let round = 0; round < 2; round++) {
      await expectProblem(await patch(id, { name: 'x' }, key('k')), 404, 'not-found');
    }
  });
});

describe('an Idempotency-Key', () => {
  const MESSAGE = 'must have 1 to 255 characters';

  it.each([
    ['empty', ''],
    ['only spaces', '   '],
    ['256 characters long', 'k'.repeat(256)],
  ])('that is %s is 400 on every change, and writes nothing', async (_what, value) => {
    const { id } = await createContext();
    const requests = [
      () => patch(id, { name: 'New' }, key(value)),
      () => remove(id, key(value)),
      () => restore(id, key(value)),
      () => post('{"name":"x"}', key(value)),
    ];
    for (const send of requests) {
      const response = await withNothingCreated(() => withNothingWritten(id, send));
      await expectInvalid(response, 'Idempotency-Key', MESSAGE);
    }
  });

  it('may have 255 characters, also odd ones', async () => {
    const { id } = await createContext();
    for (const value of ['k'.repeat(255), `"';--\\{}%00 ../`, '__proto__', '0']) {
      expect((await patch(id, { metadata: { [`m${value.length}`]: 1 } }, key(value))).status).toBe(200);
      expect(
        (await patch(id, { metadata: { [`m${value.length}`]: 1 } }, key(value))).headers.get('Idempotent-Replayed'),
      ).toBe('true');
    }
  });

  it('does nothing to a read', async () => {
    const { id } = await createContext();
    const response = await api(`/v1/contexts/${id}`, { headers: key('k'.repeat(9999)) });
    expect(response.status).toBe(200);
  });
});
