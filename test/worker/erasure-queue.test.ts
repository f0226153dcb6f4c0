import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect, it } from 'vitest';
import { DEAD_LETTER_PREFIX } from '../../events/dead-letter.ts';
import { derivedId } from '../../events/id.ts';
import { messageSchema } from '../../src/delivery/cloud-event.ts';
import { queueSink } from '../../src/delivery/sinks.ts';
import { expectJson } from '../support/actors.ts';
import { consumeDead, FakeQueue, surrounded } from '../support/delivery.ts';
import { configured, history, objectOf } from '../support/rest.ts';
import { contextState } from '../support/search.ts';
import { contextOf, idOf, person } from '../support/sharing.ts';

/** What the events of a context are as messages. */
async function messagesOf(context: string): Promise<unknown[]> {
  const queue = new FakeQueue();
  const events = await history(idOf(context));
  await queueSink(surrounded({ CONTEXT_OPS_QUEUE: queue }).CONTEXT_OPS_QUEUE).deliver({
    stream: `context/${idOf(context)}`,
    state: contextState(events.length, { id: idOf(context) }),
    version: events.length,
    destinations: ['chronicle', 'dna'],
    generation: 0,
    eventsBefore: () => [],
    events: () => events.map((event) => ({ version: event.version, text: JSON.stringify(event) })),
  });
  return queue.sent;
}

it('a message that was sent or given up before an erasure is as it was, and nobody reads the words in it', async () => {
  const [ann, administrator] = [await person('Ann'), { Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}` }];
  const privacy = [{ pointer: '/metadata/customer', subject: 'customer-42' }];
  const context = await contextOf(ann, { metadata: { customer: 'Hedwig Zwick' }, privacy });
  await expectJson(await ann.post(`${context}/notes`, { text: 'Call her on 0171 555' }), 201);
  // Longer than what random ids, hashes and encrypted bytes hold by chance.
  const words = /Hedwig|Zwick|0171 555/;
  const sent = await messagesOf(context);
  const [message] = sent.map((body) => messageSchema.parse(body));
  expect(message?.map(({ type }) => type)).toEqual(
    ['context_created', 'note_added'].map((type) => expect.stringContaining(type)),
  );
  expect(JSON.stringify(sent)).toContain('"sealed:v1:customer-42:');
  expect(JSON.stringify(sent)).not.toMatch(words);

  await consumeDead(env, { 'before-erasure': message });
  const id = derivedId(DEAD_LETTER_PREFIX, 'before-erasure');
  const queue = new FakeQueue();
  const { CONTEXT_OPS_QUEUE } = surrounded({ CONTEXT_OPS_QUEUE: queue });
  const letter = async (rest = '', method = 'GET') => {
    const path = `/v1/admin/dead-letters/${id}${rest}`;
    return expectJson(await configured({ CONTEXT_OPS_QUEUE }, path, { method, headers: administrator }), 200);
  };
  const looked = async () => {
    const shown = await letter();
    expect(shown).toMatchObject({ body: message });
    expect(JSON.stringify(shown)).not.toMatch(words);
  };
  await looked();
  await expectJson(await ann.post(`${context}/erasures`, { subject: 'customer-42' }), 201);
  await expectJson(await ann.post(`${context}/erasures`, { subject: ann.id }), 201);
  await looked();
  await letter('/replay', 'POST');
  expect(queue.sent).toEqual([message]);

  const kept = (object: DurableObjectStub) =>
    runInDurableObject(object, (_object, { storage }) =>
      JSON.stringify(storage.sql.exec('SELECT * FROM events').toArray()),
    );
  const stored = await kept(env.DEAD_LETTERS.get(env.DEAD_LETTERS.idFromName(id)));
  expect(stored).toContain('sealed:v1:customer-42:');
  expect(stored).not.toMatch(words);
  // The key of those words is destroyed.
  const keys = await runInDurableObject(objectOf(idOf(context)), (_object, { storage }) =>
    storage.sql.exec("SELECT DISTINCT status FROM personal_keys WHERE subject <> ''").toArray(),
  );
  expect(keys).toEqual([{ status: 'gone' }]);
});
