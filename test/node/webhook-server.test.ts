import { once } from 'node:events';
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

const KEY = 'cck_webhook-server';
/** More than what sockets hold on the way, which is some 10 MB. */
const MEGABYTES = 100;
/** Milliseconds for an attempt whose answer is read for two seconds at most; an attempt as a whole may take fifteen. */
const READ_MS = 12_000;
const folder = temporaryFolder('webhook-server');
let port = 0;
let server: Server;
let there: HttpServer;

/** A request as the receiver got it. */
interface Hook {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly at: number;
}

const hooks: Hook[] = [];
/** How the receiver answers, by path; 204 to all others. */
const replies = new Map<string, (response: ServerResponse) => void>();

async function received(request: IncomingMessage): Promise<Hook> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
  return { path: request.url ?? '', headers, body: Buffer.concat(parts).toString(), at: performance.now() };
}

beforeAll(async () => {
  there = createServer(async (request, response) => {
    const hook = await received(request);
    hooks.push(hook);
    const reply = replies.get(hook.path);
    if (reply) reply(response);
    else response.writeHead(204).end();
  }).listen(0, '127.0.0.1');
  await once(there, 'listening');
  port = await freePort();
  await start();
});

afterAll(async () => {
  await stopServer(server, 'SIGKILL');
  there.closeAllConnections();
  there.close();
  folder.remove();
});

async function start(): Promise<void> {
  const environment = { WEBHOOKS_TO_LOOPBACK: 'true' };
  server = await startServer({ port, dataFolder: folder.path, apiKey: KEY, environment });
}

async function call<Body = { id: string }>(method: string, path: string, json?: object): Promise<Body> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { Authorization: `Bearer ${KEY}`, ...(json && { 'Content-Type': 'application/json' }) },
    ...(json && { body: JSON.stringify(json) }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response.json();
}

