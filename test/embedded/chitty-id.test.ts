import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { formatChittyId, parseChittyId } from '../../events/chitty-id.ts';
import { type Answer, call, mint } from './chittyos.ts';

const authority = env.CHITTY_ID.getByName('single');

/** A page of the list of what was minted. */
interface MintedPage {
  readonly minted: { readonly id: string }[];
  readonly nextAfter: number | null;
}

/** Says that the last number of a type's current month is `number`, counted from 0. */
function seed(type: string, number: number): Promise<void> {
  const now = new Date().toISOString();
  return runInDurableObject(authority, (_object, { storage }) => {
    storage.sql.exec(
      `INSERT INTO minted (jurisdiction, type, year_month, number, id, metadata, timestamp)
       VALUES ('ZZZ', ?, ?, ?, 'seeded', '{}', ?)`,
      type,
      now.slice(2, 4) + now.slice(5, 7),
      number,
      now,
    );
  });
}

describe('minting', () => {
  it('gives an id, its DID and what it stands for', async () => {
    const { status, body } = await call('id', '/v1/mint', {
      json: { entity: 'L', characterization: 'Natural', metadata: { place: 'Rome' } },
    });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      did: `did:chitty:${body.id}`,
      entityType: 'Location',
      trustLevel: 0,
      lifecycle: 'active',
    });
    expect(Date.parse(String(body.timestamp))).toBeGreaterThan(0);
    expect(parseChittyId(String(body.id))).toMatchObject({ isCheckRight: true, parts: { type: 'L', region: '1' } });
    const info = await call('id', `/v1/${body.id}/info`);
    expect(info.body).toMatchObject({ ...body, characterization: 'Natural', metadata: { place: 'Rome' } });
    const did = await call('id', `/v1/${body.id}/did`);
    expect(did.body).toMatchObject({ id: body.id, did: body.did, document: { id: body.did } });
  });

  it('makes a context a Person that is Synthetic', async () => {
    const { body } = await call('id', '/v1/mint', { json: { entity: 'CONTEXT' } });
    const { body: info } = await call('id', `/v1/${body.id}/info`);
    expect(info).toMatchObject({ entity: 'P', entityType: 'Person', characterization: 'Synthetic' });
    const refused = await call('id', '/v1/mint', { json: { entity: 'CONTEXT', characterization: 'Natural' } });
    expect(refused.status).toBe(400);
  });

  it.each([{ entityType: 'L' }, { entity: 'L', entityType: 'L' }, { entity: 'PLACE', entityType: 'L' }])(
    'takes %j for a location: newer callers name it otherwise',
    async (json) => {
      const { status, body } = await call('id', '/v1/mint', { json });
      expect(status).toBe(201);
      expect(parseChittyId(String(body.id))?.parts.type).toBe('L');
    },
  );

  it('numbers in order, also across an eviction', async () => {
    const before = Number(parseChittyId(await mint('E'))?.parts.sequence);
    await evictDurableObject(authority);
    const after = Number(parseChittyId(await mint('E'))?.parts.sequence);
    expect(after).toBe(before + 1);
  });

  it('goes on with the next region when 9,999 numbers are gone, and refuses when all regions are', async () => {
    await mint('A');
    await seed('A', 9_997);
    const ids = [await mint('A'), await mint('A')];
    expect(ids.map((id) => id.slice(0, 13))).toEqual(['03-1-ZZZ-9999', '03-2-ZZZ-0001']);
    await seed('A', 36 * 9_999 - 2);
    expect((await mint('A')).slice(0, 13)).toBe('03-0-ZZZ-9999');
    const refused = await call('id', '/v1/mint', { json: { entity: 'A' } });
    expect(refused).toMatchObject({ status: 503, body: { title: expect.stringContaining('used up') } });
  });

  it('never gives a number twice, however many ask at once and whatever is evicted meanwhile', async () => {
    const minting = Array.from({ length: 200 }, () => mint('T'));
    await evictDurableObject(authority).catch(() => undefined);
    const ids = await Promise.all([...minting, ...Array.from({ length: 100 }, () => mint('T'))]);
    expect(new Set(ids).size).toBe(300);
    const numbers = ids.map((id) => Number(parseChittyId(id)?.parts.sequence)).sort((a, b) => a - b);
    expect(numbers.at(-1)).toBe((numbers[0] ?? 0) + 299);
  });

  it('gives the same answer to the same Idempotency-Key for ever, and refuses another request under it', async () => {
    const headers = { 'Idempotency-Key': 'context ctx_1' };
    const json = { entity: 'P', metadata: { a: 1, b: 2 } };
    const first = await call('id', '/v1/mint', { json, headers });
    await mint('P');
    await evictDurableObject(authority);
    const again = await call('id', '/v1/mint', { json: { metadata: { b: 2, a: 1 }, entity: 'PEO' }, headers });
    expect(again).toMatchObject({ status: 201, body: first.body });
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(first.headers.get('Idempotent-Replayed')).toBeNull();
    const other = await call('id', '/v1/mint', { json: { entity: 'T' }, headers });
    expect(other.status).toBe(422);
  });

  it('mints once for a key that many send at once', async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, () => mint('P', { 'Idempotency-Key': 'all at once' })));
    expect(new Set(ids).size).toBe(1);
  });

  it.each([
    [{}, '/entity'],
    [{ entity: 'X' }, '/entity'],
    [{ entityType: 'X' }, '/entityType'],
    [{ entity: 'P', entityType: 'T' }, '/entityType'],
    [{ entity: 'P', region: '1' }, '/region'],
    [{ entity: 'P', metadata: [] }, '/metadata'],
    [{ entity: 'P', characterization: '' }, '/characterization'],
  ])('refuses %j and points at the fault', async (json, pointer) => {
    const { status, body } = await call('id', '/v1/mint', { json });
    expect(status).toBe(400);
    expect(body).toMatchObject({ errors: [{ pointer }] });
  });

  it.each(['', 'x'.repeat(256)])(
    'refuses an Idempotency-Key of %# characters that is empty or too long',
    async (key) => {
      const { status } = await call('id', '/v1/mint', { json: { entity: 'P' }, headers: { 'Idempotency-Key': key } });
      expect(status).toBe(400);
    },
  );
});

