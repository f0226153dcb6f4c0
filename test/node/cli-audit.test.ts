import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { actorFile, withDatabase } from '../../scripts/tamper/data-files.ts';
import { create, whenLogged } from '../../scripts/tamper/writer.ts';
import { runCli } from '../support/cli.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

const KEY = 'the-key-of-the-audit-test';
const folder = mkdtempSync(join(tmpdir(), 'chittyconnect-audit-'));
const data = temporaryFolder('cli-audit');
const keys = join(folder, 'keys.json');
let server: Server;
let contexts: string[] = [];
let agent = '';
let agentKey = '';
let connection = '';

const made = z.looseObject({ id: z.string(), key: z.string().optional() });
const verdictSchema = z.object({
  verified: z.boolean(),
  streams: z.int(),
  notShown: z.int(),
  notLookedAt: z.record(z.string(), z.int()),
  findings: z.array(z.looseObject({ code: z.string(), stream: z.string().nullable(), version: z.int().nullable() })),
});

async function send(method: string, path: string, json?: object): Promise<Response> {
  const headers = { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' };
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers,
    ...(json && { body: JSON.stringify(json) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response;
}

async function post(path: string, json: object): Promise<z.infer<typeof made>> {
  return made.parse(await (await send('POST', path, json)).json());
}

async function isProvisioned(actor: string): Promise<boolean> {
  const { provisioning }: { provisioning: { status: string } } = await (
    await send('GET', `/v1/actors/${actor}`)
  ).json();
  return provisioning.status === 'complete';
}

async function start(): Promise<void> {
  server = await startServer({ port: await freePort(), dataFolder: data.path, apiKey: KEY });
}

/** The names of the streams in the log. */
async function loggedStreams(): Promise<Set<string>> {
  const checkpoint = await fetch(`${server.url}/log/checkpoint`);
  const [, size = '0'] = (await checkpoint.text()).split('\n');
  const entries = await (await fetch(`${server.url}/log/tile/entries/000.p/${size}`)).text();
  return new Set([...entries.matchAll(/"stream":"([^"]+)"/g)].map(([, name]) => name ?? ''));
}

const run = (args: readonly string[], apiKey = KEY) =>
  runCli(['verify', server.url, ...args, '--key', keys], { environment: { CHITTYCONNECT_API_KEY: apiKey } });

async function verdict(args: readonly string[], apiKey = KEY): Promise<z.infer<typeof verdictSchema>> {
  return verdictSchema.parse(JSON.parse((await run([...args, '--json'], apiKey)).stdout));
}

/** Waits until all that happens by itself has happened and is in the log: actors get their place in ChittyOS as contexts do. */
function whenAllIsLogged(): Promise<void> {
  return waitFor('all of it to be in the log', async () => (await verdict(['--complete'])).verified, 120_000);
}

beforeAll(async () => {
  await start();
  contexts = [await create(server, 'one end'), await create(server, 'the other')];
  ({ id: agent } = await post('/v1/actors', { kind: 'agent', name: 'Scout, {of} the "north"' }));
  agentKey = (await post(`/v1/actors/${agent}/keys`, { name: 'the only one' })).key ?? '';
  const [from, to] = contexts;
  ({ id: connection } = await post('/v1/connections', { from, to, type: 'depends_on' }));
  const hook = { url: 'https://hooks.example/', contexts, types: ['context_restored'] };
  const { id: webhook } = await post('/v1/webhooks', hook);
  await whenLogged(server, contexts);
  const wanted = [`actor/${BOOTSTRAP_ACTOR}`, `actor/${agent}`, `connection/${connection}`, `webhook/${webhook}`];
  const isLogged = async () => {
    const logged = await loggedStreams();
    return wanted.every((name) => logged.has(name));
  };
  await waitFor('the log to have all of it', isLogged, 60_000);
  writeFileSync(keys, await (await fetch(`${server.url}/log/keys`)).text());
  for (const id of [agent, BOOTSTRAP_ACTOR]) {
    await waitFor('an actor to have its place in ChittyOS', () => isProvisioned(id), 60_000);
  }
  await whenAllIsLogged();
});

afterAll(async () => {
  if (server) await stopServer(server);
  data.remove();
  rmSync(folder, { recursive: true });
});

describe('on a running server, chittyconnect', () => {
  it('verifies the events of actors and connections as well, and says what it could not look at', async () => {
    const { status, stdout } = await run(['--complete']);
    expect(stdout).toMatch(new RegExp(`^✓ actor/${agent}, \\d+ events?$`, 'm'));
    expect(stdout).toMatch(new RegExp(`^✓ connection/${connection}, \\d+ events?$`, 'm'));
    expect(stdout).toMatch(/^verified: .*, 1 webhook stream not looked at/m);
    expect(status).toBe(0);
    const said = await verdict(['--complete']);
    expect(said).toMatchObject({ verified: true, notShown: 0, notLookedAt: { webhook: 1 } });
    expect(said.streams).toBeGreaterThanOrEqual(4);
  });

  it('verifies no more than what is named', async () => {
    const said = await verdict([agent, connection]);
    expect(said).toMatchObject({ verified: true, streams: 2, notShown: 0, notLookedAt: {} });
  });

  it('counts what the caller is not shown', async () => {
    const said = await verdict([], agentKey);
    // Themselves alone: neither the contexts nor the administrator nor the connection.
    expect(said).toMatchObject({ verified: true, streams: 1, notLookedAt: { webhook: 1 } });
    expect(said.notShown).toBeGreaterThanOrEqual(4);
  });

  it('verifies the bundle of an actor that was exported', async () => {
    const environment = { CHITTYCONNECT_URL: server.url, CHITTYCONNECT_API_KEY: KEY };
    const file = join(folder, 'actor.ndjson');
    const exported = await runCli(['export', agent, '--out', file], { environment });
    expect(exported).toMatchObject({ status: 0, stderr: 'exported: 0 contexts, 1 actor\n' });
    const { status, stdout } = await runCli(['verify', file, '--key', keys]);
    expect(stdout).toContain(`✓ actor/${agent}, `);
    expect(status).toBe(0);
  });

  it('verifies a connection whose contexts are both deleted', async () => {
    for (const id of contexts) await send('DELETE', `/v1/contexts/${id}`);
    await whenLogged(server, contexts);
    await whenAllIsLogged();
    expect(await verdict(['--complete'])).toMatchObject({ verified: true, findings: [], notShown: 0 });
  });

  it('finds an event of an actor that was edited on the disk', async () => {
    await stopServer(server);
    withDatabase(actorFile(data.path, agent), (database) => {
      const edit = `UPDATE events SET event = replace(event, '"kind":"agent"', '"kind":"person"') WHERE version = 1`;
      expect(database.prepare(edit).run().changes).toBe(1);
    });
    await start();
    const { verified, findings } = await verdict(['--complete']);
    expect(verified).toBe(false);
    expect(findings).toContainEqual(
      expect.objectContaining({ code: 'event-altered', stream: `actor/${agent}`, version: 1 }),
    );
  });
});
