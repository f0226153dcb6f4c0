import { once } from 'node:events';
import { createServer, type Server as HttpServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { traceparentOf } from '../../src/trace.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

const KEY = 'cck_trace-server';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
/** Ids that the real authority has minted. */
const CHITTY_IDS = ['03-1-USA-5537-P-2602-0-38', '03-1-USA-7165-T-2602-0-13', '03-1-USA-1399-T-2603-0-70'];
/** How long anything may take to arrive, on a machine that does other things as well. */
const ARRIVAL_MS = 30_000;

const entriesSchema = z.object({
  entries: z.array(z.object({ entityId: z.string(), data: z.looseObject({ correlationid: z.string() }) })),
});

/** Entries as ChittyChronicle got them together, and the trace that the request was in. */
interface Batch {
  readonly traceId: string | undefined;
  readonly entries: z.infer<typeof entriesSchema>['entries'];
}

const batches: Batch[] = [];
/** The trace that each id was minted in, by what it was minted for. */
const minted = new Map<string, string | undefined>();
const spans: (string | undefined)[] = [];

const folder = temporaryFolder('trace');
let services: HttpServer;
let server: Server;

/** ChittyID and ChittyChronicle, as they are reached over the network. */
async function serve(request: IncomingMessage): Promise<object> {
  const traceparent = request.headers.traceparent;
  const [, traceId, span] = (typeof traceparent === 'string' ? traceparent : '').split('-');
  const body: unknown = JSON.parse(await text(request));
  if (request.url === '/id/v1/mint') {
    const { contextId = 'another' } = z
      .object({ metadata: z.looseObject({ contextId: z.string().optional() }) })
      .parse(body).metadata;
    minted.set(contextId, traceId);
    spans.push(span);
    const id = CHITTY_IDS[[...minted.keys()].indexOf(contextId)];
    return { id, did: `did:chitty:${id}` };
  }
  if (request.url === '/chronicle/api/relationships') return { id: 'rel_1' };
  const { entries } = entriesSchema.parse(body);
  batches.push({ traceId, entries });
  spans.push(span);
  return { accepted: entries.length, duplicates: 0 };
}

beforeAll(async () => {
  const port = await freePort();
  services = createServer(async (request, response) => {
    const answer = JSON.stringify(await serve(request));
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(answer);
  }).listen(port, '127.0.0.1');
  await once(services, 'listening');
  server = await startServer({
    port: await freePort(),
    dataFolder: folder.path,
    apiKey: KEY,
    environment: {
      CHITTY_ID_SERVICE_TOKEN: 'token',
      CHITTY_ID_URL: `http://127.0.0.1:${port}/id`,
      CHITTY_CHRONICLE_TOKEN: 'token',
      CHITTY_CHRONICLE_URL: `http://127.0.0.1:${port}/chronicle`,
    },
  });
});

afterAll(async () => {
  await stopServer(server, 'SIGKILL');
  services.close();
  folder.remove();
});

async function create(headers: Record<string, string>): Promise<string> {
  const response = await fetch(`${server.url}/v1/contexts`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify({ name: 'Traced' }),
  });
  return z.looseObject({ id: z.string() }).parse(await response.json()).id;
}

/** Waits until a context has been minted an id and its creation is written down. */
async function arrived(id: string): Promise<Batch | undefined> {
  const batch = () => batches.find(({ entries }) => entries.some(({ entityId }) => entityId === id));
  await waitFor('both services to be called', () => minted.has(id) && batch() !== undefined, ARRIVAL_MS);
  return batch();
}

describe('the trace of a request', () => {
  it('is the one that ChittyID and ChittyChronicle are called in because of it', async () => {
    const id = await create({ traceparent: `00-${TRACE}-${SPAN}-01` });
    const batch = await arrived(id);
    expect(minted.get(id)).toBe(TRACE);
    expect(batch?.entries.find(({ entityId }) => entityId === id)?.data.correlationid).toBe(TRACE);
    expect(spans).not.toContain(SPAN);
    expect(new Set(spans).size).toBe(spans.length);
  });

  it('is made of its id when it brought none', async () => {
    const id = await create({ 'X-Request-Id': 'my-request' });
    await arrived(id);
    expect(minted.get(id)).toBe(traceparentOf('my-request').split('-')[1]);
  });

  it('stands over what is written down together when it is the first of it', () => {
    const first = ({ entries }: Batch) => traceparentOf(entries[0]?.data.correlationid ?? '').split('-')[1];
    expect(batches.map(({ traceId }) => traceId)).toEqual(batches.map(first));
  });
});
