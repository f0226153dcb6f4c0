import { evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { call, mint, send } from './chittyos.ts';

/** Switches a fault on. */
async function inject(fault: object, service = 'id') {
  const answer = await call('embedded', `/faults/${service}`, { method: 'PUT', json: fault });
  expect(answer.status).toBe(200);
}

const switchOff = (service: string) => send(`https://embedded.chitty.cc/faults/${service}`, { method: 'DELETE' });

afterEach(async () => {
  await switchOff('all');
});

/** How many ids there are. */
async function minted(): Promise<number> {
  const { body } = await call<{ minted: unknown[] }>('id', '/v1/minted?limit=1000');
  return body.minted.length;
}

describe('the switches', () => {
  it('show what is on, survive an eviction, and switch off', async () => {
    await inject({ errorRate: 0.5, delayMs: 20 }, 'dna');
    await evictDurableObject(env.FAULTS.getByName('single'));
    const expected = { faults: { dna: { errorRate: 0.5, delayMs: 20 } } };
    expect((await call('embedded', '/faults')).body).toEqual(expected);
    const byPrefix = await send('http://127.0.0.1:8788/faults');
    expect(await byPrefix.json()).toEqual(expected);
    expect((await switchOff('dna')).status).toBe(204);
    expect((await call('embedded', '/faults')).body).toEqual({ faults: {} });
  });

  it('replace the fault that was on', async () => {
    await inject({ outage: true });
    await inject({ delayMs: 1 });
    expect((await call('embedded', '/faults')).body).toEqual({ faults: { id: { delayMs: 1 } } });
    expect((await send('https://id.chitty.cc/health')).status).toBe(200);
  });

  it('switch every service at once', async () => {
    await inject({ outage: true }, 'all');
    expect((await send('https://id.chitty.cc/health')).status).toBe(503);
    expect((await send('https://chronicle.chitty.cc/health')).status).toBe(503);
  });

  it.each([{ errorRate: 2 }, { delayMs: -1 }, { outage: 'yes' }, { wrongAnswer: 'silence' }, { unknown: 1 }])(
    'refuse %j',
    async (json) => {
      expect((await call('embedded', '/faults/id', { method: 'PUT', json })).status).toBe(400);
    },
  );

  it('know the services', async () => {
    expect((await call('embedded', '/faults/nothing', { method: 'PUT', json: {} })).status).toBe(404);
    expect((await switchOff('nothing')).status).toBe(404);
  });
});

describe('a service with a fault', () => {
  it('does nothing during an outage, and only it', async () => {
    const before = await minted();
    await inject({ outage: true });
    const refused = await call('id', '/v1/mint', { json: { entity: 'P' } });
    expect(refused).toMatchObject({ status: 503, body: { type: expect.stringContaining('injected-fault') } });
    expect((await send('https://dna.chitty.cc/health')).status).toBe(200);
    await switchOff('id');
    expect(await minted()).toBe(before);
  });

  it('still refuses a wrong token first', async () => {
    await inject({ outage: true });
    expect((await send('https://id.chitty.cc/health', { headers: { Authorization: 'Bearer x' } })).status).toBe(401);
  });

  it('fails as often as it is told', async () => {
    await inject({ errorRate: 0.5 });
    const statuses = await Promise.all(
      Array.from({ length: 100 }, async () => (await send('https://id.chitty.cc/health')).status),
    );
    // 100 throws of a coin that all fall on one side come once in 2^99 runs.
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
  });

  it('carries out the call whose answer is lost, so that a retry with the same key gets what was made', async () => {
    const before = await minted();
    await inject({ loseAnswerRate: 1 });
    const init = { json: { entity: 'P' }, headers: { 'Idempotency-Key': 'lost' } };
    expect((await call('id', '/v1/mint', init)).status).toBe(503);
    expect((await call('id', '/v1/mint', init)).status).toBe(503);
    await switchOff('id');
    expect(await minted()).toBe(before + 1);
    const found = await call('id', '/v1/mint', init);
    expect(found.headers.get('Idempotent-Replayed')).toBe('true');
    expect(await minted()).toBe(before + 1);
  });

  it('waits', async () => {
    await inject({ delayMs: 30 });
    const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
    const wait = vi.spyOn(scheduler, 'wait').mockReturnValue(isOver);
    try {
      let isMinted = false;
      const minting = mint().then(() => {
        isMinted = true;
      });
      await vi.waitFor(() => expect(wait).toHaveBeenCalledWith(30));
      expect((await send('https://dna.chitty.cc/health')).status).toBe(200);
      expect(isMinted).toBe(false);
      end();
      await minting;
    } finally {
      wait.mockRestore();
    }
  });
});

describe('wrong answers', () => {
  const ask = () => send('https://id.chitty.cc/v1/validate', { json: { chittyid: 'x' } });

  it('can be HTML', async () => {
    await inject({ wrongAnswer: 'html' });
    const response = await ask();
    expect([response.status, response.headers.get('Content-Type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(await response.text()).toMatch(/^<!doctype html>/);
  });

  it('can be JSON of another kind', async () => {
    await inject({ wrongAnswer: 'other-json' });
    const response = await ask();
    expect(response.status).toBe(200);
    expect(await response.json()).not.toHaveProperty('valid');
  });

  it('can be an error that says 200', async () => {
    await inject({ wrongAnswer: 'ok-with-error' });
    const response = await ask();
    expect(response.status).toBe(200);
    expect(await response.json()).toHaveProperty('error');
  });

  it('can have 10 MB', async () => {
    await inject({ wrongAnswer: 'huge' });
    const text = await (await ask()).text();
    expect(text.length).toBeGreaterThan(10_000_000);
    expect(JSON.parse(text)).toHaveProperty('id');
  });

  it('can go on for ever', async () => {
    await inject({ wrongAnswer: 'endless' });
    const reader = (await ask()).body?.getReader();
    for (let chunk = 0; chunk < 3; chunk++) {
      expect(await reader?.read()).toMatchObject({ done: false });
    }
    await reader?.cancel();
  });
});
