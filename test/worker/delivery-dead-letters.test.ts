import { createMessageBatch, evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { isRefusal } from '../../actors/decider.ts';
import { DEAD_LETTER_PREFIX } from '../../events/dead-letter.ts';
import { derivedId } from '../../events/id.ts';
import { BOOTSTRAP_ACTOR } from '../../src/auth/bootstrap-actor.ts';
import { consumeDeadLetters } from '../../src/delivery/dead-letters.ts';
import {
  consume,
  consumeDead,
  events,
  FakeChittyOs,
  FakeContexts,
  FakeQueue,
  refuse,
  surrounded,
} from '../support/delivery.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { configured, expectInvalid, expectProblem } from '../support/rest.ts';

const LETTERS = '/v1/admin/dead-letters';
const letter = z.looseObject({ id: z.string(), status: z.string(), replays: z.int(), body: z.json() });
const page = z.strictObject({ items: z.array(letter), nextCursor: z.string().nullable() });

let queue: FakeQueue;

beforeEach(() => {
  // A second later than the test before: letters are listed by the time they came.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_000 });
  queue = new FakeQueue();
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** A request as the first administrator, to a Worker whose queue is the test's own. */
function admin(path: string, method = 'GET', headers: Record<string, string> = {}): Promise<Response> {
  const { CONTEXT_OPS_QUEUE } = surrounded({ CONTEXT_OPS_QUEUE: queue });
  const authorization = { Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}` };
  return configured({ CONTEXT_OPS_QUEUE }, path, { method, headers: { ...authorization, ...headers } });
}

const idOf = (messageId: string) => derivedId(DEAD_LETTER_PREFIX, messageId);
const objectOf = (messageId: string) => env.DEAD_LETTERS.get(env.DEAD_LETTERS.idFromName(idOf(messageId)));

async function historyOf(messageId: string): Promise<{ type: string; actor: string }[]> {
  const history = await objectOf(messageId).history(ADMINISTRATOR, 0, 100);
  if (isRefusal(history)) throw new Error(history.detail);
  const schema = z.object({ type: z.string(), actor: z.string() });
  return history.events.map((text) => schema.parse(JSON.parse(text)));
}

async function list(query = ''): Promise<z.infer<typeof page>> {
  const response = await admin(LETTERS + query);
  expect(response.status).toBe(200);
  return page.parse(await response.json());
}

const body = events('a', 1, ['context_created']);

describe('a message that the queue gave up', () => {
  it('is one dead letter however often it is handed over', async () => {
    expect(await consumeDead(env, { once: body })).toEqual({ acked: ['once'], retried: [] });
    expect(await consumeDead(env, { once: body })).toEqual({ acked: ['once'], retried: [] });
    await evictDurableObject(objectOf('once'));
    await consumeDead(env, { once: body });
    expect((await historyOf('once')).map(({ type }) => type)).toEqual(['dead_letter_received']);
    const response = await admin(`${LETTERS}/${idOf('once')}`);
    expect(await response.json()).toMatchObject({
      id: idOf('once'),
      status: 'waiting',
      messageId: 'once',
      queue: 'chittyconnect-context-ops-dlq',
      subject: 'a',
      body,
    });
  });

  it('is kept as it is also when it is none of ours', async () => {
    await consumeDead(env, { odd: { hello: 'world' }, text: 'just a text', nothing: null });
    const bodies = await Promise.all(
      ['odd', 'text', 'nothing'].map(async (name) =>
        letter.extend({ subject: z.null() }).parse(await (await admin(`${LETTERS}/${idOf(name)}`)).json()),
      ),
    );
    expect(bodies.map((each) => each.body)).toEqual([{ hello: 'world' }, 'just a text', null]);
  });

  it('is kept byte for byte, or in words, when it is not JSON, and says so', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    await consumeDead(env, { buffer: bytes.buffer, part: bytes.subarray(250), map: new Map() });
    const bodies = await Promise.all(
      ['buffer', 'part', 'map'].map(async (name) =>
        letter.parse(await (await admin(`${LETTERS}/${idOf(name)}`)).json()),
      ),
    );
    expect(bodies.map((each) => each.body)).toEqual([
      { contentType: 'bytes', base64: btoa(String.fromCharCode(...bytes)) },
      { contentType: 'bytes', base64: '+vv8/f7/' },
      { contentType: 'v8', text: '[object Map]' },
    ]);
  });

  it.each([
    ['its object fails', {}],
    ['its object refuses it', { execute: async () => ({ refused: 'unreadable', detail: 'It is not there.' }) }],
  ])('goes back to its queue when %s', async (_why, object) => {
    const broken = surrounded({ DEAD_LETTERS: { idFromName: (name: string) => name, get: () => object } });
    expect(await consumeDead(broken, { unkept: body })).toEqual({ acked: [], retried: ['unkept'] });
  });

  it('waits longer after each try, up to an hour, for three days in all', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const broken = surrounded({ DEAD_LETTERS: { idFromName: (name: string) => name, get: () => ({}) } });
    const { metadata } = createMessageBatch('dlq', []);
    const delays: number[] = [];
    const retry = (options?: QueueRetryOptions) => delays.push(options?.delaySeconds ?? 0);
    const doNothing = () => undefined;
    for (let attempts = 1; attempts <= 100; attempts++) {
      const message = { id: 'unkept', timestamp: new Date(), attempts, body, ack: doNothing, retry };
      const batch = { queue: 'dlq', metadata, messages: [message], ackAll: doNothing, retryAll: doNothing };
      await consumeDeadLetters(batch, broken);
    }
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
    expect([delays[0], delays.at(-1)]).toEqual([8, 2_700]);
    const total = delays.reduce((sum, delay) => sum + delay, 0);
    expect(total).toBeGreaterThan(2 * 24 * 3_600);
    expect(total).toBeLessThan(4 * 24 * 3_600);
  });
});

describe('an administrator', () => {
  it('replays a letter as often as need be, and it is on record who did', async () => {
    await consumeDead(env, { replayed: body });
    for (const replays of [1, 2]) {
      const response = await admin(`${LETTERS}/${idOf('replayed')}/replay`, 'POST');
      expect(await response.json()).toMatchObject({ status: 'replayed', replays });
    }
    expect(queue.sent).toEqual([body, body]);
    expect((await historyOf('replayed')).slice(1)).toEqual(
      Array(2).fill({ type: 'dead_letter_replayed', actor: BOOTSTRAP_ACTOR }),
    );
  });

  it('drops a letter once and for all: it is sent with the name of who dropped it, and never replayed', async () => {
    await consumeDead(env, { dropped: body });
    const response = await admin(`${LETTERS}/${idOf('dropped')}/drop`, 'POST');
    expect(await response.json()).toMatchObject({ status: 'dropped', body });
    expect(queue.sent).toEqual([[{ ...body[0], droppedby: BOOTSTRAP_ACTOR }]]);
    await expectProblem(await admin(`${LETTERS}/${idOf('dropped')}/replay`, 'POST'), 409, 'already-deleted');
    await expectProblem(await admin(`${LETTERS}/${idOf('dropped')}/drop`, 'POST'), 409, 'already-deleted');
    expect(queue.sent).toHaveLength(1);
    expect((await historyOf('dropped')).at(-1)).toEqual({ type: 'dead_letter_dropped', actor: BOOTSTRAP_ACTOR });
  });

  it('drops one that is none of ours: nothing is sent', async () => {
    await consumeDead(env, { alien: { hello: 'world' } });
    expect((await admin(`${LETTERS}/${idOf('alien')}/drop`, 'POST')).status).toBe(200);
    expect(queue.sent).toEqual([]);
  });

  it('makes a stream go on by dropping what is refused, with a mark in its place and no gap', async () => {
    const services = new FakeChittyOs();
    const contexts = new FakeContexts();
    const bindings = surrounded({ CHITTYOS: services, CHITTYOS_TOKEN: 'token', CONTEXTS: contexts });
    services.interfere = (service, _path, sent) =>
      service === 'dna' && sent.includes('context_updated"') && !sent.includes('event_skipped') ? refuse() : null;
    const poison = events('p', 2, ['context_updated']);
    await consume(bindings, { p1: events('p', 1, ['context_created']) });
    expect(await consume(bindings, { p2: poison })).toMatchObject({ retried: ['p2'] });
    await consumeDead(env, { p2: poison });
    // What comes after it is no poison; its object sends it again.
    expect(await consume(bindings, { p3: events('p', 3, ['context_deleted']) })).toMatchObject({ acked: ['p3'] });
    expect(services.sequences('dna_p')).toEqual([1]);

    await admin(`${LETTERS}/${idOf('p2')}/drop`, 'POST');
    expect(await consume(bindings, { p4: queue.sent[0] })).toEqual({ acked: ['p4'], retried: [] });
    expect(contexts.reports.at(-1)?.reports.dna).toEqual({ first: 2, last: 2 });
    expect(await consume(bindings, { p3: events('p', 3, ['context_deleted']) })).toMatchObject({ acked: ['p3'] });
    expect(services.sequences('dna_p')).toEqual([1, 2, 3]);
    expect(services.entries.filter(({ entityId }) => entityId === 'p').map(({ eventType }) => eventType)).toEqual([
      'context_created',
      'context_updated',
      'context_deleted',
    ]);
  });

  it('pages through the letters, newest first, each once, also by their status', async () => {
    const names = Array.from({ length: 7 }, (_, index) => `page-${index}`);
    for (const name of names) {
      vi.setSystemTime(Date.now() + 1000);
      await consumeDead(env, { [name]: { name } });
    }
    for (const name of ['page-1', 'page-5']) await admin(`${LETTERS}/${idOf(name)}/drop`, 'POST');
    for (const name of names) {
      const { length } = await historyOf(name);
      expect(await objectOf(name).whenDelivered('d1', length, 10_000)).toBe(true);
    }
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null && seen.length < 7) {
      const { items, nextCursor } = await list(`?limit=2${cursor && `&cursor=${cursor}`}`);
      seen.push(...items.map(({ id }) => id));
      cursor = nextCursor;
    }
    expect(seen.slice(0, 7)).toEqual(names.toReversed().map(idOf));
    const { items } = await list('?status=dropped&limit=2');
    expect(items.map(({ id }) => id)).toEqual(['page-5', 'page-1'].map(idOf));
  });
});

describe('what an administrator gets wrong', () => {
  it('is said', async () => {
    await expectInvalid(await admin(`${LETTERS}?status=lost`), 'status', 'must be waiting, replayed or dropped');
    await expectProblem(await admin(`${LETTERS}?cursor=ctx_1`), 400, 'invalid');
    await expectProblem(await admin(`${LETTERS}?limit=0`), 400, 'invalid');
    await expectProblem(await admin(`${LETTERS}?page=2`), 400, 'invalid');
    for (const path of ['', '/replay', '/drop']) {
      const method = path === '' ? 'GET' : 'POST';
      await expectProblem(await admin(`${LETTERS}/${idOf('no such letter')}${path}`, method), 404, 'not-found');
      await expectProblem(await admin(`${LETTERS}/dlq_1${path}`, method), 404, 'not-found');
    }
    await expectProblem(await admin(LETTERS, 'GET', { Authorization: 'Bearer wrong' }), 401, 'unauthorized');
    expect(queue.sent).toEqual([]);
  });
});
