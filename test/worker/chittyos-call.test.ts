import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { call, type Operation } from '../../src/chittyos/call.ts';
import {
  connection,
  dropped,
  failureOf,
  hanging,
  json,
  network,
  settle,
  stalled,
  TOKEN,
  text,
} from './chittyos-network.ts';

const answer = z.looseObject({ id: z.string() });
const read: Operation<{ id: string }> = { name: 'read', method: 'GET', answer };
const create: Operation<{ id: string }> = { name: 'create', method: 'POST', answer };
const repeatable: Operation<{ id: string }> = { name: 'repeatable', method: 'POST', answer, isIdempotent: true };

const good = json({ id: '1' });
const unavailable = json({ detail: 'not now' }, 503);
const path = ['v1', 'things'];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('what is sent', () => {
  it('is the method, the encoded path, the query, the token, the entity and the trace', async () => {
    const { send, received } = network(good);
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const request = { path: ['v1', 'a/b c?'], query: { limit: 5, none: undefined }, chittyId: '03-1' };
    const result = await call(connection(send, { baseUrl: 'https://id.chitty.test/base/' }), read, request, {
      traceparent,
    });
    expect(result).toEqual({ ok: true, value: { id: '1' } });
    const [sent] = received;
    expect(sent?.url).toBe('https://id.chitty.test/base/v1/a%2Fb%20c%3F?limit=5');
    expect(sent?.method).toBe('GET');
    expect(Object.fromEntries(sent?.headers ?? [])).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      accept: 'application/json',
      'x-chittyid': '03-1',
      traceparent,
    });
    expect(sent?.headers.has('Idempotency-Key')).toBe(false);
    expect(sent?.headers.has('Content-Type')).toBe(false);
  });

  it('is a JSON body with its media type and the Idempotency-Key, the same at each attempt', async () => {
    const { send, received } = network(unavailable, good);
    const request = { path, body: { name: 'é' } };
    await settle(call(connection(send), create, request, { idempotencyKey: 'key-1' }));
    expect(received).toHaveLength(2);
    for (const { body, headers } of received) {
      expect(body).toBe('{"name":"é"}');
      expect(headers.get('Content-Type')).toBe('application/json');
      expect(headers.get('Idempotency-Key')).toBe('key-1');
    }
  });

  it('leaves out a traceparent that is none', async () => {
    const { send, received } = network(good);
    await call(connection(send), read, { path }, { traceparent: 'nonsense' });
    expect(received[0]?.headers.has('traceparent')).toBe(false);
  });

  it.each(['', '.', '..', '\ud800'])('is nothing when an id is %j', async (id) => {
    const { send, received } = network(good);
    const failure = failureOf(await call(connection(send), read, { path: ['v1', id, 'info'] }));
    expect(failure).toMatchObject({ kind: 'invalid-request', retryable: false, service: 'id', operation: 'read' });
    expect(received).toHaveLength(0);
  });

  it.each(['key\r\nX-Evil: 1', 'schlüssel', ''])(
    'is nothing when the Idempotency-Key is %j',
    async (idempotencyKey) => {
      const { send, received } = network(good);
      const failure = failureOf(await call(connection(send), create, { path }, { idempotencyKey }));
      expect(failure).toMatchObject({ kind: 'invalid-request', retryable: false });
      expect(received).toHaveLength(0);
    },
  );

  it.each([
    'http://id.chitty.test',
    'not a url',
    'https://user:pass@id.chitty.test',
    'https://id.chitty.test/?a=1',
    'ftp://id.chitty.test',
  ])('is nothing when the base URL is %j', async (baseUrl) => {
    const { send, received } = network(good);
    expect(failureOf(await call(connection(send, { baseUrl }), read, { path })).kind).toBe('configuration');
    expect(received).toHaveLength(0);
  });

  it('may go to this machine without TLS', async () => {
    const { send } = network(good);
    expect((await call(connection(send, { baseUrl: 'http://127.0.0.1:8788/id' }), read, { path })).ok).toBe(true);
  });
});

