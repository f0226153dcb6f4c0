import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { type Connection, call, type Operation } from '../../src/chittyos/call.ts';
import {
  connection,
  dropped,
  failureOf,
  hanging,
  json,
  network,
  type Reply,
  settle,
  TOKEN,
  text,
} from './chittyos-network.ts';

const create: Operation<unknown> = { name: 'create', method: 'POST', answer: z.looseObject({ id: z.string() }) };
const read: Operation<unknown> = { ...create, name: 'read', method: 'GET' };
const request = { path: ['v1', 'things'] };

/** A service that can be switched between well and ill. */
function patient(ill: Reply = json({}, 500)) {
  const state = { isIll: true };
  const { send, received } = network((received, signal) =>
    state.isIll ? ill(received, signal) : Response.json({ id: '1' }),
  );
  return { state, received, here: connection(send) };
}

async function fail(here: Connection, times: number): Promise<void> {
  for (let number = 0; number < times; number++) await settle(call(here, create, request));
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('a service that fails', () => {
  it.each<[string, Reply]>([
    ['with errors', json({}, 500)],
    ['by not being there', dropped],
    ['by not answering', hanging],
    ['with wrong answers', text('<html>', 'text/html')],
  ])('%s five times in a row is left alone', async (_how, reply) => {
    const { here, received } = patient(reply);
    await fail(here, 4);
    expect(here.health.status.breaker).toBe('closed');
    await fail(here, 1);
    expect(here.health.status.breaker).toBe('open');
    const failure = failureOf(await call(here, create, request));
    expect(failure).toMatchObject({ kind: 'circuit-open', retryable: true });
    expect(failure.retryAfterMs).toBeGreaterThan(9_000);
    expect(failure.retryAfterMs).toBeLessThanOrEqual(10_000);
    expect(received).toHaveLength(5);
  });

  it('now and then is not', async () => {
    const { here, state, received } = patient();
    for (let round = 0; round < 5; round++) {
      state.isIll = true;
      await fail(here, 4);
      state.isIll = false;
      expect((await call(here, create, request)).ok).toBe(true);
    }
    expect(received).toHaveLength(25);
  });

  it('tells what it failed with, not that the breaker opened, to the call that opened it', async () => {
    const { here, received } = patient();
    await fail(here, 4);
    const { value } = await settle(call(here, read, request));
    expect(received).toHaveLength(5);
    expect(failureOf(value)).toMatchObject({ kind: 'status', status: 500 });
  });

  it('does not affect another service', async () => {
    const { here } = patient();
    await fail(here, 5);
    expect((await call(connection(network(json({ id: '1' })).send), create, request)).ok).toBe(true);
  });
});

describe('a service that refuses', () => {
  it.each([400, 401, 403, 404, 409, 422, 429])('with %i is not left alone: it works', async (status) => {
    const { here, received } = patient(json({}, status));
    await fail(here, 8);
    expect(received).toHaveLength(8);
    expect(here.health.status.breaker).toBe('closed');
  });
});

describe('after 10 s', () => {
  it('one call tests the service, and when it is well all go through again', async () => {
    const { here, state, received } = patient();
    await fail(here, 5);
    await vi.advanceTimersByTimeAsync(9_990);
    expect(failureOf(await call(here, create, request)).kind).toBe('circuit-open');
    await vi.advanceTimersByTimeAsync(20);
    state.isIll = false;
    expect((await call(here, create, request)).ok).toBe(true);
    expect(here.health.status.breaker).toBe('closed');
    expect((await call(here, create, request)).ok).toBe(true);
    expect(received).toHaveLength(7);
  });

  it('one call tests the service, and when it still fails it is left alone for another 10 s', async () => {
    const { here, received } = patient();
    await fail(here, 5);
    await vi.advanceTimersByTimeAsync(10_010);
    expect(failureOf(await call(here, create, request)).kind).toBe('status');
    const failure = failureOf(await call(here, create, request));
    expect(failure.kind).toBe('circuit-open');
    expect(failure.retryAfterMs).toBeGreaterThan(9_000);
    expect(received).toHaveLength(6);
  });

  it('or when the clock was put back meanwhile, the service is tried', async () => {
    const { here, state, received } = patient();
    await fail(here, 5);
    vi.setSystemTime(Date.now() - 24 * 60 * 60_000);
    state.isIll = false;
    expect((await call(here, create, request)).ok).toBe(true);
    expect(here.health.status.breaker).toBe('closed');
    expect(received).toHaveLength(6);
  });

  it('a hundred calls at once send one request, and none of the others waits for it', async () => {
    const { promise: answer, resolve } = Promise.withResolvers<Response>();
    let isTested = false;
    const { send, received } = network(() => (isTested ? answer : Response.json({}, { status: 500 })));
    const here = connection(send);
    await fail(here, 5);
    await vi.advanceTimersByTimeAsync(10_010);
    isTested = true;
    const test = call(here, create, request);
    const others = await Promise.all(Array.from({ length: 99 }, () => call(here, create, request)));
    for (const other of others) expect(failureOf(other)).toMatchObject({ kind: 'circuit-open', retryAfterMs: 1_000 });
    expect(here.health.status.breaker).toBe('half-open');
    resolve(Response.json({ id: '1' }));
    expect((await test).ok).toBe(true);
    expect(received).toHaveLength(6);
  });

  it('a test that was lost with the request that made it does not close the service off for ever', async () => {
    const { here, state } = patient();
    await fail(here, 5);
    await vi.advanceTimersByTimeAsync(10_010);
    // As if the request that makes the test had been cancelled: its promises never settle.
    void here.health.watch(() => new Promise<never>(() => undefined));
    expect(here.health.status.breaker).toBe('half-open');
    state.isIll = false;
    await vi.advanceTimersByTimeAsync(29_000);
    expect(failureOf(await call(here, create, request)).kind).toBe('circuit-open');
    await vi.advanceTimersByTimeAsync(1_010);
    expect((await call(here, create, request)).ok).toBe(true);
    expect(here.health.status.breaker).toBe('closed');
  });
});

describe('the status of a service', () => {
  it('is its breaker, its last success, its last failure and how long it took', async () => {
    vi.setSystemTime(Date.UTC(2026, 6, 1));
    const { here, state } = patient(hanging);
    expect(here.health.status).toEqual({
      breaker: 'closed',
      lastSuccessAt: null,
      lastFailure: null,
      lastLatencyMs: null,
    });
    await settle(call(here, create, request, { timeoutMs: 1_500 }));
    expect(here.health.status).toEqual({
      breaker: 'closed',
      lastSuccessAt: null,
      lastFailure: {
        at: '2026-07-01T00:00:01.500Z',
        kind: 'timeout',
        detail: 'There was no complete answer within 1500 ms.',
      },
      lastLatencyMs: 1_500,
    });
    state.isIll = false;
    await call(here, create, request);
    expect(here.health.status).toMatchObject({ lastSuccessAt: '2026-07-01T00:00:01.500Z', lastLatencyMs: 0 });
  });

  it('shows a refused token, but not that something was not found', async () => {
    const refused = connection(network(json({}, 401)).send);
    await call(refused, create, request);
    expect(refused.health.status.lastFailure?.detail).toContain('it does not accept the token');
    expect(refused.health.status.lastFailure?.detail).not.toContain(TOKEN);
    const missing = connection(network(json({}, 404)).send);
    await call(missing, create, request);
    expect(missing.health.status).toMatchObject({ lastFailure: null });
    expect(missing.health.status.lastSuccessAt).not.toBeNull();
  });
});
