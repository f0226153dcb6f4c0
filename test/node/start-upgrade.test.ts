import { execFile } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort, ROOT, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

const API_KEY = 'the-key-of-the-upgrade-tests';

let temporary: ReturnType<typeof temporaryFolder>;
let server: Server | undefined;

beforeEach(() => {
  temporary = temporaryFolder('upgrade');
});

afterEach(async () => {
  if (server && !server.hasExited()) await stopServer(server, 'SIGKILL');
  temporary.remove();
});

async function start(): Promise<Server> {
  const options = { dataFolder: temporary.path, environment: { TMPDIR: temporary.path } };
  server = await startServer({ ...options, port: await freePort(), apiKey: API_KEY });
  return server;
}

async function ask<Answer>({ url }: Server, path: string, json?: object, key = API_KEY): Promise<Answer> {
  const response = await fetch(url + path, {
    method: json ? 'POST' : 'GET',
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json', Prefer: 'wait=10' },
    ...(json && { body: JSON.stringify(json) }),
  });
  expect(response.ok, await response.clone().text()).toBe(true);
  return response.json();
}

/** The names that somebody who is no administrator finds. */
async function names(at: Server, key: string): Promise<string[]> {
  const page = await ask<{ items: { name: string }[] }>(at, '/v1/contexts/search?q=older', undefined, key);
  return page.items.map(({ name }) => name);
}

/** Whether the read model has the last of what the service does about the context by itself. */
async function isProvisioned(at: Server): Promise<boolean> {
  const page = await ask<{ items: { provisioning: { status: string } }[] }>(at, '/v1/contexts');
  return page.items.every(({ provisioning }) => provisioning.status === 'complete');
}

/** The folder that the read models are in. */
function readModels(): string {
  return join(temporary.path, 'v3', 'd1', 'miniflare-D1DatabaseObject');
}

/** `npm run rebuild`. @returns what it says */
async function rebuild({ url }: Server): Promise<string> {
  const env = { ...process.env, CHITTYCONNECT_URL: url, BOOTSTRAP_API_KEY: API_KEY };
  return (await promisify(execFile)(process.execPath, [join(ROOT, 'scripts', 'rebuild.ts')], { env })).stdout;
}

/** Waits until the start has made everything anew. */
async function isRebuilt(server: Server): Promise<void> {
  expect(server.stdout()).toContain('Lists and search are made anew');
  const isSaid = () => server.stdout().includes('Lists and search are complete.');
  await waitFor('the rebuild to end', async () => isSaid(), 120_000);
}

/** Makes the database of read models what it was before contexts had members. */
function makeOlder(): void {
  const folder = readModels();
  for (const file of readdirSync(folder).filter((name) => /^[0-9a-f]+\.sqlite$/.test(name))) {
    const database = new DatabaseSync(join(folder, file));
    database.exec(`
      UPDATE contexts SET body = json_remove(body, '$.members');
      INSERT INTO contexts_fts (contexts_fts) VALUES ('delete-all');
      DROP TABLE rebuild_wanted;
      DELETE FROM d1_migrations WHERE name LIKE '0008%';
    `);
    database.close();
  }
}

describe('a start on the data of an older version, or without its read models', () => {
  it('makes lists and search anew, says so, and does it once', async () => {
    const first = await start();
    expect(first.stdout()).not.toContain('anew');
    await ask(first, '/v1/contexts', { name: 'From an older version' });
    const scopes = ['contexts:read'];
    const { key } = await ask<{ key: string }>(first, '/v1/actors/me/keys', { name: 'Reads', scopes });
    expect(await names(first, key)).toEqual(['From an older version']);
    // Until nothing is on its way that would write the row anew.
    await waitFor('the context to be provisioned', () => isProvisioned(first), 120_000);
    await stopServer(first);
    makeOlder();

    const second = await start();
    await isRebuilt(second);
    expect(second.stdout()).toMatch(/rebuilt (\d+) of \1 streams/);
    expect(await names(second, key)).toEqual(['From an older version']);
    await stopServer(second);

    const third = await start();
    expect(third.stdout()).not.toContain('anew');
    await stopServer(third);
    rmSync(readModels(), { recursive: true });

    const fourth = await start();
    await isRebuilt(fourth);
    expect(await names(fourth, key)).toEqual(['From an older version']);
    expect(await rebuild(fourth)).toMatch(/Rebuilt \d+ streams/);
    expect(await names(fourth, key)).toEqual(['From an older version']);
  }, 600_000);
});
