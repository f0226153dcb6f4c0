import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pasteReadme, readme } from '../support/readme-story.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

const data = temporaryFolder('readme-proof');
const folder = temporaryFolder('readme-proof-shell');
let server: Server;
let all = '';

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: data.path, apiKey: 'the-key-of-the-proof' });
  const sections = [
    { section: '## Try it', only: ['export BOOTSTRAP_API_KEY=', 'Idempotency-Key: first'] },
    { section: '### Verify it yourself' },
    { section: '### Erase a person' },
  ];
  ({ all } = await pasteReadme(sections, server, folder.path));
}, 400_000);

afterAll(async () => {
  await stopServer(server);
  data.remove();
  folder.remove();
});

describe('the lines of the README about proofs, pasted', () => {
  it('a context is exported and verified, and the event in which a byte was changed is named', () => {
    // The context, the server, and what was exported before and after the erasure; what was altered is not.
    expect(all.match(/^verified: /gm)).toHaveLength(4);
    expect(all.match(/^NOT VERIFIED: /gm)).toHaveLength(1);
    expect(all).toMatch(/^event-altered .* version 1: its content is not what was hashed/m);
  });

  it('the words of a person who was erased are gone, from the export before as well, and both are verified', () => {
    expect(all).toContain('"customer":"[erased]"');
    for (const file of ['before.ndjson', 'after.ndjson']) {
      expect(readFileSync(join(folder.path, file), 'utf8')).not.toContain('Hedwig');
    }
  });
});

it('the lines of the README with the official client of Durable Streams, pasted, tail a context', async () => {
  const block = /```sh\n(URL=[\s\S]*?)```/.exec(readme)?.[1] ?? '';
  expect(block).toContain('from "@durable-streams/client"');
  symlinkSync(resolve('node_modules'), join(folder.path, 'node_modules'));
  const id = /"id":"(ctx_\w+)"/.exec(all)?.[1] ?? '';
  const context = `${server.url}/v1/contexts/${id}`;
  const shell = spawn('bash', ['-c', block], {
    cwd: folder.path,
    // A group of its own: the shell and what it starts are ended together.
    detached: true,
    env: {
      ...process.env,
      PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
      API: `${server.url}/v1/contexts`,
      ID: id,
      BOOTSTRAP_API_KEY: server.apiKey,
    },
  });
  const ended = once(shell, 'close');
  let printed = '';
  for (const output of [shell.stdout, shell.stderr]) output.on('data', (chunk) => (printed += chunk));
  try {
    await waitFor('the history', async () => printed.includes("type: 'context_created'"), 60_000);
    expect(printed).not.toContain('Renamed while');
    const headers = { Authorization: `Bearer ${server.apiKey}`, 'Content-Type': 'application/json' };
    const body = JSON.stringify({ name: 'Renamed while somebody looks' });
    expect((await fetch(context, { method: 'PATCH', headers, body })).status).toBe(200);
    await waitFor('the change', async () => printed.includes('Renamed while somebody looks'), 60_000);
  } catch (error) {
    throw new Error(`${error}: ${printed}`);
  } finally {
    if (shell.pid !== undefined && shell.exitCode === null) process.kill(-shell.pid, 'SIGKILL');
    await ended;
  }
}, 180_000);
