import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

const KEY = 'cck_delivery-server';
/** How long anything may take to arrive, on a machine that does other things as well. */
const ARRIVAL_MS = 30_000;
/** How often a stream that has not arrived is hurried. */
const HURRY_MS = 1_000;

const contextSchema = z.looseObject({
  id: z.string(),
  chittyId: z.string().nullable(),
  name: z.string(),
  version: z.int(),
  provisioning: z.object({
    status: z.string(),
    steps: z.record(z.string(), z.looseObject({ status: z.string(), reference: z.string().optional() })),
  }),
});
const eventSchema = z.looseObject({ id: z.string(), version: z.int(), type: z.string() });
const timelineSchema = z.object({ entries: z.array(z.looseObject({ id: z.string(), eventType: z.string() })) });
const lineageSchema = z.object({
  status: z.string(),
  lineage: z.array(z.looseObject({ id: z.string(), sequence: z.string() })),
});
const outboxSchema = z.object({
  destinations: z.array(
    z.object({ destination: z.string(), streamsBehind: z.int(), lastError: z.string().nullable() }),
  ),
  behind: z.array(z.looseObject({ stream: z.string() })),
});
const mintedSchema = z.object({ minted: z.array(z.looseObject({ id: z.string(), metadata: z.looseObject({}) })) });

type ContextJson = z.infer<typeof contextSchema>;

const folder = temporaryFolder('delivery-server');
let port: number;
let server: Server;

const start = () => startServer({ port, dataFolder: folder.path, apiKey: KEY });

beforeAll(async () => {
  port = await freePort();
  server = await start();
});

afterAll(async () => {
  await stopServer(server, 'SIGKILL');
  folder.remove();
});

