import { expect } from 'vitest';
import { z } from 'zod';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from './server.ts';

/** A real server with its embedded services, and what tests of delivery ask of it. One for each test file. */

const KEY = 'cck_delivery-server';
/** How long anything may take to arrive: longer than it takes until what got no answer is sent again, which is 30 s. */
export const ARRIVAL_MS = 75_000;
/** How often a stream that has not arrived is hurried. */
const HURRY_MS = 1_000;

export const contextSchema = z.looseObject({
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
export const timelineSchema = z.object({ entries: z.array(z.looseObject({ id: z.string(), eventType: z.string() })) });
export const lineageSchema = z.object({
  status: z.string(),
  lineage: z.array(z.looseObject({ id: z.string(), sequence: z.string() })),
});
export const outboxSchema = z.object({
  destinations: z.array(
    z.object({ destination: z.string(), streamsBehind: z.int(), lastError: z.string().nullable() }),
  ),
  behind: z.array(z.looseObject({ stream: z.string() })),
});
const mintedSchema = z.object({ minted: z.array(z.looseObject({ id: z.string(), metadata: z.looseObject({}) })) });

export type ContextJson = z.infer<typeof contextSchema>;

const folder = temporaryFolder('delivery-server');
let port: number | undefined;
let server: Server | undefined;

/** Starts the server, or starts it again on the same data. */
export async function start(): Promise<void> {
  port ??= await freePort();
  server = await startServer({ port, dataFolder: folder.path, apiKey: KEY });
}

/** Kills the server with all it has in memory. */
export async function kill(): Promise<void> {
  if (server) await stopServer(server, 'SIGKILL');
}

/** Ends the server and removes its data. */
export async function discard(): Promise<void> {
  await kill();
  folder.remove();
}

export async function request(method: string, path: string, json?: unknown): Promise<Response> {
  const response = await fetch(`${server?.url}${path}`, {
    method,
    headers: { Authorization: `Bearer ${KEY}`, ...(json !== undefined && { 'Content-Type': 'application/json' }) },
    ...(json !== undefined && { body: JSON.stringify(json) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response;
}

export const get = async <Value>(path: string, schema: z.ZodType<Value>) =>
  schema.parse(await (await request('GET', path)).json());

export const create = async (name: string) =>
  contextSchema.parse(await (await request('POST', '/v1/contexts', { name })).json());
export const read = (id: string) => get(`/v1/contexts/${id}`, contextSchema);
export const rename = (id: string, name: string) => request('PATCH', `/v1/contexts/${id}`, { name });
export const fault = (service: string, json: object) => request('PUT', `/embedded/faults/${service}`, json);
export const mend = () => request('DELETE', '/embedded/faults/all');
export const hurry = (id: string) => request('POST', `/v1/admin/outbox/context/${id}/retry`);

/** The ids of a context's events, in the order of its log. */
async function log(id: string): Promise<{ ids: string[]; types: string[] }> {
  const events = await get(`/v1/contexts/${id}/events?offset=-1&limit=1000`, z.array(eventSchema));
  expect(events.map(({ version }) => version)).toEqual(events.map((_, index) => index + 1));
  return { ids: events.map((event) => event.id), types: events.map(({ type }) => type) };
}

export const chronicle = async (id: string) =>
  (await get(`/embedded/chronicle/api/timeline/${id}?limit=500`, timelineSchema)).entries.map((entry) => entry.id);

export async function dna({ provisioning }: ContextJson): Promise<string[]> {
  const id = provisioning.steps.initializeDna?.reference;
  if (id === undefined) return [];
  const { lineage } = await get(`/embedded/dna/api/dna/${id}?limit=500`, lineageSchema);
  expect(lineage.map(({ sequence }) => Number(sequence))).toEqual(lineage.map((_, index) => index + 1));
  return lineage.map((event) => event.id);
}

/** Waits until all that is known of a context stands in Chronicle and DNA, each once and in order. */
export async function expectArrived(id: string, { isHurried = false } = {}): Promise<void> {
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

export async function expectEachMintedOnce(): Promise<void> {
  const { minted } = await get('/embedded/id/v1/minted?limit=500', mintedSchema);
  // Others mint as well: the embedded services have ChittyIDs of their own.
  const contexts = minted.map(({ metadata }) => metadata.contextId).filter((id) => id !== undefined);
  expect(contexts.length).toBeGreaterThan(0);
  expect(new Set(contexts).size).toBe(contexts.length);
}
