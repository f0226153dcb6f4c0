import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { expectJson } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { expectInvalid, expectProblem, historyText, objectOf, withNothingWritten } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

let ann: Person;
let vic: Person;
beforeAll(async () => {
  [ann, vic] = await Promise.all([person('Ann'), person('Vic')]);
});

interface NoteJson {
  id: string;
  text: string;
}

interface ContextJson {
  metadata: Record<string, unknown>;
  version: number;
}

const PRIVACY = [{ pointer: '/metadata/customer', subject: 'customer-42' }];

const note = async (who: Person, context: string, text: string) =>
  expectJson<NoteJson>(await who.post(`${context}/notes`, { text }), 201);

const notesOf = async (who: Person, context: string) =>
  (await expectJson<{ items: NoteJson[] }>(await who.call(`${context}/notes`), 200)).items.map(({ text }) => text);

const read = async (who: Person, path: string) => expectJson<ContextJson>(await who.call(path), 200);

/** The rows of D1 that are about something, as one text. */
async function rowsOf(table: string, column: string, value: string): Promise<string> {
  const { results } = await env.DB.prepare(`SELECT * FROM ${table} WHERE ${column} = ?`).bind(value).all();
  return JSON.stringify(results);
}

/** Rings the alarm of a context's object. */
const ring = (context: string) => runInDurableObject(objectOf(idOf(context)), (object) => object.alarm());

const put = (who: Person, path: string, json: object) => who.call(path, { method: 'PUT', json });
const asAdministrator = (path: string, method: string, json?: object) => api(path, { method, ...(json && { json }) });

describe('words in a context', () => {
  it('are read by its readers, and are in no event', async () => {
    const context = await contextOf(ann);
    await share(ann, context, vic, 'viewer');
    const made = await note(ann, context, 'Call me on 0171 555');
    expect(made.text).toBe('Call me on 0171 555');
    expect(await notesOf(vic, context)).toEqual(['Call me on 0171 555']);
    const events = await historyText(idOf(context));
    // With the space: four digits alone stand in many a random hash.
    expect(events).not.toContain('0171 555');
    expect(events).toContain(`"text":"sealed:v1:${ann.id}:`);
  });

  it('in the metadata are those that the rules name, whatever they are', async () => {
    const metadata = { customer: { name: 'Hedwig Zwick', phone: 5550199000111 }, kind: 'support' };
    const context = await contextOf(ann, { metadata, privacy: PRIVACY });
    expect((await read(ann, context)).metadata).toEqual(metadata);
    await expectJson(await ann.patch(context, { metadata: { customer: { phone: null, mail: 'h@example.org' } } }), 200);
    const after = { customer: { name: 'Hedwig Zwick', mail: 'h@example.org' }, kind: 'support' };
    expect((await read(ann, context)).metadata).toEqual(after);
    expect((await read(ann, `${context}?at=1`)).metadata).toEqual(metadata);
    const events = await historyText(idOf(context));
    expect(events).toContain('support');
    for (const word of ['Hedwig', '5550199000111', 'example.org']) expect(events).not.toContain(word);
    // What changes nothing still writes nothing.
    await withNothingWritten(idOf(context), () => ann.patch(context, { metadata: after }));
    await expectJson(await ann.patch(context, { metadata: { customer: null } }), 200);
    expect((await read(ann, context)).metadata).toEqual({ kind: 'support' });
  });

  it('are in lists and in no row of them', async () => {
    const context = await contextOf(ann, { name: 'Listed', metadata: { customer: 'Hedwig Zwick' }, privacy: PRIVACY });
    expect(await objectOf(idOf(context)).whenDelivered('d1', 1, 10_000)).toBe(true);
    expect(await rowsOf('contexts', 'id', idOf(context))).toContain('sealed:v1:customer-42');
    expect(await rowsOf('contexts', 'id', idOf(context))).not.toContain('Hedwig');
    const { items } = await expectJson<{ items: { id: string; metadata: object }[] }>(
      await ann.call('/v1/contexts/search?q=Listed'),
      200,
    );
    expect(items.find(({ id }) => id === idOf(context))?.metadata).toEqual({ customer: 'Hedwig Zwick' });
  });

  it('wait in a proposal, and come into the context with it', async () => {
    const metadata = { customer: { name: 'Hedwig', phone: 1 } };
    const context = await contextOf(ann, { metadata, privacy: PRIVACY });
    const bob = await person('Bob');
    await share(ann, context, bob);
    const change = { metadata: { customer: { phone: null, street: 'Lindenweg' } } };
    const { id } = await expectJson<{ id: string }>(
      await bob.post(`${context}/proposals`, { change, message: 'She moved house' }),
      201,
    );
    const proposal = await expectJson(await ann.call(`${context}/proposals/${id}`), 200);
    expect(proposal).toMatchObject({ change, message: 'She moved house' });
    await expectJson(await ann.post(`${context}/proposals/${id}/comments`, { text: 'Really?' }), 201);
    await expectJson(await ann.post(`${context}/proposals/${id}/approve`), 200);
    expect((await read(ann, context)).metadata).toEqual({ customer: { name: 'Hedwig', street: 'Lindenweg' } });
    const events = await historyText(idOf(context));
    for (const word of ['Hedwig', 'Lindenweg', 'moved house', 'Really?']) expect(events).not.toContain(word);
    // Back to the first version, by its own words.
    await expectJson(await ann.post(`${context}/revert`, { to: 1, onConflict: 'overwrite' }), 200);
    expect((await read(ann, context)).metadata).toEqual(metadata);
    expect(await historyText(idOf(context))).not.toContain('Hedwig');
  });

  it('that look like sealed ones are refused', async () => {
    const context = await contextOf(ann);
    const forged = `sealed:v1:${ann.id}:0123456789abcdef:${'A'.repeat(80)}`;
    await withNothingWritten(idOf(context), async () => {
      await expectProblem(await ann.post(`${context}/notes`, { text: forged }), 400, 'invalid');
      await expectProblem(await ann.patch(context, { metadata: { deep: [{ er: 'sealed:v1:' }] } }), 400, 'invalid');
      await expectProblem(await ann.patch(context, { name: 'sealed:v1:x' }), 400, 'invalid');
    });
    await note(ann, context, 'it said "sealed:v1:x" there');
    await expectJson(await ann.patch(context, { description: '… "sealed:v1:", and so on' }), 200);
  });
});

