import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { openCheckpoint } from '../../events/checkpoint.ts';
import { formatVerifierKey, parseVerifierKey, type VerifierKey } from '../../events/note-keys.ts';
import { ask } from '../../scripts/fault/ask.ts';
import { checkBundle, LogReader } from '../../scripts/fault/check-log.ts';
import {
  freePort,
  type Server,
  type StartOptions,
  startServer,
  stopServer,
  temporaryFolder,
  waitFor,
} from '../support/server.ts';
import { unfaulted } from '../support/unfaulted.ts';
import { TestWitness } from '../support/witness.ts';

/** Kills while writers write. */
const KILLS = 2;

const witness = new TestWitness();
const requests: string[] = [];
const witnessServer = createServer(async (request, response) => {
  requests.push(`${request.method} ${request.url}`);
  const { status, type, text: answer } = witness.addCheckpoint(await text(request));
  response.writeHead(status, { 'Content-Type': type }).end(answer);
});
const data = temporaryFolder('log');
let options: StartOptions;
let server: Server;

beforeAll(async () => {
  witnessServer.listen(0, '127.0.0.1');
  await once(witnessServer, 'listening');
  const address = z.object({ port: z.int() }).parse(witnessServer.address());
  options = {
    port: await freePort(),
    dataFolder: data.path,
    apiKey: 'the-key-of-the-log-server-tests',
    environment: {
      LOG_ORIGIN: 'log.example/tests',
      WITNESSES: `${formatVerifierKey(witness.key)} http://127.0.0.1:${address.port}/`,
    },
  };
  server = await startServer(options);
});

afterAll(async () => {
  await stopServer(server);
  witnessServer.close();
  data.remove();
});

async function keys(): Promise<VerifierKey[]> {
  const body = z.object({ keys: z.array(z.object({ key: z.string() })) });
  return body
    .parse(await (await ask(server, '/log/keys')).json())
    .keys.map(({ key }) => unfaulted(parseVerifierKey(key)));
}

async function create(): Promise<string> {
  const response = await ask(server, '/v1/contexts', { method: 'POST', json: { name: 'Logged' } });
  return z.object({ id: z.string() }).parse(await response.json()).id;
}

describe('the log of a real server', () => {
  it('logs a change, and a witness signs that it saw it', async () => {
    const id = await create();
    witness.logKeys = await keys();
    expect(await checkBundle(server, id)).toEqual([]);
    witness.logKeys = await keys();
    // What comes next is a checkpoint that the witness, which knows the log by now, can sign.
    await checkBundle(server, await create());
    await waitFor('the witness to have signed', async () => {
      const note = await (await ask(server, '/log/checkpoint')).text();
      const { origin, cosignatures } = unfaulted(openCheckpoint(note, [...(await keys()), witness.key]));
      expect(origin).toBe('log.example/tests');
      return cosignatures.length === 1;
    });
    expect(new Set(requests)).toEqual(new Set(['POST /add-checkpoint']));
  });

  it('killed while it writes, never goes back on what it has shown, and vouches for every event in the end', async () => {
    const reader = new LogReader();
    const ids: string[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      expect(await reader.look(server)).toEqual([]);
      const stop = new AbortController();
      const writing = Array.from({ length: 4 }, async () => {
        while (!stop.signal.aborted) {
          const id = await create().catch(() => null);
          if (id === null) return;
          ids.push(id);
          await pause(20);
        }
      });
      // Long enough for heads to be on their way, some of them in a checkpoint that is just being published.
      await pause(1_000 + 700 * kill);
      expect(await reader.look(server)).toEqual([]);
      server.kill('SIGKILL');
      await server.exited;
      stop.abort();
      await Promise.all(writing);
      server = await startServer(options);
    }
    const shown = reader.size;
    ids.push(await create());
    for (const id of ids.slice(-20)) expect(await checkBundle(server, id)).toEqual([]);
    expect(await reader.look(server)).toEqual([]);
    expect(await reader.readAll(server)).toEqual([]);
    expect(reader.size).toBeGreaterThan(shown);
  });
});
