import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { hostname, networkInterfaces } from 'node:os';
import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { webhookEgress } from '../../scripts/webhook-egress.ts';

/** Fetches the address that it is asked for, by one way out or the other. */
const SCRIPT = `
  export default {
    async fetch(request, env) {
      const { out, url } = await request.json();
      try {
        const response = await env[out].fetch(url, { method: 'POST', redirect: 'manual' });
        return new Response('answered ' + response.status);
      } catch (error) {
        return new Response('refused: ' + error.message);
      }
    },
  };`;

let inside: Server;
let miniflare: Miniflare;
let port = 0;
let requests = 0;

beforeAll(async () => {
  inside = createServer((_request, response) => {
    requests += 1;
    response.end('a service of this network');
  }).listen(0);
  await once(inside, 'listening');
  const address = inside.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
  miniflare = new Miniflare({
    modules: true,
    script: SCRIPT,
    compatibilityDate: '2026-07-01',
    serviceBindings: { OUT: webhookEgress({}), LOCAL: webhookEgress({ WEBHOOKS_TO_LOOPBACK: 'true' }) },
  });
  await miniflare.ready;
});

afterAll(async () => {
  await miniflare.dispose();
  inside.close();
});

async function ask(out: string, url: string): Promise<string> {
  const response = await miniflare.dispatchFetch('http://worker', {
    method: 'POST',
    body: JSON.stringify({ out, url }),
  });
  return response.text();
}

/** The addresses of this machine that others in its network reach it by. */
function privateAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return all.filter(({ family, internal }) => family === 'IPv4' && !internal).map(({ address }) => address);
}

describe('the way out for webhooks', () => {
  it.each([
    ['a name that leads to this machine', 'localhost'],
    ['its address', '127.0.0.1'],
    ['its address in IPv6', '[::1]'],
    ['its address in IPv4 within IPv6', '[::ffff:127.0.0.1]'],
    ['no address', '0.0.0.0'],
  ])('does not lead to %s', async (_what, host) => {
    const before = requests;
    expect(await ask('OUT', `http://${host}:${port}/`)).toMatch(/^refused/);
    expect(requests).toBe(before);
  });

  it('does not lead into the network, by an address or by a name', async () => {
    const before = requests;
    for (const host of [...privateAddresses(), hostname(), '10.0.0.1', '169.254.169.254']) {
      expect(await ask('OUT', `http://${host}:${port}/`), host).toMatch(/^refused/);
    }
    expect(requests).toBe(before);
  });

  it('leads to this machine, and no further, where that is allowed', async () => {
    expect(await ask('LOCAL', `http://127.0.0.1:${port}/`)).toBe('answered 200');
    expect(await ask('LOCAL', `http://localhost:${port}/`)).toBe('answered 200');
    for (const host of privateAddresses()) {
      expect(await ask('LOCAL', `http://${host}:${port}/`), host).toMatch(/^refused/);
    }
  });
});
