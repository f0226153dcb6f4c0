import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AttemptResult } from '../../actors/webhook-outcome.ts';
import type { Message } from '../../actors/webhook-ports.ts';
import { sealerOf } from '../../src/auth/sealing.ts';
import type { Env } from '../../src/env.ts';
import { postMessage, reseal, secretLabel } from '../../src/webhooks/post.ts';

const MEGABYTE = 1024 * 1024;
const SECRET = new Uint8Array(32).fill(7);
/** The time where it matters: 2026-11-25T12:00:00Z, in milliseconds. */
const NOW = Date.UTC(2026, 10, 25, 12);

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

async function message(changes: Partial<Message> = {}, variables: Env = env): Promise<Message> {
  const sealer = await sealerOf(variables);
  if (sealer === null) throw new Error('there is no key');
  const sealed = await sealer.seal(SECRET, secretLabel('whk', 'whs'));
  const url = 'https://hooks.example.com/';
  return { id: 'msg_1', body: '{}', url, secrets: [{ id: 'whs', sealed }], webhook: 'whk', ...changes };
}

/** Posts to a receiver that answers in this way. */
async function post(answer: (signal: AbortSignal | null) => Promise<Response>): Promise<AttemptResult | null> {
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (_input, init) => answer(init?.signal ?? null));
  return postMessage(env, await message());
}

/** The same, once the receiver was asked: from then on its time runs. */
async function underWay(answer: (signal: AbortSignal | null) => Promise<Response>) {
  const asked = Promise.withResolvers<void>();
  const result = post((signal) => {
    asked.resolve();
    return answer(signal);
  });
  await asked.promise;
  return { result };
}

/** A body that says how much of it was asked for, and whether it was given up. */
function body(chunk: Uint8Array | null, total: number) {
  const seen = { bytes: 0, isCancelled: false };
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // Never to be resolved: a body that stops in its middle.
        if (chunk === null) return new Promise<void>(() => undefined);
        seen.bytes += chunk.byteLength;
        controller.enqueue(chunk);
        if (seen.bytes >= total) controller.close();
        return undefined;
      },
      cancel() {
        seen.isCancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { seen, stream };
}

describe('a receiver that answers with a lot', () => {
  it('has no more than 64 KiB of it read, and the status counts', async () => {
    const { seen, stream } = body(new Uint8Array(16 * 1024).fill(120), 10 * MEGABYTE);
    expect(await post(async () => new Response(stream))).toMatchObject({ outcome: 'delivered', status: 200 });
    expect(seen.bytes).toBeLessThanOrEqual(80 * 1024);
    expect(seen.isCancelled).toBe(true);
  });

  it('has little of it kept when it is no success', async () => {
    const { stream } = body(new TextEncoder().encode('<b>no</b>\r\n\u0007\u202ethanks '.repeat(50)), 10 * MEGABYTE);
    const result = await post(async () => new Response(stream, { status: 500 }));
    expect(result).toMatchObject({ outcome: 'failed', status: 500, error: 'HTTP 500' });
    expect(result?.response).toMatch(/^<b>no<\/b> thanks/);
    expect(result?.response?.length).toBeLessThanOrEqual(200);
    expect(result?.response).not.toMatch(/[\p{C}]/u);
  });
});

describe('a receiver that is slow', () => {
  it('with everything is given up after 15 s', async () => {
    vi.useFakeTimers();
    const answer = (signal: AbortSignal | null) =>
      new Promise<Response>((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason));
      });
    const { result } = await underWay(answer);
    await vi.advanceTimersByTimeAsync(14_900);
    await vi.advanceTimersByTimeAsync(200);
    expect(await result).toMatchObject({
      outcome: 'timed_out',
      status: null,
      error: 'There was no answer within 15 s',
    });
    expect((await result)?.durationMs).toBeGreaterThanOrEqual(15_000);
  });

  it('with its body alone has given its answer', async () => {
    vi.useFakeTimers();
    const { seen, stream } = body(null, 1);
    const { result } = await underWay(async () => new Response(stream, { status: 202 }));
    await vi.advanceTimersByTimeAsync(2_100);
    expect(await result).toMatchObject({ outcome: 'delivered', status: 202 });
    expect(seen.isCancelled).toBe(true);
  });

  it('that sends its body byte by byte without an end as well', async () => {
    vi.useFakeTimers();
    const stream = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        controller.enqueue(new Uint8Array(1));
      },
    });
    const { result } = await underWay(async () => new Response(stream, { status: 500 }));
    await vi.advanceTimersByTimeAsync(2_200);
    expect(await result).toMatchObject({ outcome: 'failed', status: 500 });
  });
});

