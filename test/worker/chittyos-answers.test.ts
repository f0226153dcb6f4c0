import { describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { call, type Operation } from '../../src/chittyos/call.ts';
import { connection, endless, failureOf, json, network, type Reply, TOKEN, text } from './chittyos-network.ts';

const answer = z.looseObject({ id: z.string() });
const create: Operation<{ id: string }> = { name: 'create', method: 'POST', answer };
const path = ['v1', 'things'];

/** Calls a service that gives one reply. The call is not repeatable, so the reply is what the caller sees. */
function callOnce(reply: Reply, operation: Operation<unknown> = create) {
  return call(connection(network(reply).send), operation, { path, body: {} });
}

describe('an answer', () => {
  it('may have members that nobody asked for, and they are kept', async () => {
    expect(await callOnce(json({ id: '1', colour: 'red' }))).toEqual({ ok: true, value: { id: '1', colour: 'red' } });
  });

  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON', 'application/vnd.x+json'])(
    'may be %s',
    async (mediaType) => {
      expect((await callOnce(text('{"id":"1"}', mediaType))).ok).toBe(true);
    },
  );

  it.each<[string, Reply, RegExp]>([
    ['HTML', text('<!DOCTYPE html><p>hello', 'text/html; charset=utf-8'), /text\/html.*not JSON/],
    ['HTML that says that it is JSON', text('<!DOCTYPE html>', 'application/json'), /says that it is JSON/],
    ['JSON that says that it is text', text('{"id":"1"}', 'text/plain'), /not JSON/],
    ['of no media type', () => new Response(new Uint8Array([123, 125])), /no media type/],
    ['empty', text('', 'application/json'), /says that it is JSON/],
    ['204', () => new Response(null, { status: 204 }), /no media type/],
    ['cut off', text('{"id":"1', 'application/json'), /says that it is JSON/],
    ['not UTF-8', () => binary([0x7b, 0x22, 0xff, 0x22, 0x7d]), /says that it is JSON/],
    ['other JSON', json({ name: 'x' }), /\/id: /],
    ['JSON of the wrong type', json({ id: 1 }), /\/id: /],
    ['an array', json([]), /not what this operation answers/],
    ['null', json(null), /not what this operation answers/],
    ['an error in spite of 200', json({ id: '1', error: 'no such thing' }), /in spite of its status: no such thing/],
    ['an error object in spite of 200', json({ id: '1', error: { message: 'broken' } }), /in spite .*: broken/],
    ['errors in spite of 200', json({ id: '1', errors: [{}] }), /in spite of its status/],
    ['unsuccessful in spite of 200', json({ id: '1', success: false }), /in spite of its status/],
    ['10 MB', text(JSON.stringify({ id: 'x'.repeat(10_000_000) }), 'application/json'), /longer than 1048576 bytes/],
    ['10 MB by its own account', () => declared(10_000_000), /longer than 1048576 bytes/],
  ])('that is %s is a failure that may pass', async (_what, reply, detail) => {
    const failure = failureOf(await callOnce(reply));
    expect(failure).toMatchObject({ kind: 'wrong-answer', retryable: true });
    expect(failure.detail).toMatch(detail);
    expect(failure.status).toBeGreaterThanOrEqual(200);
  });

  it('that never ends is given up after 1 MiB, and no more of it is read', async () => {
    const { reply, taken } = endless();
    expect(failureOf(await callOnce(reply))).toMatchObject({ kind: 'wrong-answer', retryable: true });
    // 16 chunks are 1 MiB; a stream reads a chunk or two ahead.
    expect(taken.chunks).toBeLessThanOrEqual(19);
    await vi.waitFor(() => expect(taken.isCancelled).toBe(true));
  });

  it('of 1 MiB exactly is read', async () => {
    const id = 'x'.repeat(1024 * 1024 - '{"id":""}'.length);
    expect(await callOnce(text(JSON.stringify({ id }), 'application/json'))).toEqual({ ok: true, value: { id } });
  });

  it('may say that nothing went wrong', async () => {
    expect((await callOnce(json({ id: '1', error: null, errors: [], success: true }))).ok).toBe(true);
  });

  it('may carry an error where that is an answer', async () => {
    const validate: Operation<unknown> = {
      ...create,
      answer: z.looseObject({ valid: z.boolean() }),
      mayCarryError: true,
    };
    expect((await callOnce(json({ valid: false, error: 'never minted' }), validate)).ok).toBe(true);
  });
});