describe('an erasure in a context', () => {
  it('takes the words from state, past, lists and repeated answers, and leaves every event as it was', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig Zwick' }, privacy: PRIVACY });
    const key = { 'Idempotency-Key': 'the same' };
    const patch = () =>
      ann.call(context, { method: 'PATCH', json: { metadata: { customer: 'Hedwig Braun' } }, headers: key });
    expect(await (await patch()).text()).toContain('Hedwig Braun');
    await note(ann, context, 'She is fine');
    const before = await historyText(idOf(context));
    const erased = await expectJson(await ann.post(`${context}/erasures`, { subject: 'customer-42' }), 201);
    expect(erased).toMatchObject({ subject: 'customer-42', reason: 'requested' });
    const after = await historyText(idOf(context));
    expect(after.startsWith(before)).toBe(true);
    expect(after.slice(before.length)).toContain('"type":"subject_erased"');
    expect((await read(ann, context)).metadata).toEqual({ customer: '[erased]' });
    expect((await read(ann, `${context}?at=1`)).metadata).toEqual({ customer: '[erased]' });
    // Not even a hash of what was asked for is left, by which a guess could be checked.
    const fingerprints = await runInDurableObject(objectOf(idOf(context)), (_object, state) =>
      state.storage.sql.exec<{ fingerprint: string }>('SELECT DISTINCT fingerprint FROM answers').toArray(),
    );
    expect(fingerprints).toEqual([{ fingerprint: '0'.repeat(64) }]);
    const again = await patch();
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(await again.text()).toContain('"customer":"[erased]"');
    // Nobody else's are gone.
    expect(await notesOf(ann, context)).toEqual(['She is fine']);
    const { items: changes } = await expectJson<{ items: object[] }>(
      await ann.call(`${context}/history?pointer=/metadata/customer`),
      200,
    );
    // From one erased word to another is no change.
    expect(changes).toMatchObject([{ version: 1, to: '[erased]' }]);
    expect(JSON.stringify(changes)).not.toContain('Hedwig');
    const { erased: list, subjects } = await expectJson<{ erased: object[]; subjects: string[] }>(
      await ann.call(`${context}/privacy`),
      200,
    );
    expect(list).toMatchObject([{ subject: 'customer-42' }]);
    expect(subjects).toEqual([ann.id]);
  });

  it('is for good: no new words, not twice, not of nobody', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig' }, privacy: PRIVACY });
    await note(ann, context, 'mine');
    await expectJson(await ann.post(`${context}/erasures`, { subject: 'customer-42' }), 201);
    await withNothingWritten(idOf(context), async () => {
      const more = await ann.patch(context, { metadata: { customer: 'Hedwig again' } });
      await expectProblem(more, 409, 'subject-erased');
      await expectProblem(await ann.post(`${context}/erasures`, { subject: 'customer-42' }), 409, 'already-erased');
      await expectProblem(await ann.post(`${context}/erasures`, { subject: 'customer-43' }), 404, 'not-found');
      await expectProblem(await ann.post(`${context}/erasures`, { subject: vic.id }), 404, 'not-found');
      await expectInvalid(
        await ann.post(`${context}/erasures`, { subject: 'hedwig@example.org' }),
        '/subject',
        'must have letters, digits, "_", "-" and "." only',
      );
    });
    // What has nothing to do with them goes on.
    await expectJson(await ann.patch(context, { metadata: { other: 1 } }), 200);
    await expectJson(await ann.patch(context, { metadata: { customer: '[erased]' } }), 200);
    await expectJson(await ann.patch(context, { metadata: { customer: null } }), 200);
    await expectJson(await ann.post(`${context}/erasures`, { subject: ann.id }), 201);
    expect(await notesOf(ann, context)).toEqual(['[erased]']);
    await expectProblem(await ann.post(`${context}/notes`, { text: 'one more' }), 409, 'subject-erased');
  });

  it('does not happen under a legal hold, which only administrators place and lift', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig' }, privacy: PRIVACY });
    await share(ann, context, vic, 'viewer');
    await expectProblem(await put(ann, `${context}/legal-hold`, { reason: 'no' }), 403, 'insufficient-scope');
    const reason = 'Zwick against Hedwig';
    await expectJson(await asAdministrator(`${context}/legal-hold`, 'PUT', { reason }), 200);
    expect(await historyText(idOf(context))).not.toContain('Zwick against');
    const seen = await (await ann.call(`${context}/privacy`)).text();
    expect(seen).toContain('"legalHold":{"since":');
    expect(seen).not.toContain('Zwick against');
    expect(await (await asAdministrator(`${context}/privacy`, 'GET')).text()).toContain('Zwick against');
    await withNothingWritten(idOf(context), async () => {
      await expectProblem(await ann.post(`${context}/erasures`, { subject: 'customer-42' }), 409, 'legal-hold');
    });
    await expectProblem(await ann.remove(`${context}/legal-hold`), 403, 'insufficient-scope');
    await expectJson(await asAdministrator(`${context}/legal-hold`, 'DELETE'), 200);
    await expectProblem(await asAdministrator(`${context}/legal-hold`, 'DELETE'), 404, 'not-found');
    await expectJson(await ann.post(`${context}/erasures`, { subject: 'customer-42' }), 201);
  });

  it('is the owners’ to ask for, and so are rules and retention', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig' }, privacy: PRIVACY });
    const [editor, stranger] = await Promise.all([person('Editor'), person('Stranger')]);
    await share(ann, context, editor);
    const calls = (who: Person) => [
      who.post(`${context}/erasures`, { subject: 'customer-42' }),
      put(who, `${context}/privacy`, { rules: [] }),
      put(who, `${context}/retention`, { days: 1, after: 'change' }),
      who.call(`${context}/retention`, { method: 'DELETE' }),
      who.call(`${context}/privacy`),
    ];
    await withNothingWritten(idOf(context), async () => {
      for (const response of await Promise.all(calls(editor))) await expectProblem(response, 403, 'forbidden');
      for (const response of await Promise.all(calls(stranger))) await expectProblem(response, 404, 'not-found');
    });
  });
});

