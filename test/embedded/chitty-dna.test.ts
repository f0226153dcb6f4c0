import { evictDurableObject, listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { call, done, initializeDna, mint } from './chittyos.ts';

interface Lineage {
  readonly status: string;
  readonly length: number;
  readonly lineage: { readonly id: string; readonly source: string }[];
  readonly nextAfter: number | null;
}

const SOURCE = '/v1/contexts/ctx_1';

/** An event as the delivery sends it. */
const event = (sequence: number, more: object = {}) => ({
  specversion: '1.0',
  id: `event-${sequence}`,
  source: SOURCE,
  type: 'cc.chitty.connect.context_updated',
  time: '2026-02-01T12:00:00.000Z',
  sequence: String(sequence),
  data: { name: `Name ${sequence}` },
  ...more,
});

const events = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => event(from + index));

const evolve = (id: string, batch: unknown, type = 'application/cloudevents-batch+json') =>
  call('dna', `/api/dna/${id}/evolve`, { json: batch, headers: { 'Content-Type': type } });

const read = async (id: string, query = '') => (await call<Lineage>('dna', `/api/dna/${id}${query}`)).body;

const ids = async (id: string) => (await read(id, '?limit=1000')).lineage.map((one) => one.id);

const record = async () => initializeDna(await mint());

describe('initializing', () => {
  it('gives one record for one ChittyID, and finds it by either id', async () => {
    const chittyid = await mint();
    const id = await initializeDna(chittyid);
    await evictDurableObject(env.CHITTY_DNA.getByName(id));
    expect(await initializeDna(chittyid)).toBe(id);
    expect(await initializeDna(await mint())).not.toBe(id);
    const found = await read(id);
    expect(found).toMatchObject({
      id,
      chittyid,
      type: 'context',
      status: 'active',
      metadata: { a: 1 },
      length: 0,
      lineage: [],
    });
    expect(await read(chittyid)).toEqual(found);
  });

  it('refuses a record of another type for the same ChittyID', async () => {
    const chittyid = await mint();
    await initializeDna(chittyid, 'context');
    await expect(initializeDna(chittyid, 'actor')).rejects.toThrow(/409/);
  });

  it.each([
    [{ chittyid: '03-1-USA-5537-P-2602-0-39' }, '/chittyid'],
    [{ type: 1 }, '/type'],
    [{ genesis: { service: 's', timestamp: 'yesterday', genesisSchemaVersion: '1' } }, '/genesis/timestamp'],
    [{ genesis: undefined }, '/genesis'],
  ])('refuses %j and points at the fault', async (fault, pointer) => {
    const genesis = { service: 's', timestamp: '2026-02-01T12:00:00Z', genesisSchemaVersion: '1' };
    const json = { chittyid: '03-1-USA-5537-P-2602-0-38', type: 'context', metadata: {}, genesis, ...fault };
    expect(await call('dna', '/api/initialize', { json })).toMatchObject({
      status: 400,
      body: { errors: [{ pointer }] },
    });
  });
});

describe('evolving', () => {
  it('keeps every event as it came, in order, also across evictions', async () => {
    const id = await record();
    expect(await evolve(id, events(1, 3))).toMatchObject({
      status: 200,
      body: { accepted: 3, duplicates: 0, length: 3 },
    });
    await evictDurableObject(env.CHITTY_DNA.getByName(id));
    expect((await evolve(id, events(4, 5), 'application/json')).body).toMatchObject({ accepted: 2, length: 5 });
    const { lineage } = await read(id);
    expect(lineage.map((one) => one.id)).toEqual(['event-1', 'event-2', 'event-3', 'event-4', 'event-5']);
    expect(lineage[1]).toEqual(event(2));
  });

  it('passes over and counts what it has, whatever trace it comes with', async () => {
    const id = await record();
    await evolve(id, events(1, 3));
    const again = await evolve(id, [event(2, { traceparent: 'other' }), event(3, { sequence: 3 }), event(4), event(4)]);
    expect(again.body).toMatchObject({ accepted: 1, duplicates: 3, length: 4 });
    expect(await ids(id)).toEqual(['event-1', 'event-2', 'event-3', 'event-4']);
  });

  it('refuses a gap, says what comes next, and takes nothing of the batch', async () => {
    const id = await record();
    await evolve(id, events(1, 2));
    const refused = await evolve(id, [event(3), event(5)]);
    expect(refused).toMatchObject({
      status: 409,
      body: { type: expect.stringContaining('sequence-gap'), source: SOURCE, expectedSequence: 4, sequence: 5 },
    });
    expect(await ids(id)).toEqual(['event-1', 'event-2']);
    expect((await evolve(id, events(3, 5))).status).toBe(200);
  });

  it('refuses the first event of a source when it is not number 1', async () => {
    expect((await evolve(await record(), [event(2)])).body).toMatchObject({ expectedSequence: 1 });
  });

  it('counts each source for itself', async () => {
    const id = await record();
    const other = { source: '/v1/contexts/ctx_2' };
    const { status } = await evolve(id, [event(1), event(1, other), event(2, other), event(2)]);
    expect(status).toBe(200);
    expect((await read(id)).length).toBe(4);
  });

  it('refuses another event in the place, or with the id, of one that it has', async () => {
    const id = await record();
    await evolve(id, events(1, 2));
    expect((await evolve(id, [event(2, { id: 'usurper' })])).status).toBe(409);
    expect((await evolve(id, [event(2, { data: { name: 'forged' } })])).status).toBe(409);
    expect((await read(id)).lineage[1]).toMatchObject({ id: 'event-2', data: { name: 'Name 2' } });
  });

  it('takes each event once when many deliver the same batches at once', async () => {
    const id = await record();
    const batches = [events(1, 10), events(1, 20), events(5, 20), events(11, 20)];
    const deliver = (batch: object[]) => evolve(id, batch);
    await Promise.all([...batches, ...batches, ...batches].map(deliver));
    await deliver(events(1, 20));
    expect(await ids(id)).toEqual(events(1, 20).map((one) => one.id));
  });

  it('takes events that have no sequence, each once', async () => {
    const id = await record();
    const { sequence: _, ...free } = event(1, { id: 'free' });
    expect((await evolve(id, [free, free])).body).toMatchObject({ accepted: 1, duplicates: 1 });
  });

  it.each([
    ['no array', {}, ''],
    ['another version of CloudEvents', [event(1, { specversion: '0.3' })], '/0/specversion'],
    ['an event without an id', [event(1, { id: undefined })], '/0/id'],
    ['sequence 0', [event(0)], '/0/sequence'],
    ['a sequence that is no number', [event(1, { sequence: 'first' })], '/0/sequence'],
    ['1,001 events', events(1, 1001), ''],
  ])('refuses %s', async (_name, batch, pointer) => {
    const id = await record();
    expect(await evolve(id, batch)).toMatchObject({ status: 400, body: { errors: [{ pointer }] } });
    expect((await read(id)).length).toBe(0);
  });

  it('takes a single-event type for no batch', async () => {
    expect((await evolve(await record(), [event(1)], 'application/cloudevents+json')).status).toBe(415);
  });
});

