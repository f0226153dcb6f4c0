import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { expectJson } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { expectProblem, objectOf } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

const CAUSE = { correlationId: 'r', causationId: 'c', commandId: 'c' };

let ann: Person;
beforeAll(async () => {
  ann = await person('Ann');
});

const actorObject = (id: string) => env.ACTORS.get(env.ACTORS.idFromName(id));
const eraseAll = (subject: string) => api('/v1/erasures', { method: 'POST', json: { subject } });
const notesOf = async (context: string) => (await ann.call(`${context}/notes`)).text();

/** How many streams an actor knows of that hold words of theirs. */
const holders = (id: string) =>
  runInDurableObject(actorObject(id), (_object, { storage }) => {
    const [table] = storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'word_holders'").toArray();
    return table ? storage.sql.exec('SELECT 1 FROM word_holders').toArray().length : 0;
  });

describe('somebody who is erased while a context is created that names them', () => {
  it('is not named by it: the creation is refused', async () => {
    const [bob, cid] = await Promise.all([person('Bob'), person('Cid')]);
    let isWaiting = false;
    let isDone = false;
    // Who is asked second does not answer yet.
    const waiting = runInDurableObject(actorObject(cid.id), (_object, state) =>
      state.blockConcurrencyWhile(async () => {
        isWaiting = true;
        while (!isDone) await new Promise((resolve) => setTimeout(resolve, 5));
      }),
    );
    await vi.waitFor(() => expect(isWaiting).toBe(true));
    const privacy = [
      { pointer: '/metadata/bob', subject: bob.id },
      { pointer: '/metadata/cid', subject: cid.id },
    ];
    const metadata = { bob: 'of Bob', cid: 'of Cid' };
    const creating = ann.post('/v1/contexts', { name: 'Of two', metadata, privacy });
    await vi.waitFor(async () => expect(await holders(bob.id)).toBe(1));
    const record = await expectJson(await eraseAll(bob.id), 201);
    expect(record).toMatchObject({ streams: { holds: 0, erased: 1, held: 0 } });
    isDone = true;
    await waiting;
    await expectProblem(await creating, 409, 'subject-erased');
    await expectProblem(await ann.post('/v1/contexts', { name: 'Of two', metadata, privacy }), 409, 'subject-erased');
  });
});

describe('somebody whose words were in a request that was refused', () => {
  const forged = 'sealed:v1:x';

  it('and who is erased then is not named by the context when it is created after all', async () => {
    const bob = await person('Bob');
    const fields = { metadata: { bob: 'of Bob' }, privacy: [{ pointer: '/metadata/bob', subject: bob.id }] };
    const key = { 'Idempotency-Key': 'of Bob' };
    await expectProblem(await ann.post('/v1/contexts', { ...fields, name: forged }, key), 400, 'invalid');
    expect(await holders(bob.id)).toBe(1);
    await expectJson(await eraseAll(bob.id), 201);
    // The key leads to the same object.
    await expectProblem(await ann.post('/v1/contexts', { ...fields, name: 'Named' }, key), 409, 'subject-erased');
  });

  it('has no words there that could be erased, and none are taken when they are erased then', async () => {
    const bob = await person('Bob');
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const rule = { pointer: '/metadata/bob', subject: bob.id };
    await expectJson(await ann.call(`${context}/privacy`, { method: 'PUT', json: { rules: [rule] } }), 200);
    const patch = { name: forged, metadata: { bob: 'of Bob' } };
    await expectProblem(await ann.patch(context, patch), 400, 'invalid');
    await expectProblem(await ann.post(`${context}/erasures`, { subject: bob.id }), 404, 'not-found');
    await expectJson(await eraseAll(bob.id), 201);
    await expectProblem(await ann.patch(context, { metadata: { bob: 'of Bob' } }), 409, 'subject-erased');
  });
});

describe('a context whose state cannot be told', () => {
  beforeEach(() => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('may be under a legal hold: nothing is erased until it can be told', { timeout: 180_000 }, async () => {
    const bob = await person('Bob');
    const context = await contextOf(ann);
    await share(ann, context, bob);
    await expectJson(await bob.post(`${context}/notes`, { text: 'of Bob' }), 201);
    await expectJson(await api(`${context}/legal-hold`, { method: 'PUT', json: { reason: 'a case' } }), 200);
    const id = idOf(context);
    for (let index = 0; index < 400; index++) {
      const command = { type: 'update' as const, data: { name: `Name ${index}` } };
      await objectOf(id).execute({ id, command, principal: ADMINISTRATOR, cause: CAUSE });
    }
    await expect.poll(() => objectOf(id).flushOutbox(), { timeout: 60_000, interval: 500 }).toBe(true);
    await expectJson(await api(`/v1/admin/streams/context/${id}/archive`, { method: 'POST' }), 200);
    const bucket = env.COLD_HISTORY;
    const [file] = (await bucket?.list({ prefix: `context/${id}/` }))?.objects ?? [];
    const bytes = await (await bucket?.get(file?.key ?? ''))?.arrayBuffer();
    if (!bucket || !file || !bytes) throw new Error('nothing was moved out of the object');
    await bucket.delete(file.key);
    // As after a new form of the state: it has to be made from all events again.
    await runInDurableObject(objectOf(id), (_object, { storage }) => {
      storage.sql.exec('UPDATE snapshots SET state_schema = 1');
    });
    await evictDurableObject(objectOf(id));

    await expectProblem(await eraseAll(bob.id), 503, 'history-unavailable');
    await runInDurableObject(objectOf(id), async (object) => {
      await expect(object.eraseWords(bob.id, CAUSE)).rejects.toThrow('cannot be read');
    });

    await bucket.put(file.key, bytes);
    await evictDurableObject(objectOf(id));
    expect(await notesOf(context)).toContain('of Bob');
    await expectProblem(await eraseAll(bob.id), 409, 'legal-hold');
    await expectJson(await api(`${context}/legal-hold`, { method: 'DELETE' }), 200);
    await expectJson(await eraseAll(bob.id), 201);
    expect(await notesOf(context)).toContain('[erased]');
  });
});

describe('a key that is limited to some contexts', () => {
  it('does not erase its actor, who has words elsewhere', async () => {
    const bob = await person('Bob');
    const [one, other] = [await contextOf(bob), await contextOf(bob)];
    await expectJson(await bob.post(`${other}/notes`, { text: 'elsewhere' }), 201);
    const { key } = await expectJson<{ key: string }>(
      await bob.post(`/v1/actors/${bob.id}/keys`, {
        name: 'limited',
        scopes: ['contexts:read', 'contexts:write', 'actors:read', 'actors:write'],
        contexts: [idOf(one)],
      }),
      201,
    );
    const limited = { method: 'POST', json: { subject: bob.id }, headers: { 'X-API-Key': key } };
    await expectProblem(await api('/v1/erasures', limited), 403, 'forbidden');
    expect(await (await bob.call(`${other}/notes`)).text()).toContain('elsewhere');
  });
});