describe('validating', () => {
  it('finds what was minted valid', async () => {
    const id = await mint();
    const { status, body } = await call('id', '/v1/validate', { json: { chittyid: id } });
    expect(status).toBe(200);
    expect(body).toMatchObject({ valid: true, components: { type: 'P', entityType: 'Person', trust: 'Anonymous' } });
    expect(body.error).toBeUndefined();
  });

  it.each([
    ['not a ChittyID', 'malformed', undefined],
    ['03-1-USA-5537-P-2613-0-12', 'malformed', undefined],
    ['03-1-USA-5537-P-2602-0-07', 'malformed', undefined],
    ['03-1-USA-5537-P-2602-0-39', 'wrong-check-number', { sequence: '5537' }],
    ['03-1-USA-5537-P-2602-0-38', 'not-minted', { sequence: '5537' }],
  ])('finds %j not valid and says %s', async (chittyid, error, components) => {
    const { status, body } = await call('id', '/v1/validate', { json: { chittyid } });
    expect(status).toBe(200);
    expect(body).toMatchObject({ valid: false, error, ...(components && { components }) });
  });

  it('does not take another trust level for the id that was minted', async () => {
    const parsed = parseChittyId(await mint());
    const forged = parsed ? formatChittyId({ ...parsed.parts, trustLevel: 5 }) : '';
    const { body } = await call('id', '/v1/validate', { json: { chittyid: forged } });
    expect(body).toMatchObject({ valid: false, error: 'not-minted' });
    expect((await call('id', `/v1/${forged}/info`)).status).toBe(404);
  });

  it('knows nothing of ids that it did not mint', async () => {
    expect((await call('id', '/v1/03-1-USA-5537-P-2602-0-38/info')).status).toBe(404);
    expect((await call('id', '/v1/03-1-USA-5537-P-2602-0-38/did')).status).toBe(404);
  });
});

describe('the list of what was minted', () => {
  beforeAll(async () => {
    for (let count = 0; count < 5; count++) await mint();
  });

  it('has every id once, page by page, oldest first', async () => {
    const all: string[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const { body }: Answer<MintedPage> = await call('id', `/v1/minted?after=${after}&limit=3`);
      all.push(...body.minted.map(({ id }) => id));
      after = body.nextAfter;
    }
    const minted = all.filter((id) => id !== 'seeded');
    expect(new Set(minted).size).toBe(minted.length);
    expect(minted.length).toBeGreaterThanOrEqual(5);
  });

  it('ends a page before it gets too long to read, in whatever script', async () => {
    const last = (await call<MintedPage>('id', '/v1/minted?limit=1000')).body.minted.length;
    const ids: string[] = [];
    for (let count = 0; count < 4; count++) {
      const json = { entity: 'T', metadata: { big: '字'.repeat(100_000) } };
      ids.push((await call<{ id: string }>('id', '/v1/mint', { json })).body.id);
    }
    const pages: string[][] = [];
    for (let after: number | null = last; after !== null; ) {
      const { body }: Answer<MintedPage> = await call('id', `/v1/minted?after=${after}`);
      pages.push(body.minted.map(({ id }) => id));
      after = body.nextAfter;
    }
    expect(pages.flat()).toEqual(ids);
    expect(pages.slice(0, 2)).toEqual([ids.slice(0, 2), ids.slice(2)]);
  });

  it.each(['limit=0', 'limit=x', 'after=-1', 'page=2'])('refuses ?%s', async (query) => {
    expect((await call('id', `/v1/minted?${query}`)).status).toBe(400);
  });
});