describe('an attempt', () => {
  it.each([
    [200, 'delivered'],
    [299, 'delivered'],
    [301, 'redirected'],
    [304, 'redirected'],
    [400, 'refused'],
    [404, 'refused'],
    [410, 'gone'],
    [429, 'refused'],
    [500, 'failed'],
    [599, 'failed'],
  ])('that is answered %i is %s', async (status, outcome) => {
    const isNull = [101, 204, 205, 304].includes(status);
    expect(await post(async () => new Response(isNull ? null : 'x', { status }))).toMatchObject({ status, outcome });
  });

  it.each([
    ['120', 120_000],
    [new Date(NOW + 60_000).toUTCString(), 60_000],
    [new Date(0).toUTCString(), 0],
    ['soon', null],
    ['-5', expect.toSatisfy((ms: number | null) => ms === null || ms === 0)],
  ])('reads Retry-After: %s', async (header, ms) => {
    vi.useFakeTimers({ toFake: ['Date'], now: NOW });
    const result = await post(async () => new Response('x', { status: 503, headers: { 'Retry-After': header } }));
    expect(result?.retryAfterMs).toEqual(ms);
  });

  it('that cannot be made is a failure, with words of ours', async () => {
    expect(await post(() => Promise.reject(new TypeError('Network\nconnection \u0000lost.')))).toMatchObject({
      outcome: 'unreachable',
      status: null,
      error: 'It could not be reached: Network connection lost.',
    });
  });

  it('to a name that does not resolve says what that may be, and no reference of the runtime’s', async () => {
    const result = await post(() => Promise.reject(new Error('internal error; reference = 9h76nndcf7ndkntpdu9rt8u0')));
    expect(result?.error).toBe(
      'It could not be reached: its name has no address that may be used, or nothing is there',
    );
  });

  it('is not made to an address that must not be sent to, however it came there', async () => {
    const outgoing = vi.spyOn(globalThis, 'fetch');
    const result = await postMessage(env, await message({ url: 'https://169.254.169.254/latest' }));
    expect(result).toMatchObject({ outcome: 'blocked', status: null });
    expect(outgoing).not.toHaveBeenCalled();
  });

  it('goes by the way out that refuses private addresses, where there is one', async () => {
    const outgoing = vi.spyOn(globalThis, 'fetch');
    const egress = { fetch: vi.fn(async () => new Response(null, { status: 204 })) };
    const variables = { ...env, WEBHOOK_EGRESS: egress as unknown as Fetcher };
    expect(await postMessage(variables, await message())).toMatchObject({ outcome: 'delivered' });
    expect(egress.fetch).toHaveBeenCalledTimes(1);
    expect(outgoing).not.toHaveBeenCalled();
  });

  it('is not made unsigned: not without the key, nor with the secret of another webhook', async () => {
    const outgoing = vi.spyOn(globalThis, 'fetch');
    expect(await postMessage({ ...env, KEY_ENCRYPTION_KEY: '' }, await message())).toBeNull();
    expect(await postMessage(env, await message({ webhook: 'whk_other' }))).toBeNull();
    expect(await postMessage(env, await message({ secrets: [] }))).toBeNull();
    expect(outgoing).not.toHaveBeenCalled();
  });

  it('can be signed under a new KEY_ENCRYPTION_KEY once the secret was encrypted anew', async () => {
    vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response(null, { status: 204 }));
    const old = String(env.KEY_ENCRYPTION_KEY);
    const next = old.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A'));
    const between = { ...env, KEY_ENCRYPTION_KEY: next, KEY_ENCRYPTION_KEY_PREVIOUS: old };
    const after = { ...env, KEY_ENCRYPTION_KEY: next };
    const before = await message();
    const [secret] = before.secrets;
    if (!secret) throw new Error('there is no secret');
    expect(await postMessage(after, before)).toBeNull();
    expect(await postMessage(between, before)).toMatchObject({ outcome: 'delivered' });
    const anew = await reseal(between, 'whk', secret);
    if (anew === null) throw new Error('it could not be opened');
    expect(await postMessage(after, { ...before, secrets: [anew] })).toMatchObject({ outcome: 'delivered' });
    expect(await reseal(after, 'whk', secret)).toBeNull();
  });
});