describe('archiving', () => {
  const archive = (id: string, json: object = {}) => done('dna', `/api/dna/${id}/archive`, { json });

  it('closes a record for good reason, once, and keeps its lineage', async () => {
    const id = await record();
    await evolve(id, events(1, 2));
    const first = await archive(id, { reason: 'deleted' });
    expect(first).toMatchObject({ status: 'archived', length: 2 });
    await evictDurableObject(env.CHITTY_DNA.getByName(id));
    expect(await archive(id)).toEqual(first);
    expect((await evolve(id, events(1, 2))).body).toMatchObject({ duplicates: 2 });
    expect(await read(id)).toMatchObject({ status: 'archived', length: 2 });
  });

  it('is undone by what happens afterwards', async () => {
    const id = await record();
    await evolve(id, events(1, 1));
    await archive(id);
    await evolve(id, events(2, 2));
    expect(await read(id)).toMatchObject({ status: 'active', archivedAt: null, length: 2 });
  });

  it('is passed over when it comes late, about an event that others have followed', async () => {
    const id = await record();
    await evolve(id, events(1, 3));
    expect(await archive(id, { source: SOURCE, sequence: 2 })).toMatchObject({ status: 'active' });
    expect(await archive(id, { source: SOURCE, sequence: 3 })).toMatchObject({ status: 'archived' });
  });

  it('refuses half a position', async () => {
    expect((await call('dna', `/api/dna/${await record()}/archive`, { json: { sequence: 1 } })).status).toBe(400);
  });
});

describe('reading a lineage', () => {
  it('gives all events in pages, in order', async () => {
    const id = await record();
    await evolve(id, events(1, 7));
    const pages: string[][] = [];
    for (let after: number | null = 0; after !== null; ) {
      const page: Lineage = await read(id, `?after=${after}&limit=3`);
      pages.push(page.lineage.map((one) => one.id));
      after = page.nextAfter;
    }
    expect(pages).toEqual([['event-1', 'event-2', 'event-3'], ['event-4', 'event-5', 'event-6'], ['event-7']]);
  });

  it.each([
    ['ASCII', 'x'.repeat(300_000)],
    ['another script', '字'.repeat(100_000)],
  ])('ends a page before it gets too long to read, in %s', async (_script, big) => {
    const id = await record();
    for (let sequence = 1; sequence <= 4; sequence++) await evolve(id, [event(sequence, { data: big })]);
    const { lineage, nextAfter } = await read(id);
    expect([lineage.length, nextAfter]).toEqual([2, 2]);
    expect((await read(id, '?after=2')).nextAfter).toBeNull();
  });

  it.each(['nothing', 'dna_01ARZ3NDEKTSV4RRFFQ69G5FAV', '03-1-USA-5537-P-2602-0-39'])(
    'finds nothing at %s, and makes no object for it',
    async (id) => {
      const before = await listDurableObjectIds(env.CHITTY_DNA);
      expect((await call('dna', `/api/dna/${id}`)).status).toBe(404);
      expect((await evolve(id, [event(1)])).status).toBe(404);
      expect((await call('dna', `/api/dna/${id}/archive`, { json: {} })).status).toBe(404);
      expect(await listDurableObjectIds(env.CHITTY_DNA)).toEqual(before);
    },
  );

  it('finds nothing for a ChittyID that has no record', async () => {
    const chittyid = await mint();
    expect((await call('dna', `/api/dna/${chittyid}`)).status).toBe(404);
    expect((await evolve(chittyid, [event(1)])).status).toBe(404);
  });

  it.each(['limit=0', 'limit=1001', 'after=x', 'page=1'])('refuses ?%s', async (query) => {
    expect((await call('dna', `/api/dna/${await record()}?${query}`)).status).toBe(400);
  });
});
