import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  childrenOf,
  freePort,
  type Server,
  startServer,
  stopServer,
  temporaryFolder,
  waitFor,
} from '../support/server.ts';

const MIB = 1024 * 1024;
/** Connections that stay in the middle of a request at the same time. */
const SLOW_CONNECTIONS = 200;

const API_KEY = 'the-key-of-the-network-tests';
const HEADERS = `Host: localhost\r\nAuthorization: Bearer ${API_KEY}\r\n`;
const POST = `POST /v1/contexts HTTP/1.1\r\n${HEADERS}Content-Type: application/json\r\n`;
const GET = `GET /health HTTP/1.1\r\n${HEADERS}\r\n`;

const temporary = temporaryFolder('network');
let server: Server;
let workerd: number[];

beforeAll(async () => {
  const environment = { TMPDIR: temporary.path };
  server = await startServer({ port: await freePort(), dataFolder: temporary.path, apiKey: API_KEY, environment });
  workerd = childrenOf(server.pid);
});

afterAll(async () => {
  await stopServer(server);
  temporary.remove();
});

/** A connection that has sent bytes. */
interface Connection {
  readonly socket: Socket;
  /** What came back so far. */
  received(): string;
  isOver(): boolean;
  /** Whether it was the server who broke it off. */
  wasReset(): boolean;
}

function open(bytes: readonly (string | Buffer)[]): Connection {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  let received = '';
  let over = false;
  let reset = false;
  socket.setEncoding('latin1');
  socket.on('data', (text) => {
    received += text;
  });
  // A server that refuses a body need not read the rest of it, and resets the connection.
  socket.on('error', () => {
    reset = true;
  });
  socket.on('close', () => {
    over = true;
  });
  for (const chunk of bytes) socket.write(chunk);
  return { socket, received: () => received, isOver: () => over, wasReset: () => reset };
}

/** How often something is sent again whose answer was lost. */
const ATTEMPTS = 5;

/** Sends bytes as they are. @returns the statuses of the first `count` answers */
async function statuses(bytes: readonly (string | Buffer)[], { count = 1, half = false } = {}): Promise<number[]> {
  for (let attempt = 1; ; attempt++) {
    const connection = open(bytes);
    if (half) connection.socket.end();
    const found = () => [...connection.received().matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
    await waitFor('an answer', () => found().length >= count || connection.isOver());
    connection.socket.destroy();
    // Whoever still writes when a reset comes does not get to read the answer that came just before it.
    if (found().length > 0 || !connection.wasReset() || attempt === ATTEMPTS) return found();
  }
}

async function isHealthy(): Promise<boolean> {
  return (await fetch(`${server.url}/health`)).ok;
}

describe('the server is not harmed by', () => {
  it.each([
    ['a body of 10 MB', [`${POST}Content-Length: ${10 * MIB}\r\n\r\n`, Buffer.alloc(10 * MIB, 'x')], [413]],
    ['a body of 10 MB that is announced and never sent', [`${POST}Content-Length: ${10 * MIB}\r\n\r\n`], [413]],
    [
      'a body of 2 MB in chunks, with no length',
      [
        `${POST}Transfer-Encoding: chunked\r\n\r\n`,
        ...Array.from({ length: 32 }, () => `10000\r\n${'x'.repeat(0x10000)}\r\n`),
        '0\r\n\r\n',
      ],
      [413],
    ],
    ['a header of 1 MB', [`GET /health HTTP/1.1\r\n${HEADERS}X-Large: ${'x'.repeat(MIB)}\r\n\r\n`], [431]],
    ['a path of 200 kB', [`GET /${'x'.repeat(200_000)} HTTP/1.1\r\n${HEADERS}\r\n`], [431]],
    ['a TLS greeting', ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on\r\n\r\n'], [501]],
    ['a request without Host', ['GET /health HTTP/1.1\r\n\r\n'], [400]],
    ['a header with NUL', ['GET /health HTTP/1.1\r\nHost: \0\r\n\r\n'], [400]],
  ] satisfies [string, (string | Buffer)[], number[]][])('%s', async (_, bytes, expected) => {
    expect(await statuses(bytes)).toEqual(expected);
    expect(await isHealthy()).toBe(true);
    expect(childrenOf(server.pid)).toEqual(workerd);
  });

  it('twenty requests at once on one connection, all of which are answered in order', async () => {
    const create = (name: string) => `${POST}Content-Length: ${name.length + 11}\r\n\r\n{"name":"${name}"}`;
    expect(await statuses([(create('first') + GET).repeat(10)], { count: 20 })).toEqual(
      Array.from({ length: 10 }, () => [201, 200]).flat(),
    );
  });

  it('a client that closes its side after a request: it still gets the answer', async () => {
    expect(await statuses([GET], { half: true })).toEqual([200]);
  });

  it('a client that closes its side in the middle of a body: nothing is written', async () => {
    const [status = 0] = await statuses([`${POST}Content-Length: 100\r\n\r\n{"name":`], { half: true });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(await isHealthy()).toBe(true);
  });

  it('a body that breaks off or is badly framed, which is the client’s fault and no 5xx', async () => {
    const brokenOff = await statuses([`${POST}Content-Length: 100\r\n\r\n{"name":`], { half: true });
    const badlyFramed = await statuses([`${POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n`]);
    expect([...brokenOff, ...badlyFramed]).toEqual([400, 400]);
  });

  // The runtime gives a request as long as it likes; what matters is that it costs the others nothing.
  it(`${SLOW_CONNECTIONS} clients that stop in the middle of a request: the others are served`, async () => {
    const halves = [`GET /health HTTP/1.1\r\nHo`, `${POST}Content-Length: 100\r\n\r\n{"na`];
    const slow = Array.from({ length: SLOW_CONNECTIONS }, (_, index) => open([halves[index % halves.length] ?? '']));
    await waitFor('all to be connected', () => slow.every(({ socket }) => !socket.connecting));
    for (let request = 0; request < 20; request++) expect(await isHealthy()).toBe(true);
    // All while every slow one still was in the middle: nobody waited until one of them was done or given up.
    expect(slow.filter(({ received, isOver }) => received().length > 0 || isOver())).toEqual([]);
    const [head, body] = slow;
    head?.socket.write('st: localhost\r\n\r\n');
    body?.socket.write(`me":"slow"}${' '.repeat(86)}`);
    await waitFor('the slow ones to be answered once they go on', () =>
      [head, body].every((connection) => /^HTTP\/1.1 20[01] /.test(connection?.received() ?? '')),
    );
    for (const { socket } of slow) socket.destroy();
    expect(await isHealthy()).toBe(true);
  });
});
