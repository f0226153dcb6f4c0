import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort, type Server, startServer, stopServer, temporaryFolder } from '../support/server.ts';

const API_KEY = 'the-key-of-the-unread-bodies';

const temporary = temporaryFolder('unread');
let server: Server;

beforeAll(async () => {
  const options = { dataFolder: join(temporary.path, 'data'), environment: { TMPDIR: temporary.path } };
  server = await startServer({ ...options, port: await freePort(), apiKey: API_KEY });
});

afterAll(async () => {
  await stopServer(server);
  temporary.remove();
});

/** Sends requests on one connection, each when the one before was answered. @returns their statuses until it closes */
function onOneConnection(requests: readonly string[]): Promise<number[]> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve) => {
    // All of it: an answer may come in pieces, and one piece hold the end of an answer and the beginning of the next.
    let received = '';
    let statuses: number[] = [];
    const socket = connect({ host: hostname, port: Number(port) });
    const send = () => {
      const request = requests[statuses.length];
      if (request === undefined) socket.end();
      else socket.write(request);
    };
    socket.on('connect', send);
    socket.on('data', (data) => {
      received += data.toString('latin1');
      const found = [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
      if (found.length === statuses.length) return;
      statuses = found;
      // Most of the second one is under way when a server that closes the connection does so.
      send();
    });
    socket.on('error', () => resolve(statuses));
    socket.on('close', () => resolve(statuses));
  });
}

function request(method: string, path: string, body: string, key = API_KEY): string {
  const headers = `Host: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
  return `${method} ${path} HTTP/1.1\r\n${headers}\r\n\r\n${body}`;
}

it('a body that a route does not look at takes no other request with it', async () => {
  const created = await fetch(`${server.url}/v1/contexts`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${API_KEY}`, 'Content-Type': 'application/json' },
    body: '{"name":"x"}',
  });
  const path = created.headers.get('Location') ?? '';
  const unread = 'x'.repeat(100_000);
  const change = request('PATCH', path, JSON.stringify({ description: 'd'.repeat(9_000) }));
  const statuses = await onOneConnection([
    request('POST', `${path}/tickets`, unread),
    change,
    request('PATCH', path, unread, 'wrong'),
    change,
    request('PUT', path, unread),
    change,
  ]);
  expect(statuses).toEqual([400, 200, 401, 200, 405, 200]);
});
