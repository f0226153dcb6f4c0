import { evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { partitionName } from '../../embedded/storage.ts';
import { call, done, listAll } from './chittyos.ts';

interface Entry {
  readonly id: string;
  readonly kind: string;
  readonly eventType: string;
  readonly entityId: string;
}

interface Page {
  readonly entries: Entry[];
  readonly nextAfter: number | string | null;
}

/** An entry of an entity; the minute is its number. */
const entry = (entityId: string, number: number, more: object = {}) => ({
  id: `${entityId}-${number}`,
  eventType: 'context_updated',
  entityId,
  data: { number },
  timestamp: `2026-02-01T12:${String(number).padStart(2, '0')}:00.000Z`,
  ...more,
});

const entriesOf = (entityId: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => entry(entityId, from + index));

const logBatch = (json: unknown) => call('chronicle', '/api/entries/batch', { json });
const read = async (path: string) => (await call<Page>('chronicle', path)).body;
const idsOf = ({ entries }: Page) => entries.map(({ id }) => id);
const history = (entityId: string, query = '') => read(`/api/entities/${encodeURIComponent(entityId)}/history${query}`);
const objectOf = (entityId: string) => env.CHITTY_CHRONICLE.getByName(partitionName(entityId));

describe('logging one entry', () => {
  it('keeps it and gives it an id when it has none', async () => {
    const { id: _, ...json } = entry('one', 1);
    const { status, body } = await call('chronicle', '/api/entries', { json });
    expect(status).toBe(201);
    expect(body).toMatchObject(json);
    await evictDurableObject(objectOf('one'));
    expect((await history('one')).entries).toEqual([body]);
  });

  it('is done once for one id, and once for one Idempotency-Key', async () => {
    await done('chronicle', '/api/entries', { json: entry('two', 1) });
    const again = await call('chronicle', '/api/entries', { json: entry('two', 1) });
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    const { id: _, ...json } = entry('two', 2);
    const headers = { 'Idempotency-Key': 'entry 2' };
    const first = await done('chronicle', '/api/entries', { json, headers });
    expect(await done('chronicle', '/api/entries', { json, headers })).toEqual(first);
    expect((await history('two')).entries).toHaveLength(2);
  });

  it('refuses other content under an id that is there', async () => {
    await done('chronicle', '/api/entries', { json: entry('three', 1) });
    expect((await call('chronicle', '/api/entries', { json: entry('three', 1, { data: {} }) })).status).toBe(409);
  });

  it('keeps times in UTC, whatever offset they come with', async () => {
    const json = entry('four', 1, { timestamp: '2026-02-01T13:00:00+01:00' });
    expect(await done('chronicle', '/api/entries', { json })).toMatchObject({ timestamp: '2026-02-01T12:00:00.000Z' });
  });

  it.each([
    [{ eventType: '' }, '/eventType'],
    [{ timestamp: '2026-02-30T12:00:00Z' }, '/timestamp'],
    [{ data: 'text' }, '/data'],
    [{ entityId: 'x'.repeat(501) }, '/entityId'],
  ])('refuses %j and points at the fault', async (fault, pointer) => {
    const json = { ...entry('five', 1), ...fault };
    expect(await call('chronicle', '/api/entries', { json })).toMatchObject({
      status: 400,
      body: { errors: [{ pointer }] },
    });
  });
});

describe('logging a batch', () => {
  it('keeps each entry once and in order, for many entities at once', async () => {
    const batch = [entry('a', 1), entry('b', 1), entry('a', 2), entry('c', 1), entry('b', 2)];
    expect(await logBatch({ entries: batch })).toMatchObject({ status: 200, body: { accepted: 5, duplicates: 0 } });
    await evictDurableObject(objectOf('a'));
    const more = [...batch, entry('a', 3), entry('a', 3)];
    expect((await logBatch({ entries: more })).body).toEqual({ accepted: 1, duplicates: 6 });
    expect(idsOf(await history('a'))).toEqual(['a-1', 'a-2', 'a-3']);
    expect(idsOf(await history('b'))).toEqual(['b-1', 'b-2']);
  });

  it('takes a bare array', async () => {
    expect((await logBatch([entry('bare', 1)])).body).toEqual({ accepted: 1, duplicates: 0 });
  });

  it('takes each entry once when many deliver the same at once', async () => {
    await Promise.all(Array.from({ length: 10 }, () => logBatch({ entries: entriesOf('same', 1, 20) })));
    expect(idsOf(await history('same'))).toEqual(entriesOf('same', 1, 20).map(({ id }) => id));
  });

  it('takes nothing of an entity whose entries contradict what is there', async () => {
    await logBatch([entry('contra', 1)]);
    expect((await logBatch([entry('contra', 2), entry('contra', 1, { data: {} })])).status).toBe(409);
    expect(idsOf(await history('contra'))).toEqual(['contra-1']);
  });

  it.each([
    ['an entry without an id', [entry('bad', 1), { ...entry('bad', 2), id: undefined }], '/entries/1/id'],
    [
      '1,001 entries',
      entriesOf('bad', 1, 1001).map((one) => ({ ...one, timestamp: '2026-02-01T12:00:00Z' })),
      '/entries',
    ],
    ['something else', 'entries', ''],
  ])('refuses %s and keeps nothing', async (_name, json, pointer) => {
    expect(await logBatch(json)).toMatchObject({ status: 400, body: { errors: [{ pointer }] } });
    expect((await history('bad')).entries).toEqual([]);
  });
});

describe('asking for entries', () => {
  it('filters by entity, type and time, newest first, across all entities', async () => {
    const type = { eventType: 'asked_for' };
    const entities = Array.from({ length: 20 }, (_, number) => `asked-${number}`);
    await logBatch(entities.map((entity, number) => entry(entity, number, type)));
    await logBatch([entry('asked-0', 30), entry('asked-0', 31, type)]);
    const ask = (query: string) => read(`/api/entries?eventType=asked_for&${query}`);
    expect(idsOf(await ask('limit=3'))).toEqual(['asked-0-31', 'asked-19-19', 'asked-18-18']);
    expect(idsOf(await ask('entityId=asked-0'))).toEqual(['asked-0-31', 'asked-0-0']);
    expect(idsOf(await ask('startDate=2026-02-01T12:19:00Z'))).toEqual(['asked-0-31', 'asked-19-19']);
    expect(idsOf(await ask('endDate=2026-02-01T12:01:00Z'))).toEqual(['asked-1-1', 'asked-0-0']);
    expect(idsOf(await read('/api/entries?entityId=asked-0'))).toEqual(['asked-0-31', 'asked-0-30', 'asked-0-0']);
    expect(await read('/api/entries?entityId=nobody')).toEqual({ entries: [], isComplete: true });
    expect(await ask('limit=21')).toMatchObject({ isComplete: false });
    expect(await ask('limit=22')).toMatchObject({ isComplete: true });
  });

  it('says that it was not all when the answer would get too long to read', async () => {
    const data = { big: '字'.repeat(100_000) };
    for (let number = 1; number <= 3; number++) await logBatch([entry('asked large', number, { data })]);
    const answer = await read('/api/entries?entityId=asked%20large');
    expect([idsOf(answer), answer]).toMatchObject([['asked large-3', 'asked large-2'], { isComplete: false }]);
    expect(await read('/api/entries?entityId=asked%20large&endDate=2026-02-01T12:01:00Z')).toMatchObject({
      isComplete: true,
    });
  });

  it.each(['limit=0', 'limit=1001', 'startDate=yesterday', 'order=asc'])('refuses ?%s', async (query) => {
    expect((await call('chronicle', `/api/entries?${query}`)).status).toBe(400);
  });
});

describe('the timeline of an entity', () => {
  it('is in the order of the entries’ own times, page by page', async () => {
    await logBatch([3, 1, 5, 2, 4].map((number) => entry('line', number)));
    const pages: string[][] = [];
    for (let query = '?limit=2'; query !== ''; ) {
      const page = await read(`/api/timeline/line${query}`);
      pages.push(idsOf(page));
      query = page.nextAfter === null ? '' : `?limit=2&after=${page.nextAfter}`;
    }
    expect(pages).toEqual([['line-1', 'line-2'], ['line-3', 'line-4'], ['line-5']]);
  });

  it('has entries of the same moment in the order in which they came', async () => {
    const timestamp = '2026-02-01T12:00:00.000Z';
    await logBatch([3, 1, 2].map((number) => entry('moment', number, { timestamp })));
    expect(idsOf(await read('/api/timeline/moment'))).toEqual(['moment-3', 'moment-1', 'moment-2']);
  });

  it('is empty for an entity of which nothing is known, and refuses a cursor that is none', async () => {
    expect(await read('/api/timeline/nobody')).toEqual({ entries: [], nextAfter: null });
    expect((await call('chronicle', '/api/timeline/nobody?after=1')).status).toBe(400);
  });
});

describe('relationships', () => {
  const relate = (json: object) => call('chronicle', '/api/relationships', { json });

  it('stand in the history of both ends, once, beside the entries', async () => {
    await logBatch([entry('from', 1)]);
    const { status, body } = await relate({ from: 'from', to: 'context/to', type: 'uses', data: { why: 'test' } });
    expect(status).toBe(201);
    const again = await relate({ from: 'from', to: 'context/to', type: 'uses' });
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(again.body).toEqual(body);
    await logBatch([entry('from', 2)]);
    expect((await history('from')).entries.map(({ kind }) => kind)).toEqual(['entry', 'relationship', 'entry']);
    expect((await history('context/to')).entries).toEqual([body]);
    expect(idsOf(await read('/api/timeline/from'))).toEqual(['from-1', 'from-2']);
  });

  it('that end and begin again are others, as are those of two connections; each once', async () => {
    const at = (second: number) => `2026-02-01T12:00:0${second}.000Z`;
    const said = [
      { type: 'uses', timestamp: at(1), data: { connection: 'con_1' } },
      { type: 'no_longer_uses', timestamp: at(2), data: { connection: 'con_1' } },
      { type: 'uses', timestamp: at(3), data: { connection: 'con_1' } },
      { type: 'uses', timestamp: at(3), data: { connection: 'con_2' } },
    ].map((each) => ({ from: 'one end', to: 'other end', ...each }));
    for (const replayed of [null, 'true']) {
      for (const each of said) expect((await relate(each)).headers.get('Idempotent-Replayed')).toBe(replayed);
    }
    for (const end of ['one end', 'other end']) expect((await history(end)).entries).toMatchObject(said);
  });

  it('can be of an entity with itself', async () => {
    expect((await relate({ from: 'self', to: 'self', type: 'knows' })).status).toBe(201);
    expect((await history('self')).entries).toHaveLength(1);
  });

  it('need both ends and a type', async () => {
    expect((await relate({ from: 'a', to: 'b' })).status).toBe(400);
  });
});

describe('the history of an entity', () => {
  it('has everything once, in the order in which it came, page by page', async () => {
    await logBatch([5, 3, 4].map((number) => entry('past', number)));
    const first = await history('past', '?limit=2');
    expect([idsOf(first), first.nextAfter]).toEqual([['past-5', 'past-3'], 2]);
    const rest = await history('past', '?limit=2&after=2');
    expect([idsOf(rest), rest.nextAfter]).toEqual([['past-4'], null]);
  });

  it.each([
    ['ASCII', 'x'.repeat(300_000)],
    ['another script', '字'.repeat(100_000)],
  ])('ends a page before it gets too long to read, in %s', async (script, big) => {
    const entity = `long ${script}`;
    for (let number = 1; number <= 3; number++) await logBatch([entry(entity, number, { data: { big } })]);
    const page = await history(entity);
    expect([page.entries.length, page.nextAfter]).toEqual([2, 2]);
  });
});

describe('the list of entities', () => {
  // Names whose order by code points is not the one by code units, which pages must not stumble over.
  const NAMES = ['list ', 'list 😀', 'list b', 'list a', 'list ﬀ', 'list'];

  it('has each once with how much is known of it, whatever the page size', async () => {
    for (const name of NAMES) await logBatch([entry(name, 1), entry(name, 2)]);
    await logBatch([entry('list a', 1), entry('list a', 3)]);
    await call('chronicle', '/api/relationships', { json: { from: 'list a', to: 'list b', type: 'uses' } });
    const all = await listAll('chronicle', '/api/entities', 'entities', 1_000);
    for (const limit of [1, 2, 5]) expect(await listAll('chronicle', '/api/entities', 'entities', limit)).toEqual(all);
    expect(all.filter(({ entityId }) => String(entityId).startsWith('list'))).toEqual([
      { entityId: 'list', entries: 2, relationships: 0 },
      { entityId: 'list ', entries: 2, relationships: 0 },
      { entityId: 'list a', entries: 3, relationships: 1 },
      { entityId: 'list b', entries: 2, relationships: 1 },
      { entityId: 'list ﬀ', entries: 2, relationships: 0 },
      { entityId: 'list 😀', entries: 2, relationships: 0 },
    ]);
  });

  it.each(['limit=0', 'limit=1001', 'order=asc', `after=${'x'.repeat(501)}`])('refuses ?%s', async (query) => {
    expect((await call('chronicle', `/api/entities?${query}`)).status).toBe(400);
  });
});
