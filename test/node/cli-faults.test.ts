import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../scripts/fault/random.ts';
import { change, create, whenLogged } from '../../scripts/tamper/writer.ts';
import { type Ran, runCli } from '../support/cli.ts';
import { freePort, ROOT, type Server, startServer, stopServer, temporaryFolder } from '../support/server.ts';

const CONTEXTS = 8;
/** What `ulimit -f` counts in, in bytes. */
const BLOCK = 512;

const folder = mkdtempSync(join(tmpdir(), 'chittyconnect-cli-faults-'));
const data = temporaryFolder('cli-faults');
const path = (name: string) => join(folder, name);
let server: Server;
let ids: string[] = [];
let environment: Record<string, string>;

/** What becomes of a request that is not handed on to the server; false when it is handed on. */
let fault: (url: URL, response: ServerResponse) => boolean | Promise<boolean> = () => false;

/** Stands between the tool and the server, which does nothing wrong by itself. */
const proxy = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', server.url);
  if (await fault(url, response)) return;
  const { accept = '*/*', authorization = '' } = request.headers;
  const answer = await fetch(url, { headers: { Accept: accept, Authorization: authorization } });
  const headers = [...answer.headers].filter(([name]) => !/^(content-(encoding|length)|transfer-.*)$/.test(name));
  response.writeHead(answer.status, Object.fromEntries(headers)).end(Buffer.from(await answer.arrayBuffer()));
});
const origin = () => {
  const address = proxy.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return `http://127.0.0.1:${address.port}`;
};

const run = (...args: string[]) => runCli(args, { environment });
const audit = () => run('verify', origin(), '--key', path('keys.json'));

/** Runs the tool where no file may have more than so many blocks. */
function runOnFullDisk(blocks: number, ...args: string[]): Promise<Ran> {
  const tool = [process.execPath, join(ROOT, 'cli', 'chittyconnect.js'), ...args];
  return new Promise((resolve) => {
    const script = `ulimit -f ${blocks}; exec "$@"`;
    const { PATH = '' } = process.env;
    const child = execFile(
      'sh',
      ['-c', script, 'sh', ...tool],
      { env: { PATH, ...environment } },
      (_, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: data.path, apiKey: 'the-key-of-the-fault-test' });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  environment = { CHITTYCONNECT_URL: origin(), CHITTYCONNECT_API_KEY: server.apiKey };
  ids = await Promise.all(Array.from({ length: CONTEXTS }, (_, index) => create(server, `context ${index}`)));
  for (const id of ids) await change(server, id, 5, seededRandom(1));
  await whenLogged(server, ids);
  writeFileSync(path('keys.json'), await (await fetch(`${server.url}/log/keys`)).text());
});

afterEach(() => {
  fault = () => false;
});

afterAll(async () => {
  proxy.close();
  proxy.closeAllConnections();
  if (server) await stopServer(server);
  data.remove();
  rmSync(folder, { recursive: true });
});

const isState = (url: URL) => /^\/v1\/contexts\/[^/]+$/.test(url.pathname) && url.searchParams.has('at');
const isHistory = (url: URL) => url.pathname.endsWith('/events');

/** Answers nothing but that it is too busy. */
function busy(status: number, response: ServerResponse): true {
  response.writeHead(status, { 'Content-Type': 'application/problem+json', 'Retry-After': '0.2' });
  response.end(JSON.stringify({ type: 'about:blank', title: 'Busy', status }));
  return true;
}

describe('what is no tampering, verify does not report as such:', () => {
  it('an answer that breaks off', async () => {
    fault = (url, response) => {
      if (!isState(url)) return false;
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000' });
      response.write('{"id":', () => response.destroy());
      return true;
    };
    const { status, stdout, stderr } = await audit();
    expect([status, stderr]).toEqual([3, expect.stringContaining('The connection broke')]);
    expect(stdout).not.toContain('state-differs');
  });

  it.each([
    [429, 'states', isState],
    [503, 'states', isState],
    [429, 'histories', isHistory],
    [503, 'histories', isHistory],
  ])('%i, of %s', async (code, _what, isMeant) => {
    fault = (url, response) => isMeant(url) && busy(code, response);
    const { status, stdout, stderr } = await audit();
    expect([status, stderr]).toEqual([3, expect.stringContaining('Busy')]);
    expect(stdout).not.toContain('verified:');
  });
});

it('verify asks for nothing more once it has failed', async () => {
  const asked: string[] = [];
  const failed = Promise.withResolvers<void>();
  fault = async (url, response) => {
    if (!isHistory(url)) return false;
    asked.push(url.pathname);
    if (asked.length === 1) {
      response.writeHead(400, { 'Content-Type': 'application/problem+json' }).end('{"title":"No","status":400}');
      return true;
    }
    // The others are answered when it has said why it failed, and would go on.
    await failed.promise;
    return false;
  };
  const onStderr = () => failed.resolve();
  const { status } = await runCli(['verify', origin(), '--key', path('keys.json')], { environment, onStderr });
  expect(status).toBe(3);
  expect(asked.length).toBeLessThanOrEqual(4);
});

describe('an export', () => {
  it('is none when the disk has no room for its end', async () => {
    const [id = ''] = ids;
    await run('export', id, '--out', path('whole.ndjson'));
    const blocks = Math.ceil(statSync(path('whole.ndjson')).size / BLOCK) - 1;
    const { status, stderr } = await runOnFullDisk(blocks, 'export', id, '--out', path('cut.ndjson'));
    expect(statSync(path('cut.ndjson')).size).toBe(blocks * BLOCK);
    expect([status, stderr]).toEqual([2, expect.stringContaining('cannot be written (EFBIG)')]);
    expect(stderr).not.toContain('exported');
  });

  it('of all contexts has the one that is restored while they are listed', async () => {
    let lists = 0;
    fault = (url, response) => {
      if (url.pathname !== '/v1/contexts' || ++lists > 1) return false;
      response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"items":[],"nextCursor":null}');
      return true;
    };
    expect(await run('export', '--all', '--out', path('all.ndjson'))).toMatchObject({
      status: 0,
      stderr: `exported: ${CONTEXTS} contexts\n`,
    });
  });
});

