import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { coldPorts } from '../../src/cold/cold.ts';

const FILE = Uint8Array.of(1, 2, 3);

beforeEach(async () => {
  await env.COLD_HISTORY?.put('context/a/1', FILE);
  await env.COLD_HISTORY?.put('context/b/1', FILE);
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** The store on a bucket that gives a file only from a call on, the calls for it and the pauses between, in milliseconds. */
function storeFailing(fails: (name: string, call: number) => boolean) {
  const real = env.COLD_HISTORY;
  if (!real) throw new Error('there is no bucket');
  const calls: ('get' | number)[] = [];
  vi.spyOn(scheduler, 'wait').mockImplementation(async (ms) => {
    calls.push(ms);
  });
  const bucket = new Proxy(real, {
    get: (target, key) =>
      key === 'get'
        ? (name: string, options?: R2GetOptions) => {
            if (name === 'context/a/1') calls.push('get');
            if (fails(name, calls.filter((call) => call === 'get').length))
              throw new Error('get: We encountered an internal error (10001)');
            return target.get(name, options);
          }
        : Reflect.get(target, key).bind(target),
  });
  const store = coldPorts({ ...env, COLD_HISTORY: bucket })?.store;
  return { calls, get: () => store?.get('context/a/1', 1_000) };
}

it('a file that a bucket fails to give twice is asked for again, each time after a pause', async () => {
  const { calls, get } = storeFailing((_name, call) => call < 3);
  expect(await get()).toEqual(FILE);
  const pause = expect.any(Number);
  expect(calls).toEqual(['get', pause, 'get', pause, 'get']);
  const [first = 0, second = 0] = calls.filter((call) => call !== 'get');
  expect(first).toBeGreaterThanOrEqual(50);
  expect(first).toBeLessThanOrEqual(100);
  expect(second).toBeGreaterThanOrEqual(100);
  expect(second).toBeLessThanOrEqual(200);
});

it('a bucket that gives nothing at the moment says nothing of the file, though it knows of it', async () => {
  await expect(storeFailing(() => true).get()).rejects.toThrow('internal error');
});

it('a file that is there and is not given, while others are, is damaged', async () => {
  expect(await storeFailing((name) => name === 'context/a/1').get()).toEqual({ fault: 'is there and cannot be read' });
});

it('a file that is not there is missing at once', async () => {
  await env.COLD_HISTORY?.delete('context/a/1');
  const { calls, get } = storeFailing(() => false);
  expect(await get()).toBeNull();
  expect(calls).toEqual(['get']);
});
