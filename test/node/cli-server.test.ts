import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyPatch, type Operation } from 'rfc6902';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../scripts/fault/random.ts';
import { change, create, whenLogged } from '../../scripts/tamper/writer.ts';
import { runCli } from '../support/cli.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

const folder = mkdtempSync(join(tmpdir(), 'chittyconnect-cli-'));
const data = temporaryFolder('cli-server');
const path = (name: string) => join(folder, name);
let server: Server;
let ids: string[] = [];
let environment: Record<string, string>;

const run = (...args: string[]) => runCli(args, { environment });

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: data.path, apiKey: 'the-key-of-the-cli-test' });
  environment = { CHITTYCONNECT_URL: server.url, CHITTYCONNECT_API_KEY: server.apiKey };
  ids = [await create(server, 'first'), await create(server, 'second')];
  for (const id of ids) await change(server, id, 5, seededRandom(1));
  await whenLogged(server, ids);
  writeFileSync(path('keys.json'), await (await fetch(`${server.url}/log/keys`)).text());
  writeFileSync(path('kept.note'), await (await fetch(`${server.url}/log/checkpoint`)).text());
});

afterAll(async () => {
  if (server) await stopServer(server);
  data.remove();
  rmSync(folder, { recursive: true });
});

const verify = (name: string, ...more: string[]) => run('verify', path(name), '--key', path('keys.json'), ...more);
const read = (address: string) =>
  fetch(`${server.url}/v1/contexts/${address}`, { headers: { Authorization: `Bearer ${server.apiKey}` } });
const contextOf = async (id: string, query = '') => (await read(id + query)).json();

/** The lines of an export that are no bundle's first. */
const eventsIn = (bytes: Buffer) =>
  bytes
    .toString()
    .split('\n')
    .filter((line) => !line.startsWith('{"checkpoint":'));