function urlOf(path: string): string {
  const address = there.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}${path}`;
}

/** A webhook of the changes of one context: what its provisioning leads to comes when it comes. */
async function webhook(path: string, context: string): Promise<{ id: string; secret: string }> {
  return call('POST', '/v1/webhooks', { url: urlOf(path), contexts: [context], types: ['context_updated'] });
}

const at = (path: string) => hooks.filter((hook) => hook.path === path);

interface Attempt {
  outcome: string;
  status: number | null;
  durationMs: number;
  error: string | null;
}

async function lastAttempt(id: string): Promise<Attempt | undefined> {
  const { items } = await call<{ items: Attempt[] }>('GET', `/v1/webhooks/${id}/deliveries`);
  return items[0];
}

describe('webhooks of the real server', () => {
  it('come within two seconds or so, and are verified by the official library', async () => {
    const { id } = await call('POST', '/v1/contexts', { name: 'Webhooks' });
    const { secret } = await webhook('/plain', id);
    const sentAt = performance.now();
    await call('PATCH', `/v1/contexts/${id}`, { name: 'Changed' });
    await waitFor('the webhook', () => at('/plain').length > 0);
    const [hook] = at('/plain');
    if (!hook) throw new Error('nothing came');
    console.log(`from the change to the receiver: ${Math.round(hook.at - sentAt)} ms`);
    expect(new Webhook(secret).verify(hook.body, { ...hook.headers })).toMatchObject({ type: 'context_updated' });
    expect(() => new Webhook(secret).verify(`${hook.body} `, { ...hook.headers })).toThrow();
  });

  it('are sent again, with the same id, when the server was killed while one was under way', async () => {
    const { id } = await call('POST', '/v1/contexts', { name: 'Killed' });
    await webhook('/killed', id);
    // It is taken and never answered.
    replies.set('/killed', () => undefined);
    await call('PATCH', `/v1/contexts/${id}`, { name: 'under way' });
    await call('PATCH', `/v1/contexts/${id}`, { name: 'behind it' });
    await waitFor('the delivery to be under way', () => at('/killed').length === 1);
    await stopServer(server, 'SIGKILL');
    replies.delete('/killed');
    await start();
    await waitFor('both', () => at('/killed').length === 3, 180_000);
    const [first, again, next] = at('/killed').map(({ body }) => Number(JSON.parse(body).data.version));
    expect(again).toBe(first);
    expect(next).toBeGreaterThan(first ?? Number.NaN);
    const ids = at('/killed').map(({ headers }) => headers['webhook-id']);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[2]).not.toBe(ids[1]);
  });

  it('are delivered to a receiver that answers with 100 MB, or with a body that never ends, and read little of it', async () => {
    const { id } = await call('POST', '/v1/contexts', { name: 'A lot' });
    const [big, endless] = [await webhook('/big', id), await webhook('/endless', id)];
    let bytes = 0;
    let closed = 0;
    replies.set('/big', (response) => {
      const chunk = Buffer.alloc(64 * 1024, 'x');
      const write = () => {
        if (bytes >= MEGABYTES * 1024 * 1024) response.end();
        else {
          bytes += chunk.byteLength;
          response.write(chunk, (error) => (error ? undefined : write()));
        }
      };
      response.on('close', () => {
        closed += 1;
      });
      response.writeHead(200);
      write();
    });
    replies.set('/endless', (response) => {
      response.on('close', () => {
        closed += 1;
      });
      response.writeHead(200);
      response.write('and so on');
    });
    await call('PATCH', `/v1/contexts/${id}`, { name: 'Changed' });
    for (const hook of [big, endless]) {
      await waitFor('the attempt', async () => (await lastAttempt(hook.id)) !== undefined);
      const attempt = await lastAttempt(hook.id);
      expect(attempt).toMatchObject({ outcome: 'delivered', status: 200 });
      expect(attempt?.durationMs).toBeLessThan(READ_MS);
    }
    await waitFor('both connections to be given up', () => closed === 2);
    expect(bytes).toBeLessThan(MEGABYTES * 1024 * 1024);
  });

  it('do not follow a redirect, and hold up no other while a receiver is slow', async () => {
    const { id } = await call('POST', '/v1/contexts', { name: 'Slow' });
    const [moved, slow] = [await webhook('/moved', id), await webhook('/slow', id)];
    await webhook('/quick', id);
    replies.set('/moved', (response) => response.writeHead(308, { Location: urlOf('/elsewhere') }).end());
    let givenUpAt: number | null = null;
    replies.set('/slow', (response) => {
      response.on('close', () => {
        givenUpAt ??= performance.now();
      });
    });
    await call('PATCH', `/v1/contexts/${id}`, { name: 'Changed' });
    await waitFor('the quick one', () => at('/quick').length > 0);
    await waitFor('the redirect', async () => (await lastAttempt(moved.id))?.outcome === 'redirected');
    await waitFor('the slow one to be given up', async () => (await lastAttempt(slow.id)) !== undefined);
    expect(await lastAttempt(slow.id)).toMatchObject({ outcome: 'timed_out', status: null });
    await waitFor('its connection to be closed', () => givenUpAt !== null);
    for (const path of ['/quick', '/moved']) expect(at(path)[0]?.at).toBeLessThan(givenUpAt ?? 0);
    expect(at('/elsewhere')).toEqual([]);
  });

  it('count in the metrics by how they ended', async () => {
    const response = await fetch(`${server.url}/metrics`, { headers: { Authorization: `Bearer ${KEY}` } });
    const text = await response.text();
    expect(text).toMatch(/chittyconnect_webhook_attempts_total\{outcome="delivered"\} [1-9]/);
    expect(text).toMatch(/chittyconnect_webhook_attempts_total\{outcome="redirected"\} [1-9]/);
  });

  it('go to this machine only where that is allowed', async () => {
    await stopServer(server);
    server = await startServer({ port, dataFolder: folder.path, apiKey: KEY });
    await expect(call('POST', '/v1/webhooks', { url: urlOf('/own') })).rejects.toThrow('must begin with https://');
    const { items } = await call<{ items: { id: string; url: string }[] }>('GET', '/v1/webhooks');
    const [kept] = items.filter(({ url }) => url.endsWith('/plain'));
    if (!kept) throw new Error('it was kept');
    const { attempt } = await call<{ attempt: Attempt }>('POST', `/v1/webhooks/${kept.id}/test`);
    expect(attempt).toMatchObject({ outcome: 'blocked', error: 'The address must begin with https://.' });
  });
});