async function request(method: string, path: string, json?: unknown): Promise<Response> {
  const response = await fetch(server.url + path, {
    method,
    headers: { Authorization: `Bearer ${KEY}`, ...(json !== undefined && { 'Content-Type': 'application/json' }) },
    ...(json !== undefined && { body: JSON.stringify(json) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response;
}

const get = async <Value>(path: string, schema: z.ZodType<Value>) =>
  schema.parse(await (await request('GET', path)).json());

const create = async (name: string) =>
  contextSchema.parse(await (await request('POST', '/v1/contexts', { name })).json());
const read = (id: string) => get(`/v1/contexts/${id}`, contextSchema);
const rename = (id: string, name: string) => request('PATCH', `/v1/contexts/${id}`, { name });
const fault = (service: string, json: object) => request('PUT', `/embedded/faults/${service}`, json);
const mend = () => request('DELETE', '/embedded/faults/all');
const hurry = (id: string) => request('POST', `/v1/admin/outbox/context/${id}/retry`);

/** The ids of a context's events, in the order of its log. */
async function log(id: string): Promise<{ ids: string[]; types: string[] }> {
  const events = await get(`/v1/contexts/${id}/events?offset=-1`, z.array(eventSchema));
  expect(events.map(({ version }) => version)).toEqual(events.map((_, index) => index + 1));
  return { ids: events.map((event) => event.id), types: events.map(({ type }) => type) };
}

const chronicle = async (id: string) =>
  (await get(`/embedded/chronicle/api/timeline/${id}?limit=500`, timelineSchema)).entries.map((entry) => entry.id);

async function dna({ provisioning }: ContextJson): Promise<string[]> {
  const id = provisioning.steps.initializeDna?.reference;
  if (id === undefined) return [];
  const { lineage } = await get(`/embedded/dna/api/dna/${id}?limit=500`, lineageSchema);
  expect(lineage.map(({ sequence }) => Number(sequence))).toEqual(lineage.map((_, index) => index + 1));
  return lineage.map((event) => event.id);
}

/** Waits until all that is known of a context stands in Chronicle and DNA, each once and in order. */
async function expectArrived(id: string, { isHurried = false } = {}): Promise<void> {
  let hurriedAt = 0;
  let seen: unknown;
  const isThere = async () => {
    if (isHurried && performance.now() - hurriedAt > HURRY_MS) {
      await hurry(id);
      // A step of provisioning that failed waits for its own time.
      await request('POST', `/v1/contexts/${id}/provisioning/retry`);
      hurriedAt = performance.now();
    }
    const context = await read(id);
    const [{ ids }, entries, lineage] = await Promise.all([log(id), chronicle(id), dna(context)]);
    seen = { provisioning: context.provisioning, ids, entries, lineage };
    return (
      context.provisioning.status === 'complete' &&
      entries.toSorted().join() === ids.toSorted().join() &&
      lineage.join() === ids.join()
    );
  };
  await waitFor(`${id} to arrive`, isThere, ARRIVAL_MS).catch((error: unknown) => {
    throw new Error(`${error}: ${JSON.stringify(seen)}`);
  });
  // The timeline goes by the time of the events; those of one millisecond stand in the order in which they came.
  expect(await chronicle(id)).toEqual((await log(id)).ids);
}

async function expectEachMintedOnce(): Promise<void> {
  const { minted } = await get('/embedded/id/v1/minted?limit=500', mintedSchema);
  // Others mint as well: the embedded services have ChittyIDs of their own.
  const contexts = minted.map(({ metadata }) => metadata.contextId).filter((id) => id !== undefined);
  expect(contexts.length).toBeGreaterThan(0);
  expect(new Set(contexts).size).toBe(contexts.length);
}

describe('a new context', () => {
  it('is found by a fragment of its name, gets its place in ChittyOS, and stands in Chronicle and DNA', async () => {
    const startedAt = performance.now();
    const { id } = await create('Zanzibar lighthouse keepers');
    const found = z.object({ items: z.array(z.looseObject({ id: z.string() })) });
    await waitFor('search to find it', async () => {
      const { items } = await get('/v1/contexts/search?q=nziba', found);
      return items.some((item) => item.id === id);
    });
    const searchMs = performance.now() - startedAt;
    await waitFor('Chronicle to have it', async () => (await chronicle(id)).length > 0, ARRIVAL_MS);
    const chronicleMs = performance.now() - startedAt;
    await waitFor('a certificate', async () => (await read(id)).provisioning.status === 'complete', ARRIVAL_MS);
    const certificateMs = performance.now() - startedAt;
    await expectArrived(id);
    const allMs = performance.now() - startedAt;
    console.log('lag in ms:', { searchMs, chronicleMs, certificateMs, allMs });

    const context = await read(id);
    const validation = await (await request('POST', '/embedded/id/v1/validate', { chittyid: context.chittyId })).json();
    expect(validation).toMatchObject({ valid: true });
    const certificate = context.provisioning.steps.certify?.reference;
    expect((await request('GET', `/embedded/certify/api/certificates/${certificate}`)).status).toBe(200);
    expect(await read(String(context.chittyId))).toEqual(context);
    await expectEachMintedOnce();
  });

  it('as large as one may be arrives as well, though its first event does not fit in a message', async () => {
    const labels = (kind: string) => Array.from({ length: 100 }, (_, index) => `${kind} ${index} `.padEnd(100, '界'));
    const large = {
      name: 'The largest',
      description: '界'.repeat(10_000),
      systems: labels('system'),
      tools: labels('tool'),
      metadata: { text: '界'.repeat(21_000) },
    };
    const { id } = contextSchema.parse(await (await request('POST', '/v1/contexts', large)).json());
    await rename(id, 'Still the largest');
    await expectArrived(id);
    const timeline = await get(`/embedded/chronicle/api/timeline/${id}?limit=1`, timelineSchema);
    expect(timeline.entries[0]).toMatchObject({ eventType: 'context_created', data: { data: large } });
  });

  it('keeps its place when it is deleted and restored', async () => {
    const { id } = await create('Comes back');
    await expectArrived(id);
    const { provisioning } = await read(id);
    const dnaPath = `/embedded/dna/api/dna/${provisioning.steps.initializeDna?.reference}`;
    await request('DELETE', `/v1/contexts/${id}`);
    const isArchived = async () => (await get(dnaPath, lineageSchema)).status === 'archived';
    await waitFor('the DNA record to be archived', isArchived, ARRIVAL_MS);
    await request('POST', `/v1/contexts/${id}/restore`);
    await expectArrived(id);
    expect(await isArchived()).toBe(false);
    expect((await read(id)).provisioning).toEqual(provisioning);
  });
});

describe('while ChittyOS is down', () => {
  it('contexts are made, changed and found; afterwards everything arrives once', async () => {
    const before = await create('There before');
    await expectArrived(before.id);
    await fault('all', { outage: true });
    const during = await create('Made meanwhile');
    for (let round = 1; round <= 3; round++) {
      for (const { id } of [before, during]) {
        await rename(id, `Renamed ${round}`);
        await hurry(id);
      }
    }
    expect(await read(during.id)).toMatchObject({ name: 'Renamed 3', chittyId: null });
    await waitFor(
      'the outbox to say what is behind and why',
      async () => {
        await hurry(before.id);
        const { destinations, behind } = await get('/v1/admin/outbox', outboxSchema);
        return (
          behind.some(({ stream }) => stream === `context/${before.id}`) &&
          destinations.some(({ destination, lastError }) => destination === 'chronicle' && lastError !== null)
        );
      },
      ARRIVAL_MS,
    );

    await mend();
    for (const { id } of [before, during]) await expectArrived(id, { isHurried: true });
    await waitFor(
      'the outbox to be empty',
      async () => (await get('/v1/admin/outbox', outboxSchema)).behind.length === 0,
      ARRIVAL_MS,
    );
    await expectEachMintedOnce();
  });

  it('of two services only one: the other goes on, and the one that was down misses nothing', async () => {
    for (const service of ['dna', 'chronicle']) {
      const { id } = await create(`Without ${service}`);
      await expectArrived(id);
      await fault(service, { outage: true });
      for (let round = 1; round <= 2; round++) {
        await rename(id, `Without ${service} ${round}`);
        const context = await read(id);
        await waitFor(
          'the other one to have it',
          async () => {
            const there = await (service === 'dna' ? chronicle(id) : dna(context));
            return there.length === context.version;
          },
          ARRIVAL_MS,
        );
      }
      await mend();
      await rename(id, 'Both again');
      await expectArrived(id, { isHurried: true });
    }
  });
});

describe('answers that are lost', () => {
  it('make nothing twice: no ChittyID, no event', async () => {
    for (const service of ['id', 'auth', 'dna', 'chronicle']) await fault(service, { loseAnswerRate: 0.4 });
    const made = await Promise.all(Array.from({ length: 4 }, (_, index) => create(`Lost answers ${index}`)));
    for (const { id } of made) await rename(id, 'Renamed under lost answers');
    const isUnderWay = async ({ id }: ContextJson) => Object.keys((await read(id)).provisioning.steps).length > 0;
    await waitFor(
      'every context to have made a step or failed at it',
      async () => (await Promise.all(made.map(isUnderWay))).every(Boolean),
      ARRIVAL_MS,
    );
    await mend();
    for (const { id } of made) await expectArrived(id, { isHurried: true });
    await expectEachMintedOnce();
  });
});

describe('kill -9', () => {
  it('with messages in the queue loses none of them, and nothing arrives twice', async () => {
    const made = await Promise.all(Array.from({ length: 4 }, (_, index) => create(`Killed ${index}`)));
    // In the middle of provisioning, with messages that the queue keeps in memory only.
    await stopServer(server, 'SIGKILL');
    server = await start();
    for (const { id } of made) await rename(id, 'After the first');
    await stopServer(server, 'SIGKILL');
    server = await start();
    for (const { id } of made) await expectArrived(id, { isHurried: true });
    await expectEachMintedOnce();
  });
});