describe('a refusal', () => {
  it('gives the problem, so that its extension members can be read', async () => {
    const problem = { title: 'Gap', detail: 'Event 5 is missing.', expectedSequence: 5 };
    const failure = failureOf(await callOnce(json(problem, 409, { 'Content-Type': 'application/problem+json' })));
    expect(failure).toMatchObject({ kind: 'status', status: 409, problem, retryable: false });
    expect(failure.detail).toBe('The service answered 409: Event 5 is missing.');
  });

  it.each<[string, Reply]>([
    ['HTML', text('<h1>teapot</h1>', 'text/html', 418)],
    ['not JSON', text('{', 'application/json', 418)],
    ['too long', text(JSON.stringify({ detail: 'x'.repeat(20_000) }), 'application/json', 418)],
    ['an array', json(['x'], 418)],
  ])('whose body is %s is told by its status alone', async (_what, reply) => {
    const failure = failureOf(await callOnce(reply));
    expect(failure.detail).toBe('The service answered 418.');
    expect(failure).not.toHaveProperty('problem');
  });

  it('with a body that never ends is told by its status alone', async () => {
    const { reply, taken } = endless();
    const refusing: Reply = async (request, signal) => {
      const { body, headers } = await reply(request, signal);
      return new Response(body, { status: 500, headers });
    };
    expect(failureOf(await callOnce(refusing))).toMatchObject({ kind: 'status', status: 500 });
    expect(taken.chunks).toBeLessThanOrEqual(4);
  });

  it('has a detail of bounded length without control characters', async () => {
    const failure = failureOf(await callOnce(json({ detail: `a\r\nlevel=error\u0000${'x'.repeat(2_000)}` }, 400)));
    expect(failure.detail.length).toBeLessThanOrEqual(300);
    expect(failure.detail).not.toMatch(/\p{Cc}/u);
  });
});

describe('a redirect', () => {
  const to = (location: string, status = 308): Reply => json({}, status, { Location: location });

  it('within the service is followed with the same method, body and token', async () => {
    const { send, received } = network(to('/mint'), json({ id: '1' }));
    expect((await call(connection(send), create, { path, body: { a: 1 } })).ok).toBe(true);
    expect(received[1]).toMatchObject({ url: 'https://id.chitty.test/mint', method: 'POST', body: '{"a":1}' });
    expect(received[1]?.headers.get('Authorization')).toBe(`Bearer ${TOKEN}`);
  });

  it.each([
    ['to another host', to('https://evil.test/mint')],
    ['to the same host without TLS', to('http://id.chitty.test/mint')],
    ['that would turn a POST into a GET', to('/mint', 302)],
    ['to nowhere', to('http://')],
  ])('%s is a failure, and nothing is sent there', async (_where, reply) => {
    const { send, received } = network(reply, json({ id: '1' }));
    expect(failureOf(await call(connection(send), create, { path, body: {} }))).toMatchObject({ kind: 'status' });
    expect(received).toHaveLength(1);
  });

  it('in a circle ends', async () => {
    const { send, received } = network(to('/v1/things'));
    expect(failureOf(await call(connection(send), create, { path, body: {} })).status).toBe(308);
    expect(received).toHaveLength(3);
  });
});

function binary(bytes: readonly number[]): Response {
  return new Response(new Uint8Array(bytes), { headers: { 'Content-Type': 'application/json' } });
}

/** A response that announces a length and then is never read. */
function declared(length: number): Response {
  const body = new ReadableStream<Uint8Array>(
    { pull: () => Promise.reject(new Error('it was read')) },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { 'Content-Type': 'application/json', 'Content-Length': String(length) } });
}
