import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CONTEXT_PREFIX } from '../../events/context.ts';
import { newId } from '../../events/id.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder } from '../support/server.ts';

const temporary = temporaryFolder('first');
const running = new Set<Server>();

async function start(folder: string, environment: Record<string, string> = {}): Promise<Server> {
  const server = await startServer({
    port: await freePort(),
    dataFolder: join(temporary.path, folder),
    environment: { TMPDIR: temporary.path, ...environment },
  });
  running.add(server);
  return server;
}

async function stop(server: Server, signal?: NodeJS.Signals): Promise<void> {
  running.delete(server);
  await stopServer(server, signal);
}

afterAll(async () => {
  for (const server of running) await stop(server, 'SIGKILL');
  temporary.remove();
});

/** The status of a request with a key. */
async function statusWith(server: Server, key: string, path = '/v1/contexts/nothing'): Promise<number> {
  return (await fetch(server.url + path, { headers: { Authorization: `Bearer ${key}` } })).status;
}

/** The lines of what a start printed that begin with curl. */
function curlLines(server: Server): string[] {
  return server
    .stdout()
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('curl '));
}

const hasCurl = spawnSync('curl', ['--version']).status === 0;

/** Runs a curl line: as it is where there is a curl, and what it means where there is none. */
async function paste(
  line: string,
  environment: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  if (hasCurl) {
    const output = execFileSync('sh', ['-c', line], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, ...environment },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [head = '', body = ''] = output.split('\r\n\r\n');
    return { status: Number(head.split(' ')[1]), body };
  }
  const url = / (http\S+)/.exec(line)?.[1] ?? '';
  const headers = [...line.matchAll(/-H "([^:]+): ([^"]+)"/g)].map(([, name = '', value = '']): [string, string] => [
    name,
    value.replace('$BOOTSTRAP_API_KEY', environment['BOOTSTRAP_API_KEY'] ?? ''),
  ]);
  const body = /-d '([^']+)'/.exec(line)?.[1] ?? null;
  const method = /-X (\w+)/.exec(line)?.[1] ?? (body === null ? 'GET' : 'POST');
  const response = await fetch(url, { method, headers, body });
  return { status: response.status, body: await response.text() };
}

