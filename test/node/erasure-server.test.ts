import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { runCli } from '../support/cli.ts';
import { contextSchema, lineageSchema, timelineSchema } from '../support/delivery-server.ts';
import { filesWith } from '../support/files-with.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

/** Words that are in nothing but what Kunigunde and those who write about her say. */
const WORDS = ['Kunigunde', 'Zwicknagel', 'Lindenweg', 'Quittengelee', 'Telefunken', 'Rotkehlchen', 'Uhrmacherin'];

const folder = mkdtempSync(join(tmpdir(), 'chittyconnect-erasure-'));
const data = temporaryFolder('erasure');
const path = (name: string) => join(folder, name);
let server: Server;

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: data.path, apiKey: 'the-key-of-the-erasure-test' });
});

afterAll(async () => {
  if (server && !server.hasExited()) await stopServer(server);
  data.remove();
  rmSync(folder, { recursive: true });
});

async function send<Body = { id: string }>(method: string, url: string, json?: object, key = server.apiKey) {
  const response = await fetch(`${server.url}/v1${url}`, {
    method,
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json', Prefer: 'wait=5' },
    ...(json && { body: JSON.stringify(json) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  const body: Body = text === '' ? null : JSON.parse(text);
  return body;
}

const run = (...args: string[]) =>
  runCli(args, { environment: { CHITTYCONNECT_URL: server.url, CHITTYCONNECT_API_KEY: server.apiKey } });

it('a person is erased, the history is verified again, and no file of the service has a word of theirs', async () => {
  const kunigunde = await send('POST', '/actors', {
    kind: 'person',
    name: 'Kunigunde Zwicknagel',
    description: 'Uhrmacherin in Telefunken',
  });
  const { key } = await send<{ key: string }>('POST', `/actors/${kunigunde.id}/keys`, { name: 'Kunigunde at home' });
  await send('POST', '/sessions', { device: 'Telefunken 7' }, key);
  const privacy = [{ pointer: '/metadata/customer', subject: 'customer-42' }];
  const customer = { name: 'Kunigunde Zwicknagel', street: 'Lindenweg 3' };
  const { id } = await send('POST', '/contexts', { name: 'Orders', metadata: { customer }, privacy });
  const context = `/contexts/${id}`;
  const invitation = await send('POST', `${context}/invitations`, { actor: kunigunde.id, role: 'editor' });
  await send('POST', `${context}/invitations/${invitation.id}/accept`, {}, key);
  await send('POST', `${context}/notes`, { text: 'Quittengelee, please' }, key);
  const proposal = {
    change: { metadata: { customer: { street: 'Rotkehlchenweg 1' } } },
    message: 'I moved, Kunigunde',
  };
  const { id: made } = await send('POST', `${context}/proposals`, proposal, key);
  await send('POST', `${context}/proposals/${made}/approve`, {});
  // Snapshots and tiles as well.
  for (let index = 0; index < 300; index++) {
    await fetch(`${server.url}/v1${context}`, {
      method: 'PATCH',
      headers: { Authorization: `Bearer ${server.apiKey}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ metadata: { customer: { orders: index } } }),
    });
  }

  writeFileSync(path('keys.json'), await (await fetch(`${server.url}/log/keys`)).text());
  const verify = (name: string, ...more: string[]) => run('verify', path(name), '--key', path('keys.json'), ...more);
  expect(await run('export', id, '--out', path('before.ndjson'))).toMatchObject({ status: 0 });
  expect(await verify('before.ndjson')).toMatchObject({ status: 0 });
  writeFileSync(path('kept.note'), await (await fetch(`${server.url}/log/checkpoint`)).text());
  expect(await send(`GET`, context)).toMatchObject({
    metadata: { customer: { name: 'Kunigunde Zwicknagel', street: 'Rotkehlchenweg 1', orders: 299 } },
  });
  const audited = await run('verify', server.url, id, '--key', path('keys.json'));
  expect(audited).toMatchObject({ status: 0 });

  expect(await send('POST', '/erasures', { subject: kunigunde.id })).toMatchObject({
    streams: { erased: 1, holds: 0 },
  });
  await send('POST', `${context}/erasures`, { subject: 'customer-42' });

  expect(await send('GET', context)).toMatchObject({ metadata: { customer: '[erased]' } });
  expect(await send('GET', `${context}?at=3`)).toMatchObject({ metadata: { customer: '[erased]' } });
  const { items } = await send<{ items: { text: string }[] }>('GET', `${context}/notes`);
  expect(items.map(({ text }) => text)).toEqual(['[erased]']);

  // What was exported before is as good as it was, and a new export begins with the same bytes.
  expect(await verify('before.ndjson')).toMatchObject({ status: 0 });
  expect(await run('export', id, '--out', path('after.ndjson'))).toMatchObject({ status: 0 });
  expect(await verify('after.ndjson', '--checkpoint', path('kept.note'), '--against', server.url)).toMatchObject({
    status: 0,
  });
  const events = (name: string) => readFileSync(path(name), 'utf8').split('\n').slice(1, -1);
  expect(events('after.ndjson').slice(0, events('before.ndjson').length)).toEqual(events('before.ndjson'));
  expect(events('after.ndjson').join()).toContain('"type":"subject_erased"');
  expect(await run('verify', server.url, id, '--key', path('keys.json'))).toMatchObject({ status: 0 });
  const replayed = await run('replay', path('after.ndjson'));
  expect(replayed.stdout).toContain('sealed:v1:customer-42');

  // Downstream has been told, and has no words either.
  const outbox = () => send<{ behind: object[] }>('GET', '/admin/outbox');
  await waitFor('everything to be delivered', async () => (await outbox()).behind.length === 0);
  const ask = async <Answer>(url: string, answer: z.ZodType<Answer>) => {
    const headers = { Authorization: `Bearer ${server.apiKey}` };
    return answer.parse(await (await fetch(`${server.url}${url}`, { headers })).json());
  };
  const told = [
    { subject: kunigunde.id, reason: 'everywhere' },
    { subject: 'customer-42', reason: 'requested' },
  ].map((data) => ({ type: 'cc.chitty.connect.subject_erased', data }));
  const { provisioning } = await ask(`/v1${context}`, contextSchema);
  const record = `/embedded/dna/api/dna/${provisioning.steps.initializeDna?.reference}`;
  const inChronicle = async () =>
    (await ask(`/embedded/chronicle/api/timeline/${id}?limit=500`, timelineSchema)).entries
      .filter(({ eventType }) => eventType === 'subject_erased')
      .map(({ data }) => data);
  const inDna = async () =>
    (await ask(`${record}?after=200&limit=500`, lineageSchema)).lineage.filter(({ type }) => type === told[0]?.type);
  // What has left the outbox waits in the queue for a moment.
  for (const [name, erasures] of Object.entries({ inChronicle, inDna })) {
    await waitFor(`both erasures to be ${name}`, async () => (await erasures()).length >= told.length);
    expect(await erasures()).toMatchObject(told);
  }
  // The read models have been told as well.
  const listedSchema = z.object({ items: z.array(z.looseObject({ id: z.string() })) });
  for (const [url, shown] of [
    ['/v1/actors?status=deleted', { id: kunigunde.id, name: '[erased]' }],
    ['/v1/contexts', { id, metadata: { customer: '[erased]' } }],
  ] as const) {
    const isShown = async () => {
      const listed = (await ask(url, listedSchema)).items.find((item) => item.id === shown.id);
      return isDeepStrictEqual({ ...listed, ...shown }, listed);
    };
    await waitFor(`${url} to show nothing of theirs`, isShown);
  }
  const printed = server.stdout() + server.stderr();
  for (const word of WORDS) expect(printed).not.toContain(word);
  await stopServer(server);
  expect(filesWith(folder, WORDS)).toEqual([]);
  expect(filesWith(data.path, WORDS)).toEqual([]);
});