describe('a file of bare events', () => {
  const contextOf = async (id: string) =>
    (await fetch(`${server.url}/v1/contexts/${id}`, { headers: { Authorization: `Bearer ${server.apiKey}` } })).json();

  it('of several contexts is replayed for each of them', async () => {
    const some = ids.slice(0, 3);
    await run('export', ...some, '--ndjson', '--out', path('bare.ndjson'));
    for (const id of some) {
      const { status, stdout, stderr } = await run('replay', path('bare.ndjson'), '--context', id);
      expect([status, stderr]).toEqual([0, '']);
      expect(JSON.parse(stdout)).toEqual(await contextOf(id));
    }
    expect(await run('replay', path('bare.ndjson'))).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--context'),
    });
  });

  it.each(['bare', 'bundle'])('does not pass another context’s event off as one of its own: %s', async (form) => {
    const [id = '', other = ''] = ids;
    const lines = (text: string) => text.trimEnd().split('\n');
    const own = lines((await run('export', id)).stdout);
    const others = lines((await run('export', other, '--ndjson')).stdout);
    const spliced = [...own.slice(form === 'bare' ? 1 : 0, 4), others[3] ?? ''];
    writeFileSync(path('spliced.ndjson'), spliced.join('\n'));
    const { status, stderr } = await run('replay', path('spliced.ndjson'));
    expect(readFileSync(path('spliced.ndjson'), 'utf8')).toContain(`"stream":"context/${other}"`);
    if (form === 'bare') expect([status, stderr]).toEqual([2, expect.stringContaining('--context')]);
    else expect([status, stderr]).toEqual([1, expect.stringContaining(`is one of context/${other}`)]);
  });
});