describe('rules', () => {
  it('must be pointers into the metadata, none inside of another, of people who can be', async () => {
    const context = await contextOf(ann);
    const set = (rules: object[]) => put(ann, `${context}/privacy`, { rules });
    const pointer = '/metadata/a';
    await expectInvalid(
      await set([{ pointer: '/name', subject: 'x' }]),
      '/rules/0/pointer',
      'must be a JSON Pointer to a value in the metadata: /metadata/…',
    );
    await expectInvalid(
      await set([
        { pointer, subject: 'x' },
        { pointer: `${pointer}/b`, subject: 'y' },
      ]),
      '/rules/1/pointer',
      'is inside of /metadata/a, or the other way round; name one of the two',
    );
    const nobody = `act_${'0'.repeat(25)}1`;
    await expectInvalid(
      await set([{ pointer, subject: nobody }]),
      '/rules/0/subject',
      'must be the id of an actor when it begins with act_',
    );
    await expectJson(await set([{ pointer, subject: vic.id }]), 200);
    await expectJson(await ann.patch(context, { metadata: { a: 'about Vic' } }), 200);
    expect(await historyText(idOf(context))).toContain(`sealed:v1:${vic.id}:`);
  });
});

describe('rules that come later', () => {
  it('seal what is there from then on, so that it can be erased; a pointer does not lead into an array', async () => {
    const metadata = { customer: { name: 'Hedwig' }, list: ['Hedwig'] };
    const context = await contextOf(ann, { metadata });
    const rules = [
      { pointer: '/metadata/customer/name', subject: 'customer-42' },
      { pointer: '/metadata/list/0', subject: 'customer-42' },
    ];
    await expectJson(await put(ann, `${context}/privacy`, { rules }), 200);
    expect((await read(ann, context)).metadata).toEqual(metadata);
    const sealed = await read(ann, `${context}?form=sealed`);
    expect(sealed.metadata).toEqual({
      customer: { name: expect.stringMatching(/^sealed:v1:customer-42:/) },
      list: ['Hedwig'],
    });
    await expectJson(await ann.post(`${context}/erasures`, { subject: 'customer-42' }), 201);
    expect((await read(ann, context)).metadata).toEqual({ customer: { name: '[erased]' }, list: ['Hedwig'] });
  });
});