describe('the first start', () => {
  it('prints its address, a key, and three curl lines that work when pasted, also twice', async () => {
    const server = await start('first');
    expect(server.stdout()).toContain(`ready at ${server.url}`);
    expect(server.apiKey).toMatch(/^cck_[\w-]{32}$/);
    const lines = curlLines(server);
    expect(lines).toHaveLength(3);
    const [create = '', change = '', replay = ''] = lines;
    expect(await paste(create)).toMatchObject({ status: 201 });
    expect(await paste(create)).toMatchObject({ status: 201 });
    expect(await paste(change)).toMatchObject({ status: 200 });
    expect(await paste(change)).toMatchObject({ status: 200 });
    const events: { type: string }[] = JSON.parse((await paste(replay)).body);
    const asked = events.map(({ type }) => type).filter((type) => /^context_(created|updated)$/.test(type));
    expect(asked).toEqual(['context_created', 'context_updated']);
    await stop(server);
  });

  it('keeps only the hash of the key it made, readable by nobody else', async () => {
    const server = await start('kept');
    const file = join(temporary.path, 'kept', 'bootstrap-key.sha256');
    expect(readFileSync(file, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
    expect(statSync(file).mode & 0o077).toBe(0);
    await stop(server);
  });
});

describe('the key that encrypts the signing keys', () => {
  const file = (folder: string) => join(temporary.path, folder, 'key-encryption-key');

  it('is made once, readable by nobody else, and is the same at the next start', async () => {
    const server = await start('encryption');
    expect(statSync(file('encryption')).mode & 0o077).toBe(0);
    const made = readFileSync(file('encryption'), 'utf8');
    expect(made).toMatch(/^[\w-]{43}\n$/);
    const headers = { Authorization: `Bearer ${server.apiKey}` };
    const rotated = await fetch(`${server.url}/v1/admin/signing-keys/rotate`, { method: 'POST', headers });
    expect(rotated.status).toBe(200);
    await stop(server, 'SIGKILL');
    const again = await start('encryption');
    expect(readFileSync(file('encryption'), 'utf8')).toBe(made);
    const resealed = await fetch(`${again.url}/v1/admin/signing-keys/reseal`, { method: 'POST', headers });
    expect(resealed.status).toBe(200);
    await stop(again);
  });

  it('is not replaced when it is damaged: a new one could not open what the old one has encrypted', async () => {
    const server = await start('damaged');
    await stop(server);
    writeFileSync(file('damaged'), 'no key');
    await expect(start('damaged')).rejects.toThrow(/key-encryption-key does not hold a key\. Put it back/);
    expect(readFileSync(file('damaged'), 'utf8')).toBe('no key');
  });

  it('may be given, and a wrong one ends the start in plain words', async () => {
    await expect(start('given', { KEY_ENCRYPTION_KEY: 'short' })).rejects.toThrow(/KEY_ENCRYPTION_KEY is not 32 bytes/);
    const server = await start('given', { KEY_ENCRYPTION_KEY: 'A'.repeat(43) });
    expect(existsSync(file('given'))).toBe(false);
    await stop(server);
  });
});

describe('a later start', () => {
  it('does not print the key again; the old key still works and the lines take it from the environment', async () => {
    const first = await start('later');
    await stop(first, 'SIGKILL');
    const second = await start('later');
    expect(second.stdout()).not.toContain(first.apiKey);
    expect(second.stdout()).not.toMatch(/cck_/);
    expect(await statusWith(second, first.apiKey)).toBe(404);
    expect(await statusWith(second, 'cck_wrong')).toBe(401);
    const [create = ''] = curlLines(second);
    expect(await paste(create, { BOOTSTRAP_API_KEY: first.apiKey })).toMatchObject({ status: 201 });
    await stop(second);
  });

  it('with BOOTSTRAP_API_KEY takes that key, and the one that was made works again when it is unset', async () => {
    const first = await start('replaced');
    await stop(first);
    const second = await start('replaced', { BOOTSTRAP_API_KEY: 'another key'.replace(' ', '-') });
    expect(await statusWith(second, 'another-key')).toBe(404);
    expect(await statusWith(second, first.apiKey)).toBe(401);
    await stop(second);
    const third = await start('replaced');
    expect(await statusWith(third, first.apiKey)).toBe(404);
    await stop(third);
  });

  it('makes a new key when a kill left the file of the first one empty, instead of letting nobody in', async () => {
    const first = await start('emptied');
    await stop(first);
    writeFileSync(join(temporary.path, 'emptied', 'bootstrap-key.sha256'), '');
    const second = await start('emptied');
    const { apiKey } = second;
    await stop(second);
    expect(apiKey).toMatch(/^cck_/);
  });
});

/** The service is a context too, which has a database like every other. */
const SERVICE_ITSELF = 1;

describe('the data folder', () => {
  it('may have spaces, quotes and letters of any script in its path', async () => {
    const name = `a b'c"d $HOME ü 数据 %41 #x`;
    const server = await start(name);
    const [create = '', , replay = ''] = curlLines(server);
    expect(await paste(create)).toMatchObject({ status: 201 });
    await stop(server, 'SIGKILL');
    expect(databases(join(temporary.path, name))).toBe(SERVICE_ITSELF + 1);
    const again = await start(name);
    const headers = { Authorization: `Bearer ${server.apiKey}` };
    const path = new URL(/ (http\S+)/.exec(replay)?.[1] ?? '').pathname;
    expect((await fetch(again.url + path, { headers })).status).toBe(200);
    await stop(again);
  });

  it('gets no database for ids with wrong check digits, nor for an odd id', async () => {
    const server = await start('unknown');
    const right = newId(CONTEXT_PREFIX, Date.now());
    const wrong = right.slice(0, -1) + (right.endsWith('0') ? '1' : '0');
    for (const id of [wrong, 'ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC', right.toLowerCase(), '..%2f..%2fx', 'x'.repeat(5000)]) {
      expect(await everyStatus(server, id)).toEqual(new Set([404]));
    }
    expect(databases(join(temporary.path, 'unknown'))).toBe(SERVICE_ITSELF);
    await stop(server);
  });

  // Whoever asks a Durable Object creates it, and the runtime gives it a file: only the check digits stand before that.
  it('gets an empty database at most for an id with right check digits that was never created', async () => {
    const server = await start('never');
    expect(await everyStatus(server, newId(CONTEXT_PREFIX, Date.now()))).toEqual(new Set([404]));
    expect(databases(join(temporary.path, 'never'))).toBeLessThanOrEqual(SERVICE_ITSELF + 1);
    await stop(server);
  });
});

/** The statuses that all requests about a context are answered with. */
async function everyStatus(server: Server, id: string): Promise<Set<number>> {
  const headers = { Authorization: `Bearer ${server.apiKey}`, 'Content-Type': 'application/json' };
  const path = `${server.url}/v1/contexts/${id}`;
  const requests: [string, string, string | null][] = [
    ['GET', '', null],
    ['PATCH', '', '{"name":"x"}'],
    ['DELETE', '', null],
    ['POST', '/restore', null],
    ['GET', '/events', null],
    ['GET', '?at=1', null],
  ];
  const responses = requests.map(([method, suffix, body]) => fetch(path + suffix, { method, headers, body }));
  return new Set((await Promise.all(responses)).map(({ status }) => status));
}

/** How many contexts have a database in a data folder. */
function databases(folder: string): number {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return files.filter((file) => /ContextObject[/\\][0-9a-f]{64}\.sqlite$/.test(file)).length;
}