describe('what is repeated', () => {
  it.each([
    ['a read', read, {}],
    ['an idempotent operation', repeatable, {}],
    ['a request with an Idempotency-Key', create, { idempotencyKey: 'k' }],
  ])('%s, at most three times', async (_what, operation, options) => {
    const { send, received } = network(unavailable);
    const { value } = await settle(call(connection(send), operation, { path }, options));
    expect(received).toHaveLength(3);
    expect(failureOf(value)).toMatchObject({ kind: 'status', status: 503, retryable: true });
    expect(failureOf(value).detail).toBe('The service answered 503: not now.');
  });

  it.each([
    ['a fault of the service', unavailable],
    ['a broken connection', dropped],
    ['no answer', hanging],
    ['a wrong answer', text('<html>', 'text/html')],
  ])('nothing that is not safe to repeat, after %s', async (_what, reply) => {
    const { send, received } = network(reply, good);
    const { value } = await settle(call(connection(send), create, { path, body: {} }));
    expect(received).toHaveLength(1);
    expect(failureOf(value).retryable).toBe(true);
  });

  it.each([400, 401, 403, 404, 409, 410, 422, 501, 505])('no read that was answered %i', async (status) => {
    const { send, received } = network(json({}, status));
    const { value } = await settle(call(connection(send), read, { path }));
    expect(received).toHaveLength(1);
    expect(failureOf(value)).toMatchObject({ kind: 'status', status, retryable: false });
  });

  it.each([
    ['a broken connection', dropped],
    ['no answer', hanging],
    ['a wrong answer', text('<html>', 'text/html')],
    ['408', json({}, 408)],
    ['429', json({}, 429)],
    ['500', json({}, 500)],
    ['502', text('bad gateway', 'text/plain', 502)],
    ['a body that broke off', stalled],
  ])('a read after %s, and then it succeeds', async (_what, reply) => {
    const { send, received } = network(reply, good);
    const { value } = await settle(call(connection(send), read, { path }));
    expect(value).toEqual({ ok: true, value: { id: '1' } });
    expect(received).toHaveLength(2);
  });

  it('after a pause with full jitter that doubles', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.999);
    const slow = await settle(call(connection(network(unavailable).send), read, { path }));
    expect(slow.ms).toBeGreaterThanOrEqual(590);
    expect(slow.ms).toBeLessThanOrEqual(620);
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const quick = await settle(call(connection(network(unavailable).send), read, { path }));
    expect(quick.ms).toBeLessThanOrEqual(30);
  });
});

describe('how long a call takes', () => {
  it.each([
    ['hangs', hanging],
    ['stops in the middle of its answer', stalled],
  ])('is 5 s at most when the service %s', async (_what, reply) => {
    const { send } = network(reply);
    const { value, ms } = await settle(call(connection(send), create, { path }));
    expect(failureOf(value)).toMatchObject({ kind: 'timeout', retryable: true });
    expect(failureOf(value).detail).toBe('There was no complete answer within 5000 ms.');
    expect(ms).toBeLessThanOrEqual(5_020);
  });

  it('is what the caller allows', async () => {
    const { send } = network(hanging);
    const { ms } = await settle(call(connection(send), create, { path }, { timeoutMs: 100 }));
    expect(ms).toBeLessThanOrEqual(120);
  });

  it('is 12 s at most with all attempts', async () => {
    const { send, received } = network(hanging);
    const { ms } = await settle(call(connection(send), read, { path }));
    expect(received).toHaveLength(3);
    expect(ms).toBeLessThanOrEqual(12_020);
  });

  it('ends the request that got no answer', async () => {
    let aborted = false;
    const { send } = network(
      (_request, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            reject(new Error('aborted'));
          });
        }),
    );
    const { value } = await settle(call(connection(send), create, { path }, { timeoutMs: 100 }));
    expect(failureOf(value).kind).toBe('timeout');
    expect(aborted).toBe(true);
  });
});

describe('Retry-After', () => {
  const START = Date.UTC(2026, 6, 1, 12, 0, 0);

  beforeEach(() => {
    vi.setSystemTime(START);
  });

  it.each([
    ['in seconds', '3'],
    ['as an HTTP date', 'Wed, 01 Jul 2026 12:00:03 GMT'],
  ])('%s is waited for', async (_form, header) => {
    const { send, received } = network(json({}, 429, { 'Retry-After': header }), good);
    const { value, ms } = await settle(call(connection(send), read, { path }));
    expect(value.ok).toBe(true);
    expect(received).toHaveLength(2);
    expect(ms).toBeGreaterThanOrEqual(3_000);
    expect(ms).toBeLessThanOrEqual(3_020);
  });

  it('that is longer than the call may take ends it at once, and is told to the caller', async () => {
    const { send, received } = network(json({}, 503, { 'Retry-After': '60' }), good);
    const { value, ms } = await settle(call(connection(send), read, { path }));
    expect(received).toHaveLength(1);
    expect(ms).toBeLessThanOrEqual(20);
    expect(failureOf(value).retryAfterMs).toBe(60_000);
  });

  it.each([
    ['999999999999999999999', 300_000],
    ['Fri, 31 Dec 9999 23:59:59 GMT', 300_000],
    ['Wed, 01 Jul 2020 12:00:00 GMT', 0],
    ['0', 0],
    ['-1', undefined],
    ['soon', undefined],
    ['1.5', undefined],
    ['', undefined],
  ])('%j is believed as %s ms', async (header, expected) => {
    const { send } = network(json({}, 503, { 'Retry-After': header }));
    const { value } = await settle(call(connection(send), create, { path }));
    expect(failureOf(value).retryAfterMs).toBe(expected);
  });
});