describe('on a running server, chittyconnect', () => {
  it('exports all contexts, to be verified offline; one byte changed, and the event is named', async () => {
    expect(await run('export', '--all', '--out', path('all.ndjson'))).toMatchObject({ status: 0, stdout: '' });
    const verified = await verify('all.ndjson', '--checkpoint', path('kept.note'), '--against', server.url);
    expect(verified).toMatchObject({ status: 0, stdout: expect.stringContaining('verified: 2 streams') });
    const lines = readFileSync(path('all.ndjson'), 'utf8').split('\n');
    const [place, event] = [...lines.entries()].find(([, line]) => line.includes('"note":"words')) ?? [0, ''];
    writeFileSync(path('altered.ndjson'), lines.with(place, event.replace('"words', '"wards')).join('\n'));
    const { stream, version }: { stream: string; version: number } = JSON.parse(event);
    expect(await verify('altered.ndjson')).toMatchObject({
      status: 1,
      stdout: expect.stringContaining(`event-altered  ${stream} version ${version}:`),
    });
  });

  it('goes on with an export wherever it was broken off, and comes to the same bytes', async () => {
    const [id = ''] = ids;
    await run('export', id, '--out', path('one.ndjson'));
    const whole = readFileSync(path('one.ndjson'));
    const header = whole.indexOf('\n');
    for (const length of [0, header - 10, header + 1, header + 300, whole.length - 1, whole.length]) {
      writeFileSync(path('begun.ndjson'), whole);
      truncateSync(path('begun.ndjson'), length);
      const { status, stderr } = await run('export', id, '--out', path('begun.ndjson'), '--resume');
      expect([length, status, stderr]).toEqual([length, 0, 'exported: 1 context\n']);
      const [, ...events] = readFileSync(path('begun.ndjson'), 'utf8').split('\n');
      expect(events).toEqual(whole.toString().split('\n').slice(1));
    }
    expect(await run('export', id, '--out', path('one.ndjson'))).toMatchObject({ status: 2 });
    writeFileSync(path('spoilt.ndjson'), whole.toString().replace('"note":"words', '"note":"wards').slice(0, -200));
    const spoilt = await run('export', id, '--out', path('spoilt.ndjson'), '--resume');
    expect(spoilt).toMatchObject({ status: 1, stderr: expect.stringContaining('cannot be gone on with') });
  });

  it('goes on in the second bundle of a file, wherever that was broken off', async () => {
    await run('export', ...ids, '--out', path('two.ndjson'));
    const whole = readFileSync(path('two.ndjson'));
    const second = whole.indexOf('{"checkpoint":', 1);
    const header = whole.indexOf('\n', second);
    for (const length of [second, second + 10, header + 1, header + 300, whole.length - 1]) {
      writeFileSync(path('begun.ndjson'), whole);
      truncateSync(path('begun.ndjson'), length);
      const { status, stderr } = await run('export', ...ids, '--out', path('begun.ndjson'), '--resume');
      expect([length, status, stderr]).toEqual([length, 0, 'exported: 2 contexts\n']);
      const resumed = readFileSync(path('begun.ndjson'));
      // The first bundle is left alone; the events of the second are those that were there.
      expect(resumed.subarray(0, second).equals(whole.subarray(0, second))).toBe(true);
      expect(eventsIn(resumed)).toEqual(eventsIn(whole));
      expect((await verify('begun.ndjson')).status).toBe(0);
    }
  });

  it('goes on with the file of a folder that was being written', async () => {
    const out = `${path('parts')}/`;
    await run('export', ...ids, '--out', out);
    const [first = '', last = ''] = ids.map((id) => join(out, `${id}.ndjson`));
    const [whole, untouched] = [readFileSync(last), readFileSync(first)];
    const header = whole.indexOf('\n');
    for (const length of [0, header - 10, header + 300, whole.length]) {
      rmSync(last);
      writeFileSync(`${last}.part`, whole.subarray(0, length));
      expect(await run('export', ...ids, '--out', out)).toMatchObject({ status: 2 });
      expect((await run('export', ...ids, '--out', out, '--resume')).status).toBe(0);
      expect(readdirSync(out).sort()).toEqual(ids.map((id) => `${id}.ndjson`).sort());
      expect(eventsIn(readFileSync(last))).toEqual(eventsIn(whole));
      expect(readFileSync(first).equals(untouched)).toBe(true);
    }
  });

  it('exports to a folder, to standard output, and bare events', async () => {
    const [id = ''] = ids;
    expect((await run('export', ...ids, '--out', `${path('folder')}/`)).status).toBe(0);
    expect(readdirSync(path('folder')).sort()).toEqual(ids.map((each) => `${each}.ndjson`).sort());
    expect((await run('export', ...ids, '--out', `${path('folder')}/`, '--resume')).status).toBe(0);
    const { stdout } = await run('export', id);
    const piped = await runCli(['verify', '-', '--key', path('keys.json')], { input: stdout });
    expect(piped.status).toBe(0);
    const bare = await run('export', id, '--ndjson');
    expect(bare.stdout.trim().split('\n')).toEqual(stdout.trim().split('\n').slice(1));
  });

  it('replays the state at any version and time as the server gives it, from the server and from a file', async () => {
    const [id = ''] = ids;
    await run('export', ...ids, '--out', path('replay.ndjson'));
    for (const [at, query] of [
      ['1', '?at=1'],
      ['4', '?at=4'],
    ] as const) {
      expect(JSON.parse((await run('replay', id, '--at', at)).stdout)).toEqual(await contextOf(id, query));
    }
    const now: { updatedAt: string; version: number } = await contextOf(id);
    expect(JSON.parse((await run('replay', path('replay.ndjson'), '--context', id)).stdout)).toEqual(now);
    const then = JSON.parse((await run('replay', id, '--at', now.updatedAt)).stdout);
    expect(then).toEqual(await contextOf(id, `?at=${now.updatedAt}`));
    expect(await run('replay', path('replay.ndjson'))).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--context'),
    });
    expect((await run('replay', id, '--at', '2001-01-01T00:00:00Z')).status).toBe(2);
  });

  it('takes the ChittyID of a context for its id', async () => {
    const [id = '', other = ''] = ids;
    const { chittyId }: { chittyId: string } = await contextOf(id);
    await waitFor('the ChittyID to address it', async () => (await read(chittyId)).ok);
    const verified = await run('verify', server.url, chittyId, id, '--key', path('keys.json'));
    expect(verified.stdout).toMatch(new RegExp(`^✓ context/${id}, \\d+ events\nverified: 1 stream,`));
    expect(verified.status).toBe(0);

    await run('export', other, id, '--out', path('by-chitty-id.ndjson'));
    const whole = readFileSync(path('by-chitty-id.ndjson'), 'utf8');
    const again = await run('export', other, chittyId, '--out', path('by-chitty-id.ndjson'), '--resume');
    expect(again.status).toBe(0);
    expect(readFileSync(path('by-chitty-id.ndjson'), 'utf8')).toBe(whole);

    const replayed = await run('replay', path('by-chitty-id.ndjson'), '--context', chittyId, '--at', '4');
    expect(replayed).toEqual(await run('replay', id, '--at', '4'));
    expect(await run('replay', chittyId, '--at', '4')).toEqual(replayed);
    const piped = await runCli(['replay', '-', '--context', chittyId], { input: whole });
    expect(piped).toMatchObject({ status: 2, stderr: expect.stringContaining('name the context by its id') });
    const stranger = '03-1-USA-5537-P-2602-0-38';
    const missing = await run('replay', path('by-chitty-id.ndjson'), '--context', stranger);
    expect(missing).toMatchObject({ status: 2, stderr: expect.stringContaining(stranger) });
    expect((await run('verify', server.url, stranger)).status).toBe(3);
  });

  it('tells the difference between two moments as a patch that leads from one to the other', async () => {
    const [id = ''] = ids;
    const state: object = await contextOf(id, '?at=1');
    const patch: Operation[] = JSON.parse((await run('diff', `${id}@1`, id, '--json')).stdout);
    expect(applyPatch(state, patch).every((each) => each === null)).toBe(true);
    expect(state).toEqual(await contextOf(id));
    expect((await run('diff', id, id)).stdout).toBe('[]\n');
  });

  it('tails a context: what was, and what comes', async () => {
    const [id = ''] = ids;
    const { version }: { version: number } = await contextOf(id);
    let isChanging = false;
    const isEnough = (stdout: string) => {
      // Those that have come whole: what is ended in the middle of one cannot be read.
      const lines = stdout.split('\n').length - 1;
      if (lines === version && !isChanging) {
        isChanging = true;
        void change(server, id, 1, seededRandom(2));
      }
      return lines === version + 1;
    };
    const { status, stdout } = await runCli(['tail', id, '--after', '0'], { environment, isEnough });
    expect(status).toBe(0);
    const versions = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).version);
    expect(versions).toEqual(Array.from({ length: version + 1 }, (_, at) => at + 1));
  });

  it('audits the server itself, and wants to know its key', async () => {
    await whenLogged(server, ids);
    const options = ['--key', path('keys.json'), '--checkpoint', path('kept.note'), '--complete', '--json'];
    const audit = () => run('verify', server.url, ...options);
    // The administrator's place in ChittyOS is in their history too, and may not be in the log yet.
    await waitFor('all of it to be in the log', async () => (await audit()).status === 0, 120_000);
    const { status, stdout } = await audit();
    expect(JSON.parse(stdout)).toMatchObject({ verified: true, findings: [], notShown: 0 });
    expect(status).toBe(0);
    expect(await run('verify', server.url)).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('key-not-trusted'),
    });
    const named = await run('verify', server.url, ids[1] ?? '', '--key', path('keys.json'));
    expect(named).toMatchObject({ status: 0, stdout: expect.stringContaining('verified: 1 stream,') });
  });

  it('ends with 3 where the server refuses, and does not print the key', async () => {
    const [id = ''] = ids;
    writeFileSync(path('wrong.key'), 'cck_wrong-key\n');
    for (const args of [
      ['export', id],
      ['replay', id],
      ['tail', id],
      ['verify', server.url],
    ]) {
      const { status, stdout, stderr } = await runCli([...args, '--key-file', path('wrong.key')], {
        environment: { CHITTYCONNECT_URL: server.url },
      });
      expect([args[0], status]).toEqual([args[0], 3]);
      expect(stderr).toContain('401');
      expect(stdout + stderr).not.toContain('wrong-key');
    }
  });
});
