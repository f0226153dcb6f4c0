import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../client/client.ts';
import { freePort, ROOT, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

/** Sockets on one context. */
const SOCKETS = 10_000;
/** Open files that each end needs beside its sockets. */
const OTHER_FILES = 500;

const folder = temporaryFolder('live-crowd');
let server: Server;
let crowd: ChildProcess | undefined;

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: folder.path, apiKey: 'cck_live-crowd' });
});

afterAll(async () => {
  crowd?.kill('SIGKILL');
  await stopServer(server, 'SIGKILL');
  folder.remove();
});

/** The open files that the system allows a process. */
function openFilesLimit(): number {
  const limit = execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
  return limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit);
}

it('10,000 subscribers of one context all get one change', async () => {
  const count = Math.min(SOCKETS, openFilesLimit() - OTHER_FILES);
  if (count < SOCKETS) console.log(`The system allows only ${count} sockets (ulimit -n); testing with those.`);
  const api = connect({ baseUrl: server.url, apiKey: server.apiKey });
  const { id } = await api.create({ name: 'Popular' });
  // What happens to it by itself is no change of ours.
  await waitFor('the context to have its place', async () => (await api.read(id)).provisioning.status === 'complete');
  const start = performance.now();
  const arguments_ = [`${server.url}/v1/contexts/${id}/live`, server.apiKey, String(count)];
  crowd = spawn(process.execPath, [join(ROOT, 'test/support/live-crowd.ts'), ...arguments_], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (!crowd.stdout) throw new Error('no stdout');
  const lines = createInterface(crowd.stdout);
  expect(await once(lines, 'line')).toEqual(['ready']);
  const connected = performance.now();
  const received = once(lines, 'line');
  await api.patch(id, { name: 'Popular and changed' });
  const answered = performance.now();
  expect(await received).toEqual(['received']);
  const all = performance.now();
  const seconds = (from: number, to: number) => ((to - from) / 1000).toFixed(2);
  console.log(
    `${count} sockets: connected in ${seconds(start, connected)} s; the change was answered after ` +
      `${seconds(connected, answered)} s and had reached all after ${seconds(connected, all)} s`,
  );
});
