import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DurableStream, stream } from '@durable-streams/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Client, connect } from '../../client/client.ts';
import { type Envelope, isIntact } from '../../events/envelope.ts';
import { offsetsOf } from '../../events/offset.ts';
import { PASSED_BY_A_READ_ONLY_STREAM } from '../support/conformance-titles.ts';
import { freePort, ROOT, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';
import { writableStreams } from '../support/writable-streams.ts';

const KEY = 'cck_durable-streams';
const folder = temporaryFolder('durable-streams');
const headers = { Authorization: `Bearer ${KEY}` };
let server: Server;
let api: Client;

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: folder.path, apiKey: KEY });
  api = connect({ baseUrl: server.url, apiKey: KEY });
});

afterAll(async () => {
  await stopServer(server, 'SIGKILL');
  folder.remove();
});

/** A context that has all the events which it gets by itself. */
async function settledContext(): Promise<{ id: string; url: string; version: number }> {
  const { id } = await api.create({ name: 'Tailed' });
  await waitFor('the context to have its place', async () => (await api.read(id)).provisioning.status === 'complete');
  return { id, url: `${server.url}/v1/contexts/${id}/events`, version: (await api.read(id)).version };
}

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

describe('the official client of the Durable Streams protocol', () => {
  it('reads a history to its end, page by page, and what it gets is what was hashed', async () => {
    const { id, url, version } = await settledContext();
    for (let count = 0; count < 150; count++) await api.patch(id, { metadata: { count } });
    const events = await (await stream<Envelope>({ url, headers, live: 'long-poll' })).json();
    expect(events.map((event) => event.version)).toEqual(upTo(version + 150));
    expect(events.every(isIntact)).toBe(true);
  });

  it.each(['long-poll', 'sse'] as const)('tails a context by %s, from the beginning to its deletion', async (live) => {
    const { id, url, version } = await settledContext();
    const versions: number[] = [];
    const tail = await stream<Envelope>({ url, headers, offset: '-1', live });
    tail.subscribeJson(({ items }) => {
      versions.push(...items.map((event) => event.version));
    });
    for (let count = 0; count < 20; count++) await api.patch(id, { metadata: { count } });
    await waitFor('the changes', () => versions.length >= version + 20);
    await api.delete(id);
    await waitFor('the end', () => tail.streamClosed && versions.length > version + 20);
    expect(versions).toEqual(upTo(version + 21));
  });

  it('goes on from an offset in another process, and from the present', async () => {
    const { id, url, version } = await settledContext();
    const first = await stream<Envelope>({ url, headers, live: false });
    await first.json();
    const present = await stream<Envelope>({ url, headers, offset: 'now', live: 'long-poll' });
    const seen: number[] = [];
    present.subscribeJson(({ items }) => {
      seen.push(...items.map((event) => event.version));
    });
    await api.patch(id, { name: 'Next' });
    const rest = await (await stream<Envelope>({ url, headers, offset: first.offset, live: false })).json();
    expect(rest.map((event) => event.version)).toEqual([version + 1]);
    await waitFor('the change', () => seen.length > 0);
    present.cancel();
    expect(seen).toEqual([version + 1]);
  });

  it('asks where a stream ends', async () => {
    const { id, url, version } = await settledContext();
    const head = await DurableStream.head({ url, headers });
    expect(head).toMatchObject({ exists: true, contentType: 'application/json', streamClosed: false });
    expect(head).toHaveProperty('offset', offsetsOf(`context/${id}`)(version));
    await api.delete(id);
    expect(await DurableStream.head({ url, headers })).toHaveProperty('streamClosed', true);
  });

  it('is told that it may not', async () => {
    const { url } = await settledContext();
    await expect(stream({ url, headers: { Authorization: 'Bearer x' }, live: false })).rejects.toThrow(/401/);
  });
});

const resultSchema = z.object({
  testResults: z.array(
    z.object({
      assertionResults: z.array(
        z.object({
          ancestorTitles: z.array(z.string()),
          title: z.string(),
          status: z.string(),
          failureMessages: z.array(z.string()),
        }),
      ),
    }),
  ),
});

describe('the official conformance tests of the Durable Streams protocol', () => {
  it('pass as far as a stream can pass them that is written in another way', async () => {
    const streams = await writableStreams(server);
    const report = join(folder.path, 'conformance.json');
    const names = Object.entries(PASSED_BY_A_READ_ONLY_STREAM).flatMap(([group, titles]) =>
      titles.map((title) => `${group} > ${title}`),
    );
    const pattern = names.map((name) => name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
    const run = spawn(
      process.execPath,
      [
        join(ROOT, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--config=test/conformance/vitest.config.ts',
        '--reporter=json',
        `--outputFile=${report}`,
        `--testNamePattern=(${pattern})`,
      ],
      { cwd: ROOT, env: { PATH: process.env.PATH, CONFORMANCE_TEST_URL: streams.url }, stdio: 'ignore' },
    );
    await once(run, 'exit');
    await streams.close();
    const { testResults } = resultSchema.parse(JSON.parse(readFileSync(report, 'utf8')));
    const tried = testResults
      .flatMap(({ assertionResults }) => assertionResults)
      .filter(({ status }) => status !== 'skipped');
    expect(tried.filter(({ status }) => status !== 'passed')).toEqual([]);
    const passed = tried.map(({ ancestorTitles, title }) => [...ancestorTitles, title].join(' > '));
    expect(names.filter((name) => !passed.some((each) => each.includes(name)))).toEqual([]);
  });
});
