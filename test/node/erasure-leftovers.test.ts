import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { filesWith } from '../support/files-with.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

/** More of each than are in one page of SQLite, so that rows had to be moved to others. */
const ACTORS = 60;
const SUBJECTS = 50;

let data: ReturnType<typeof temporaryFolder>;
let server: Server;

async function start(): Promise<void> {
  server = await startServer({ port: await freePort(), dataFolder: data.path, apiKey: 'the-key-of-the-leftovers' });
}

beforeEach(async () => {
  data = temporaryFolder('leftovers');
  await start();
});

afterEach(async () => {
  if (!server.hasExited()) await stopServer(server);
  data.remove();
});

async function send<Body = { id: string }>(method: string, url: string, json?: object): Promise<Body> {
  const response = await fetch(`${server.url}/v1${url}`, {
    method,
    headers: { Authorization: `Bearer ${server.apiKey}`, 'Content-Type': 'application/json', Prefer: 'wait=5' },
    ...(json && { body: JSON.stringify(json) }),
  });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  const body: Body = await response.json();
  return body;
}

/** Waits until the list of actors shows one by this name: what else is in the read models is there then too. */
const listed = (id: string, query: string, name: string) =>
  waitFor(`the list to call ${id} ${name}`, async () => {
    const { items } = await send<{ items: { id: string; name: string }[] }>('GET', `/actors?${query}`);
    return items.some((item) => item.id === id && item.name === name);
  });

/** The databases of the objects, with what is in their write-ahead logs carried over. */
function objectDatabases(): string[] {
  const folder = join(data.path, 'v3', 'do');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.sqlite'));
  return files.map((name) => {
    const database = new DatabaseSync(join(folder, name));
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    database.close();
    return join(folder, name);
  });
}

/** The encrypted keys of subjects that were never actors. */
function customerKeys(): string[] {
  return objectDatabases().flatMap((file) => {
    const database = new DatabaseSync(file, { readOnly: true });
    const isKeeper = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'personal_keys'").get();
    const rows = isKeeper
      ? database.prepare("SELECT wrapped FROM personal_keys WHERE subject LIKE 'customer-%' AND status = 'kept'").all()
      : [];
    database.close();
    return rows.map(({ wrapped }) => String(wrapped));
  });
}

it.each([['SIGTERM' as const], ['SIGKILL' as const]])(
  'the names of actors leave the read models when the service ends by %s, or begins again',
  async (signal) => {
    const kunigunde = await send('POST', '/actors', {
      kind: 'person',
      name: 'Kunigunde Zwicknagel',
      description: 'Telefunken',
    });
    for (let index = 0; index < ACTORS; index++) await send('POST', '/actors', { kind: 'person', name: `No ${index}` });
    await listed(kunigunde.id, 'q=Zwicknagel', 'Kunigunde Zwicknagel');
    await send('POST', '/erasures', { subject: kunigunde.id });
    await listed(kunigunde.id, 'status=deleted', '[erased]');
    await stopServer(server, signal);
    if (signal === 'SIGKILL') {
      await start();
      await stopServer(server);
    }
    expect(filesWith(data.path, ['Kunigunde', 'Zwicknagel', 'Telefunken'])).toEqual([]);
  },
);

it('no key that was destroyed is left in the file of its stream, however many there were', async () => {
  const subjects = Array.from({ length: SUBJECTS }, (_, index) => `customer-${index}`);
  const { id } = await send('POST', '/contexts', {
    name: 'Orders',
    metadata: Object.fromEntries(subjects.map((subject) => [subject, 'words'])),
    privacy: subjects.map((subject) => ({ pointer: `/metadata/${subject}`, subject })),
  });
  await stopServer(server);
  const keys = customerKeys();
  expect(new Set(keys).size).toBe(SUBJECTS);
  expect(filesWith(data.path, keys)).not.toEqual([]);

  await start();
  for (const subject of subjects) await send('POST', `/contexts/${id}/erasures`, { subject });
  await stopServer(server);
  expect(customerKeys()).toEqual([]);
  expect(filesWith(data.path, keys)).toEqual([]);
});
