import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.ts';
import { ROOT } from '../support/server.ts';

/** Bytes of a long history. */
const LONG = 1024 * 1024;
const CONTEXT = 'ctx_01M882NGZDKH81BX14G0H545ZN';

const folder = mkdtempSync(join(tmpdir(), 'chittyconnect-exit-'));
const path = (name: string) => join(folder, name);

/** What the server answers to everything. */
let answer: (response: ServerResponse) => void = (response) => response.end();
const server = createServer((_request, response) => answer(response));
let environment: Record<string, string>;

const json = (text: string, status = 200, type = 'application/json') => {
  answer = (response) => response.writeHead(status, { 'Content-Type': type }).end(text);
};

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  environment = { CHITTYCONNECT_URL: `http://127.0.0.1:${port}` };
  // It is built at its first use, which none of the limits below is for.
  await run('--help');
});

beforeEach(() => {
  answer = (response) => response.end(`${'x'.repeat(99)}\n`.repeat(LONG / 100));
});

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const run = (...args: string[]) => runCli(args, { environment });

/** Runs the tool in a shell, as a part of a command. */
function shell(command: string): Promise<{ status: number; stderr: string }> {
  const tool = `"${process.execPath}" "${join(ROOT, 'cli', 'chittyconnect.js')}"`;
  const { PATH = '', HOME = '' } = process.env;
  const env = { PATH, HOME, ...environment };
  return new Promise((resolve) => {
    execFile('bash', ['-c', command.replace('TOOL', tool)], { env }, (error, _stdout, stderr) =>
      resolve({ status: Number(error?.code ?? 0), stderr }),
    );
  });
}

describe('chittyconnect ends with 3', () => {
  it.each([
    ['no JSON', '<p>Welcome'],
    ['another form', '{"contexts":[]}'],
    ['an id that is none', '{"items":[{"id":"../../x"}],"nextCursor":null}'],
  ])('when the list of contexts is %s', async (_, text) => {
    json(text);
    const { status, stderr } = await run('export', '--all');
    expect(stderr).toContain('what the server gave is not what was asked for');
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(status).toBe(3);
  });

  it('when the list of contexts breaks off', async () => {
    answer = (response) => {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000' });
      response.write('{"items":[', () => response.destroy());
    };
    const { status, stderr } = await run('export', '--all');
    expect(stderr).toContain('The connection broke');
    expect(status).toBe(3);
  });

  it('when a refusal calls itself a problem and is none', async () => {
    json('<p>No', 403, 'application/problem+json');
    const { status, stderr } = await run('replay', CONTEXT);
    expect(stderr).toContain('403 Forbidden');
    expect(status).toBe(3);
  });
});

describe('chittyconnect ends with 2', () => {
  it('when the folder cannot be made', async () => {
    writeFileSync(path('file'), '');
    const { status, stderr } = await run('export', CONTEXT, '--out', path('file/below/'));
    expect(stderr).toContain(`${path('file/below/')} cannot be written (ENOTDIR)`);
    expect(status).toBe(2);
  });

  it('when the disk takes no more', async () => {
    // It stands for a full disk: no file may have more than so many blocks of 1024 bytes.
    const { status, stderr } = await shell(`ulimit -f 64; TOOL export ${CONTEXT} --ndjson --out ${path('large')}`);
    expect(stderr).toContain(`${path('large')} cannot be written (EFBIG)`);
    expect(statSync(path('large')).size).toBe(64 * 1024);
    expect(status).toBe(2);
  });

  it.skipIf(!existsSync('/dev/full'))('when the output takes no more', async () => {
    for (const command of ['--help', `export ${CONTEXT} --ndjson`]) {
      const { status, stderr } = await shell(`TOOL ${command} > /dev/full`);
      expect([command, stderr]).toEqual([command, 'chittyconnect: the output cannot be written (ENOSPC)\n']);
      expect(status).toBe(2);
    }
  });

  it('when what is to be gone on with cannot be read', async () => {
    mkdirSync(path(`out/${CONTEXT}.ndjson`), { recursive: true });
    const { status, stderr } = await run('export', CONTEXT, '--out', path('out/'), '--resume');
    expect(stderr).toContain(`${CONTEXT}.ndjson cannot be read (EISDIR)`);
    expect(status).toBe(2);
  });
});

describe('chittyconnect ends with 70, and not with what says that something is not verified,', () => {
  it.each([
    ['in a command', 'URL.canParse=null'],
    ['before any command', 'JSON.parse=null'],
  ])('when something is wrong with it %s', async (_, spoiling) => {
    const NODE_OPTIONS = `--import=data:text/javascript,${spoiling}`;
    const spoilt = await runCli(['replay', CONTEXT], { environment: { ...environment, NODE_OPTIONS } });
    expect(spoilt).toMatchObject({ status: 70, stdout: '', stderr: expect.stringContaining('TypeError') });
  });
});
