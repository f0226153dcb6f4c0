import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  childrenOf,
  freePort,
  isRunning,
  type Server,
  spawnServer,
  startServer,
  stopServer,
  temporaryFolder,
  waitFor,
} from '../support/server.ts';

const API_KEY = 'the-key-of-the-stop-tests';

let temporary: ReturnType<typeof temporaryFolder>;
let running: Server[] = [];

beforeEach(() => {
  temporary = temporaryFolder('stop');
});

afterEach(async () => {
  for (const server of running) if (!server.hasExited()) await stopServer(server, 'SIGKILL');
  running = [];
  temporary.remove();
});

async function start(folder = 'data', port?: number, environment: Record<string, string> = {}): Promise<Server> {
  const options = {
    dataFolder: join(temporary.path, folder),
    environment: { TMPDIR: temporary.path, ...environment },
  };
  const server = await startServer({ ...options, port: port ?? (await freePort()), apiKey: API_KEY });
  running.push(server);
  return server;
}

const headers = { Authorization: `Bearer ${API_KEY}`, 'Content-Type': 'application/json' };

async function create(server: Server, name: string): Promise<string> {
  const response = await fetch(`${server.url}/v1/contexts`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ name }),
  });
  expect(response.status).toBe(201);
  return response.headers.get('Location') ?? '';
}

async function nameAt(server: Server, path: string): Promise<unknown> {
  const context: { name?: unknown } = await (await fetch(server.url + path, { headers })).json();
  return context.name;
}

/** Changes a context until the server is gone. @returns how many changes were acknowledged */
async function changeUntilGone(server: Server, path: string): Promise<number> {
  for (let acknowledged = 0; ; acknowledged++) {
    const body = JSON.stringify({ name: `name ${acknowledged}` });
    const response = await fetch(server.url + path, { method: 'PATCH', headers, body }).catch(() => null);
    if (response === null) return acknowledged;
    expect(response.status).toBe(200);
  }
}

describe.each(['SIGINT', 'SIGTERM'] as const)('%s', (signal) => {
  it('stops the server and its workerd, and nothing that was acknowledged is lost', async () => {
    const server = await start();
    const workerd = childrenOf(server.pid);
    expect(workerd).toHaveLength(1);
    const path = await create(server, 'before the signal');
    const changes = changeUntilGone(server, path);
    await waitFor('a few changes', async () => String(await nameAt(server, path)) !== 'before the signal');
    await stopServer(server, signal);
    expect(workerd.filter(isRunning)).toEqual([]);
    const acknowledged = await changes;
    const again = await start();
    const events: unknown[] = await (await fetch(`${again.url}${path}/events?limit=1000`, { headers })).json();
    expect(events.length - 1).toBeGreaterThanOrEqual(Math.min(acknowledged, 999));
  });

  it('ends with the status 0', async () => {
    const server = await start();
    expect(await stopServer(server, signal)).toEqual({ code: 0, signal: null });
  });

  it('sent twice stops it as well, and prints no stack trace', async () => {
    const server = await start();
    server.kill(signal);
    server.kill(signal);
    await server.exited;
    expect(server.stderr()).toBe('');
  });
});

describe('kill -9', () => {
  it('of node takes workerd with it, and the next start works at once on the same port and data', async () => {
    const server = await start();
    const path = await create(server, 'kept');
    const workerd = childrenOf(server.pid);
    server.kill('SIGKILL');
    await server.exited;
    const again = await start('data', Number(new URL(server.url).port));
    expect(workerd.filter(isRunning)).toEqual([]);
    expect(await nameAt(again, path)).toBe('kept');
  });

  it('of workerd alone makes node start another one, which has everything', async () => {
    const server = await start('data', undefined, { CHITTYCONNECT_SWEEP_MS: '200' });
    const path = await create(server, 'kept');
    const [workerd] = childrenOf(server.pid);
    process.kill(workerd ?? 0, 'SIGKILL');
    await waitFor('the server to answer again', () =>
      fetch(`${server.url}/health`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    expect(await nameAt(server, path)).toBe('kept');
    expect(childrenOf(server.pid)).not.toContain(workerd);
    // The sweeps go on: they do not hold to what is gone.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(server.hasExited()).toBe(false);
    expect(await nameAt(server, path)).toBe('kept');
  });

  it('in the middle of a start leaves a folder that the next start can use', async () => {
    const port = await freePort();
    const dataFolder = join(temporary.path, 'data');
    for (const printed of ['', 'ChittyConnect']) {
      const starting = spawnServer({ port, dataFolder, environment: { TMPDIR: temporary.path } });
      const hasLock = () => existsSync(join(dataFolder, 'lock.sqlite'));
      await waitFor('the start to get somewhere', () => hasLock() && starting.stdout().includes(printed), 120_000);
      const children = childrenOf(starting.pid);
      starting.kill('SIGKILL');
      await waitFor('all of it to be gone', () => starting.isGone() && !children.some(isRunning));
    }
    const server = await start('data', port);
    expect(await nameAt(server, await create(server, 'works'))).toBe('works');
  });
});

describe('two servers', () => {
  it('run beside each other on two folders and know nothing of each other', async () => {
    const [one, two] = await Promise.all([start('one'), start('two')]);
    const path = await create(one, 'of one');
    expect(await nameAt(one, path)).toBe('of one');
    expect((await fetch(two.url + path, { headers })).status).toBe(404);
  });
});