describe('retention', () => {
  it('erases all words when their time is up, not under a legal hold, and takes new ones afterwards', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig' }, privacy: PRIVACY });
    await note(ann, context, 'a note');
    await expectJson(await put(ann, `${context}/retention`, { days: 30, after: 'change' }), 200);
    await expectJson(await asAdministrator(`${context}/legal-hold`, 'PUT', { reason: 'wait' }), 200);
    const now = Date.now();
    vi.useFakeTimers({ now: now + 31 * 86_400_000, toFake: ['Date'] });
    try {
      await ring(context);
      expect(await notesOf(ann, context)).toEqual(['a note']);
      await expectJson(await asAdministrator(`${context}/legal-hold`, 'DELETE'), 200);
      vi.setSystemTime(now + 62 * 86_400_000);
      await ring(context);
      expect(await notesOf(ann, context)).toEqual(['[erased]']);
      expect((await read(ann, context)).metadata).toEqual({ customer: '[erased]' });
      await note(ann, context, 'a new one');
      expect(await notesOf(ann, context)).toEqual(['[erased]', 'a new one']);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('the erasure of an actor', () => {
  it('takes their words from all contexts and their name from everywhere, for good', async () => {
    const hedwig = await person('Hedwig Zwick');
    const contexts = [await contextOf(ann, { name: 'One' }), await contextOf(ann, { name: 'Two' })];
    for (const context of contexts) {
      await share(ann, context, hedwig);
      await note(hedwig, context, 'I was here');
    }
    await vi.waitFor(async () => expect(await rowsOf('actors', 'id', hedwig.id)).toContain('Hedwig'));
    await expectProblem(await ann.post('/v1/erasures', { subject: hedwig.id }), 403, 'forbidden');
    const record = await expectJson(await hedwig.post('/v1/erasures', { subject: hedwig.id }), 201);
    expect(record).toMatchObject({ subject: hedwig.id, streams: { holds: 0, erased: 2, held: 0 } });
    for (const context of contexts) {
      expect(await notesOf(ann, context)).toEqual(['[erased]']);
      expect(await historyText(idOf(context))).toContain('"reason":"everywhere"');
    }
    await vi.waitFor(async () => expect(await rowsOf('actors', 'id', hedwig.id)).not.toMatch(/hedwig/i));
    expect((await hedwig.call('/v1/contexts')).status).toBe(401);
    expect(await expectJson(await asAdministrator(`/v1/erasures/${hedwig.id}`, 'GET'), 200)).toEqual(record);
    await expectProblem(await asAdministrator('/v1/erasures', 'POST', { subject: hedwig.id }), 409, 'already-erased');
    const rule = [{ pointer: '/metadata/a', subject: hedwig.id }];
    await expectProblem(await put(ann, `${await contextOf(ann)}/privacy`, { rules: rule }), 409, 'subject-erased');
  });

  it('is refused under a legal hold, which is named to those who may know of it', async () => {
    const hedwig = await person('Hedwig');
    const [seen, unseen] = [await contextOf(ann), await contextOf(ann)];
    for (const context of [seen, unseen]) {
      await share(ann, context, hedwig);
      await note(hedwig, context, 'I was here');
      await expectJson(await asAdministrator(`${context}/legal-hold`, 'PUT', { reason: 'a case' }), 200);
    }
    await ann.remove(`${unseen}/members/${hedwig.id}`);
    const { detail } = await expectProblem(
      await hedwig.post('/v1/erasures', { subject: hedwig.id }),
      409,
      'legal-hold',
    );
    expect(detail).toContain(idOf(seen));
    expect(detail).toContain('1 that you may not see');
    expect(detail).not.toContain(idOf(unseen));
    expect(await notesOf(ann, seen)).toEqual(['I was here']);
    for (const context of [seen, unseen]) {
      await expectJson(await asAdministrator(`${context}/legal-hold`, 'DELETE'), 200);
    }
    await expectJson(await hedwig.post('/v1/erasures', { subject: hedwig.id }), 201);
    expect(await notesOf(ann, seen)).toEqual(['[erased]']);
  });

  it('is of nobody (404), and not of the first administrator', async () => {
    await expectProblem(await asAdministrator('/v1/erasures', 'POST', { subject: 'customer-42' }), 404, 'not-found');
    const first = 'act_00000000000000000000000000';
    await expectProblem(await asAdministrator('/v1/erasures', 'POST', { subject: first }), 409, 'conflict');
    await expectProblem(await asAdministrator(`/v1/erasures/${ann.id}`, 'GET'), 404, 'not-found');
  });
});

describe('the keys', () => {
  /** The rows of keys in the database of a context's object. */
  const rowsIn = (context: string) =>
    runInDurableObject(objectOf(idOf(context)), (_object, state) =>
      state.storage.sql
        .exec<{ wrapped: string; status: string }>("SELECT wrapped, status FROM personal_keys WHERE subject <> ''")
        .toArray(),
    );

  it('are stored encrypted, and overwritten when they are destroyed', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig' }, privacy: PRIVACY });
    const [kept] = await rowsIn(context);
    expect(kept).toMatchObject({ status: 'kept', wrapped: expect.stringMatching(/^w1\.[0-9a-f]{16}\./) });
    await expectJson(await ann.post(`${context}/erasures`, { subject: 'customer-42' }), 201);
    const [gone] = await rowsIn(context);
    expect(gone).toEqual({ status: 'gone', wrapped: '0'.repeat(kept?.wrapped.length ?? 0) });
  });

  it('that cannot be opened leave their words sealed, and others are taken under a new one', async () => {
    const context = await contextOf(ann);
    await note(ann, context, 'before');
    await runInDurableObject(objectOf(idOf(context)), (_object, state) => {
      state.storage.sql.exec("UPDATE personal_keys SET wrapped = replace(wrapped, 'w1.', 'w1.0')");
    });
    await evictDurableObject(objectOf(idOf(context)));
    expect(await notesOf(ann, context)).toEqual(['[sealed]']);
    await note(ann, context, 'after');
    await evictDurableObject(objectOf(idOf(context)));
    expect(await notesOf(ann, context)).toEqual(['[sealed]', 'after']);
    await expectJson(await ann.post(`${context}/erasures`, { subject: ann.id }), 201);
    await evictDurableObject(objectOf(idOf(context)));
    expect(await notesOf(ann, context)).toEqual(['[erased]', '[erased]']);
    await expectProblem(await ann.post(`${context}/notes`, { text: 'more' }), 409, 'subject-erased');
  });
});
