import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type Exit,
  freePort,
  ROOT,
  type ServerProcess,
  type StartOptions,
  spawnServer,
  startServer,
  stopServer,
  temporaryFolder,
  waitFor,
} from '../support/server.ts';

/**
 * How long a start may take to give up: the build, which comes before the port is looked at, is most of it, two seconds
 * or ten times that.
 */
const GIVE_UP_MS = 100_000;

const temporary = temporaryFolder('refused');
afterAll(() => temporary.remove());

/** Starts the product, which must end by itself. @returns how it ended and what it printed */
async function endOf(options: Partial<StartOptions>): Promise<Exit & { stdout: string; stderr: string }> {
  const server: ServerProcess = spawnServer({
    port: await freePort(),
    dataFolder: join(temporary.path, 'data'),
    ...options,
    environment: { TMPDIR: temporary.path, ...options.environment },
  });
  try {
    await waitFor('the start to give up', server.hasExited, GIVE_UP_MS);
  } finally {
    server.kill('SIGKILL');
    await server.exited;
  }
  return { ...(await server.exited), stdout: server.stdout(), stderr: server.stderr() };
}

/** Exit status 1, nothing on stdout, and on stderr one line that says `what`. */
function refusal(what: RegExp) {
  return {
    code: 1,
    stdout: '',
    stderr: expect.toSatisfy(
      (text: string) => /^[^\n]{10,}\n$/.test(text) && !/^\s+at |Error:/m.test(text) && what.test(text),
      `one line that says ${what}`,
    ),
  };
}

describe('a start that cannot be says why in one line and ends with 1', () => {
  it.each([
    ['AUDIT_KEEP_DAYS', 'a year', /AUDIT_KEEP_DAYS is "a year".*number of days/],
    ['AUDIT_KEEP_DAYS', '0', /AUDIT_KEEP_DAYS/],
    ['COLD_AFTER_DAYS', 'never', /COLD_AFTER_DAYS is "never".*"off"/],
    ['COLD_AFTER_DAYS', '-1', /COLD_AFTER_DAYS/],
    ['LOG_ORIGIN', 'no name', /LOG_ORIGIN.*without spaces/],
    ['WITNESSES', 'nobody', /WITNESSES.*nobody/],
    ['WEBHOOKS_TO_LOOPBACK', '1', /WEBHOOKS_TO_LOOPBACK.*true/],
    ['WITNESSES', 'log.example/contexts+46f0a2f7+AbN+7Rb3Zg= https://w.example', /WITNESSES/],
  ])('when %s is %j', async (name, value, what) => {
    expect(await endOf({ environment: { [name]: value } })).toMatchObject(refusal(what));
  });

  it('when the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    expect(await endOf({ port })).toMatchObject(refusal(new RegExp(`Port ${port} .* is taken.*set PORT`)));
    other.close();
  });

  it.each(['abc', '0', '65536', '-1', '80.5', '1e3', '0x50', ' 80'])('when PORT is "%s"', async (port) => {
    expect(await endOf({ port })).toMatchObject(refusal(/PORT is ".*number from 1 to 65535/));
  });

  it.each(['192.0.2.1', '300.1.1.1'])('when HOST is %s, which is not of this machine', async (HOST) => {
    expect(await endOf({ environment: { HOST } })).toMatchObject(refusal(/HOST/));
  });

  it('when the data folder would be below a file', async () => {
    const file = join(temporary.path, 'file');
    writeFileSync(file, '');
    for (const dataFolder of [file, join(file, 'x')]) {
      expect(await endOf({ dataFolder })).toMatchObject(refusal(/Cannot write to the data folder.*set DATA_DIR/));
    }
  });

  // Node itself never comes back from mkdirSync('/proc/x', { recursive: true }).
  it.runIf(process.platform === 'linux')('when the data folder would be in /proc', async () => {
    expect(await endOf({ dataFolder: '/proc/chittyconnect' })).toMatchObject(
      refusal(/Cannot write to the data folder/),
    );
  });

  it('when another process holds the data folder, by whatever path it is named', async () => {
    const dataFolder = join(temporary.path, 'held');
    const options = { port: await freePort(), dataFolder, apiKey: 'k', environment: { TMPDIR: temporary.path } };
    const server = await startServer(options);
    symlinkSync(dataFolder, join(temporary.path, 'link'));
    for (const path of [dataFolder, join(temporary.path, 'link')]) {
      expect(await endOf({ dataFolder: path })).toMatchObject(refusal(/held by another process.*set DATA_DIR/));
    }
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    await stopServer(server);
  });

  it('when what should be the lock is a folder', async () => {
    const dataFolder = join(temporary.path, 'lock-is-a-folder');
    mkdirSync(join(dataFolder, 'lock.sqlite'), { recursive: true });
    expect(await endOf({ dataFolder })).toMatchObject(refusal(/data folder/));
  });

  it('when workerd cannot be run', async () => {
    const environment = {
      CHITTYCONNECT_WORKERD: join(temporary.path, 'no-such-workerd'),
      MINIFLARE_WORKERD_PATH: join(ROOT, 'scripts', 'workerd-guard.sh'),
    };
    expect(await endOf({ environment })).toMatchObject(refusal(/workerd/));
  });
});

it('a start from another folder works as well', async () => {
  const options = { port: await freePort(), dataFolder: join(temporary.path, 'elsewhere'), cwd: temporary.path };
  const server = await startServer({ ...options, environment: { TMPDIR: temporary.path } });
  await stopServer(server);
});

describe('a start whose code does not build', () => {
  it('says what is wrong and where, and ends with 1', async () => {
    const copy = join(temporary.path, 'copy');
    for (const part of [
      'actors',
      'embedded',
      'events',
      'projections',
      'scripts',
      'src',
      'package.json',
      'wrangler.toml',
    ]) {
      cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const worker = join(copy, 'src', 'worker.ts');
    writeFileSync(worker, `${readFileSync(worker, 'utf8')}\nconst = broken;\n`);
    const child = spawn(process.execPath, ['scripts/start.ts'], {
      cwd: copy,
      env: { PATH: process.env['PATH'], HOME: temporary.path, PORT: String(await freePort()), DATA_DIR: '.data' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const [code] = await once(child, 'close');
    expect(code).toBe(1);
    expect(stderr).toContain('src/worker.ts');
    expect(stderr).toMatch(/Expected identifier/);
  });
});
