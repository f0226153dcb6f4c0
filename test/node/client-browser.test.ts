import { createServer, type Server } from 'node:http';
import { runInNewContext } from 'node:vm';
import { build } from 'esbuild';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';

/** Bytes of the minified client at most; it is about 6 kB and would be ten times that with a schema library in it. */
const BUNDLE_MAX_BYTES = 10_000;

/** A browser's WebSocket: what is not a subprotocol is refused before anything is sent (WHATWG WebSockets, 3.1). */
class BrowserSocket extends WebSocket {
  constructor(url: string | URL, protocols: string | string[] = []) {
    if (typeof protocols === 'object' && !Array.isArray(protocols)) {
      throw new DOMException("The subprotocol '[object Object]' is invalid.", 'SyntaxError');
    }
    super(url, protocols);
  }
}

const requests: string[] = [];
let server: Server;
let baseUrl: string;

beforeEach(async () => {
  const sockets = new WebSocketServer({ noServer: true });
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    response.writeHead(201, { 'Content-Type': 'application/json' }).end('{"ticket":"tkt_1"}');
  });
  server.on('upgrade', (request, socket, head) => {
    requests.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    sockets.handleUpgrade(request, socket, head, (opened) => {
      opened.send('{"type":"hello","version":1,"state":{}}');
      opened.send('{"type":"event","event":{"version":2}}');
      opened.close(4410);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  baseUrl = `http://127.0.0.1:${address.port}`;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

it('in a browser, the client has no dependency, and watches with a ticket because it cannot send headers', async () => {
  const bundle = await build({
    entryPoints: ['client/client.ts'],
    bundle: true,
    minify: true,
    format: 'iife',
    globalName: 'chittyconnect',
    platform: 'browser',
    write: false,
    logLevel: 'silent',
  });
  const text = bundle.outputFiles[0]?.text ?? '';
  expect(text.length).toBeLessThan(BUNDLE_MAX_BYTES);
  expect(text).not.toMatch(/node:|\brequire\(|\bprocess\b/);
  const seen: unknown[] = [];
  const browser = { fetch, URL, WebSocket: BrowserSocket, setInterval, clearInterval, setTimeout, clearTimeout };
  const page = `(async () => {
    const client = chittyconnect.connect({ baseUrl: ${JSON.stringify(baseUrl)}, apiKey: 'key' });
    for await (const message of client.watch('ctx_1')) seen(message);
  })()`;
  const globals = { ...browser, seen: (message: unknown) => seen.push(message) };
  await runInNewContext(`${text}; ${page}`, globals);
  expect(seen).toMatchObject([
    { type: 'hello', version: 1 },
    { type: 'event', event: { version: 2 } },
  ]);
  expect(requests).toEqual([
    'POST /v1/contexts/ctx_1/tickets Bearer key',
    'GET /v1/contexts/ctx_1/live?ticket=tkt_1 undefined',
  ]);
});
