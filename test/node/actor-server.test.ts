import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  ARRIVAL_MS,
  contextSchema,
  discard,
  get,
  kill,
  lineageSchema,
  request,
  start,
  timelineSchema,
} from '../support/delivery-server.ts';
import { waitFor } from '../support/server.ts';

beforeAll(start);

afterAll(discard);

const actorSchema = contextSchema.extend({ status: z.string() });
const keySchema = z.looseObject({ id: z.string(), key: z.string() });

const readActor = (id: string) => get(`/v1/actors/${id}`, actorSchema);

async function register(name: string): Promise<string> {
  return actorSchema.parse(await (await request('POST', '/v1/actors', { kind: 'agent', name })).json()).id;
}

async function timeline(id: string): Promise<string[]> {
  const { entries } = await get(`/embedded/chronicle/api/timeline/${id}?limit=500`, timelineSchema);
  return entries.map(({ eventType }) => eventType);
}

async function provisioned(id: string): Promise<z.infer<typeof actorSchema>> {
  const isComplete = async () => (await readActor(id)).provisioning.status === 'complete';
  await waitFor('its place in ChittyOS', isComplete, ARRIVAL_MS);
  return readActor(id);
}

describe('a new actor', () => {
  it('gets a ChittyID that addresses it, and what happens to it stands in Chronicle and DNA, without any secret', async () => {
    const id = await register('Scout of the north');
    const actor = await provisioned(id);
    expect(actor.chittyId).toMatch(/^\S+$/);
    await waitFor('the ChittyID to address it', async () => {
      const { items } = await get(`/v1/actors?q=${actor.chittyId}`, z.object({ items: z.array(actorSchema) }));
      return items.some((item) => item.id === id);
    });
    expect(await readActor(String(actor.chittyId))).toEqual(actor);
    const { key } = keySchema.parse(await (await request('POST', `/v1/actors/${id}/keys`, { name: 'k' })).json());
    const all = ['actor_registered', 'actor_identified', 'dna_initialized', 'key_issued'];
    await waitFor('Chronicle to have all of it', async () => (await timeline(id)).length === all.length, ARRIVAL_MS);
    expect(await timeline(id)).toEqual(all);
    const dnaPath = `/embedded/dna/api/dna/${actor.provisioning.steps.initializeDna?.reference}?limit=500`;
    await waitFor(
      'DNA to have all of it',
      async () => {
        return (await get(dnaPath, lineageSchema)).lineage.length === all.length;
      },
      ARRIVAL_MS,
    );
    const entries = await (await request('GET', `/embedded/chronicle/api/timeline/${id}?limit=500`)).text();
    expect(entries).not.toContain(key.slice(-49, -6));
    await request('DELETE', `/v1/actors/${id}`);
    const isArchived = async () => (await get(dnaPath, lineageSchema)).status === 'archived';
    await waitFor('the DNA record to be archived', isArchived, ARRIVAL_MS);
  });

  it('keeps its key through kill -9', async () => {
    const id = await register('Survivor');
    const issued = keySchema.parse(await (await request('POST', `/v1/actors/${id}/keys`, { name: 'k' })).json());
    await kill();
    await start();
    const { items } = await get(
      `/v1/actors/${id}/keys`,
      z.object({ items: z.array(z.looseObject({ id: z.string() })) }),
    );
    expect(items.map((item) => item.id)).toEqual([issued.id]);
    await provisioned(id);
  });
});
