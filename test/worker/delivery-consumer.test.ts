import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Env } from '../../src/env.ts';
import { consume, down, events, FakeChittyOs, FakeContexts, refuse, surrounded } from '../support/delivery.ts';
import { finish } from '../support/unreliable.ts';

/** Longer than a circuit breaker stays open: what one test breaks does not break the next. */
const BREAKER_MS = 60_000;

let services: FakeChittyOs;
let contexts: FakeContexts;
let bindings: Env;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + BREAKER_MS });
  services = new FakeChittyOs();
  contexts = new FakeContexts();
  bindings = surrounded({ CHITTYOS: services, CHITTYOS_TOKEN: 'token', CONTEXTS: contexts });
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** What was reported about the given stream. */
const reportsOf = (subject: string) =>
  contexts.reports.filter((report) => report.subject === subject).map(({ reports }) => reports);

const created = ['context_created', 'context_updated', 'context_updated'];

describe('a message', () => {
  it('is delivered to Chronicle and DNA in order, let go, and reported to its object', async () => {
    expect(await consume(bindings, { m1: events('a', 1, created) })).toEqual({ acked: ['m1'], retried: [] });
    expect(services.entries.map(({ id, entityId, eventType }) => [id, entityId, eventType])).toEqual([
      ['a-1', 'a', 'context_created'],
      ['a-2', 'a', 'context_updated'],
      ['a-3', 'a', 'context_updated'],
    ]);
    expect(services.sequences('dna_a')).toEqual([1, 2, 3]);
    expect(reportsOf('a')).toEqual([{ chronicle: { first: 1, last: 3 }, dna: { first: 1, last: 3 } }]);
  });

  it('that comes again adds nothing, also when the context has been identified meanwhile', async () => {
    const { dnaid: _none, ...before } = events('a', 1, ['context_created'])[0] ?? {};
    await consume(bindings, { m1: [before] });
    expect(reportsOf('a')).toEqual([{ chronicle: { first: 1, last: 1 } }]);
    const after = events('a', 1, created, { chittyid: '03-1-USA-5537-P-2602-0-38' });
    await consume(bindings, { m2: after });
    await consume(bindings, { m3: after });
    expect(services.entries.map(({ id }) => id)).toEqual(['a-1', 'a-2', 'a-3']);
    expect(services.sequences('dna_a')).toEqual([1, 2, 3]);
    expect(reportsOf('a').slice(1)).toEqual(
      Array(2).fill({ chronicle: { first: 1, last: 3 }, dna: { first: 1, last: 3 } }),
    );
  });

  it('for one destination goes to no other', async () => {
    await consume(bindings, { m1: events('a', 1, created) });
    await consume(bindings, {
      m2: events('a', 4, ['context_updated'], { deliverto: 'chronicle' }),
      m3: events('b', 1, ['context_created'], { deliverto: 'dna' }),
    });
    expect(services.entries.map(({ id }) => id)).toEqual(['a-1', 'a-2', 'a-3', 'a-4']);
    expect(services.sequences('dna_a')).toEqual([1, 2, 3]);
    expect(services.sequences('dna_b')).toEqual([1]);
    expect(reportsOf('a')[1]).toEqual({ chronicle: { first: 4, last: 4 } });
    expect(reportsOf('b')).toEqual([{ dna: { first: 1, last: 1 } }]);
  });

  it('is let go when its object cannot be told: it sends again what it has no report of', async () => {
    contexts.isDown = true;
    expect(await consume(bindings, { m1: events('a', 1, created) })).toEqual({ acked: ['m1'], retried: [] });
  });

  it('whose event was too long to carry its data is filled from the log', async () => {
    contexts.log.set('a', [JSON.stringify({ data: { name: 'a long one' } })]);
    const [{ data: _data, ...rest } = { data: {} }] = events('a', 1, ['context_created']);
    await consume(bindings, { m1: [{ ...rest, dataref: '/v1/contexts/a/events' }] });
    expect(services.entries[0]?.data).toMatchObject({ sequence: '1', data: { name: 'a long one' } });
    expect(services.entries[0]?.data).not.toHaveProperty('dataref');
    expect(services.lineage.get('dna_a')?.[0]).toMatchObject({ data: { name: 'a long one' } });
  });
});

describe('the trace', () => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const traceIds = () =>
    services.traces.map((traceparent) => /^00-([0-9a-f]{32})-[0-9a-f]{16}-01$/.exec(traceparent ?? '')?.[1]);
  const identified = { from: 'a', to: 'b', type: 'uses', direction: 'both' };

  it('of the request that events came of is passed on with each call', async () => {
    const more = { correlationid: trace, isdeleted: true, data: identified };
    await consume(bindings, { m1: events('a', 1, ['connection_established'], more) });
    expect(services.requests.toSorted()).toEqual([
      'chronicle /api/entries/batch',
      'chronicle /api/relationships',
      'dna /api/dna/dna_a/archive',
      'dna /api/dna/dna_a/evolve',
    ]);
    expect(traceIds()).toEqual(Array(4).fill(trace));
    // Each call is a span of its own.
    expect(new Set(services.traces).size).toBe(4);
  });

  it('is made of what groups them where the caller sent none: always the same', async () => {
    await consume(bindings, { m1: events('a', 1, created, { correlationid: 'mine' }) });
    await consume(bindings, { m2: events('b', 1, created, { correlationid: 'mine' }) });
    await consume(bindings, { m3: events('c', 1, created, { correlationid: '0'.repeat(32) }) });
    // printf mine | sha256sum
    const made = '3fd30542fe3f61b14bd4a4b2dc0b6fb3';
    expect(traceIds().slice(0, 4)).toEqual(Array(4).fill(made));
    expect(traceIds().slice(4)).toEqual(Array(2).fill(expect.not.stringMatching(/^0+$/)));
  });

  it('of a call about the events of several requests is that of the first; each event has its own', async () => {
    const [first, second] = [trace, trace.replace('4', '5')];
    await consume(bindings, {
      m1: events('a', 1, ['context_created'], { correlationid: first }),
      m2: events('b', 1, ['context_created'], { correlationid: second }),
    });
    const traces = Object.groupBy(traceIds(), (_, index) => services.requests[index] ?? '');
    expect(traces).toEqual({
      'chronicle /api/entries/batch': [first],
      'dna /api/dna/dna_a/evolve': [first],
      'dna /api/dna/dna_b/evolve': [second],
    });
    expect(services.entries.map(({ data }) => data.correlationid)).toEqual([first, second]);
  });
});

describe('several messages', () => {
  it('of many streams are written to Chronicle in one request', async () => {
    const messages = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, events(name, 1, created)]));
    await consume(bindings, messages);
    expect(services.requests.filter((request) => request.startsWith('chronicle'))).toEqual([
      'chronicle /api/entries/batch',
    ]);
    expect(services.entries).toHaveLength(9);
  });

  it('of one stream are delivered one after the other', async () => {
    const messages = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`m${index}`, events('a', index + 1, ['context_updated'])]),
    );
    const { retried } = await consume(bindings, messages);
    expect(retried).toEqual([]);
    expect(services.sequences('dna_a')).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(services.entries.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, index) => `a-${index + 1}`));
  });

  it('of one stream: none goes past one that failed', async () => {
    services.interfere = (service, _path, body) => (service === 'dna' && body.includes('a-1') ? refuse() : null);
    const { acked, retried } = await consume(bindings, {
      m1: events('a', 1, ['context_created']),
      m2: events('a', 2, ['context_updated']),
    });
    expect({ acked, retried }).toEqual({ acked: ['m2'], retried: ['m1'] });
    expect(services.sequences('dna_a')).toEqual([]);
    expect(reportsOf('a')).toEqual([
      { chronicle: { first: 1, last: 2 }, dna: expect.objectContaining({ first: 1, last: 1, isRefused: true }) },
    ]);
  });
});

describe('a service', () => {
  it('that is down is no matter for the queue: the object is told why and sends again', async () => {
    services.interfere = (service) => (service === 'dna' ? down() : null);
    expect(await consume(bindings, { m1: events('a', 1, created) })).toEqual({ acked: ['m1'], retried: [] });
    expect(Object.assign({}, ...reportsOf('a'))).toEqual({
      chronicle: { first: 1, last: 3 },
      dna: { first: 1, last: 3, failed: expect.stringContaining('503'), isRefused: false },
    });
    services.interfere = () => null;
  });

  it('that does not accept the token does not make poison of a message', async () => {
    for (const status of [401, 403, 429]) {
      services.interfere = (service) => (service === 'chronicle' ? new Response(null, { status }) : null);
      expect(await consume(bindings, { m1: events('a', 1, created) })).toEqual({ acked: ['m1'], retried: [] });
      expect(reportsOf('a').at(-1)?.chronicle).toMatchObject({ isRefused: false });
    }
  });

  it.each([302, 304, 308])('that answers %i is somewhere else, and refuses nothing', async (status) => {
    const headers = { Location: 'https://elsewhere.example/' };
    services.interfere = (service) => (service === 'chronicle' ? new Response(null, { status, headers }) : null);
    for (const more of [{}, { droppedby: 'act_admin' }]) {
      const settled = await consume(bindings, { m1: events('a', 1, created, more) });
      // Nobody else would send again what was dropped.
      expect(settled.acked).toEqual('droppedby' in more ? [] : ['m1']);
      expect(reportsOf('a').at(-1)?.chronicle).toMatchObject({
        failed: expect.stringContaining(String(status)),
        isRefused: false,
      });
    }
    services.interfere = () => null;
    vi.setSystemTime(Date.now() + BREAKER_MS);
    expect(await consume(bindings, { m1: events('a', 1, created) })).toEqual({ acked: ['m1'], retried: [] });
    expect(services.entries.map(({ eventType }) => eventType)).toEqual(created);
  });

  it.each([
    ['chronicle', 'dna'],
    ['dna', 'chronicle'],
  ] as const)('%s that hangs holds up no report of %s, and the queue not for long', async (hanging, other) => {
    const hang = Promise.withResolvers<Response>();
    services.interfere = (service) => (service === hanging ? hang.promise : null);
    const subjects = Array.from({ length: 20 }, (_, index) => `hung-${index}`);
    const consumed = consume(
      bindings,
      Object.fromEntries(subjects.map((subject) => [subject, events(subject, 1, created)])),
    );
    const arrived = { [other]: { first: 1, last: 3 } };
    await vi.waitFor(() => {
      for (const subject of subjects) expect([subject, reportsOf(subject)]).toEqual([subject, [arrived]]);
    });
    hang.reject(new Error('the connection was lost'));
    await consumed;
    for (const subject of subjects) {
      expect(reportsOf(subject)[1]).toEqual({ [hanging]: expect.objectContaining({ failed: expect.any(String) }) });
    }
  });

  it('that hangs is given up before the object sends again', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'], now: Date.now() });
    // Reports wait by this one.
    vi.spyOn(scheduler, 'wait').mockImplementation((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
    services.interfere = (service) => (service === 'dna' ? new Promise<Response>(() => {}) : null);
    const startedAt = Date.now();
    await finish(consume(bindings, { m1: events('a', 1, created) }));
    expect(Date.now() - startedAt).toBeLessThan(8_000);
    expect(reportsOf('a')).toEqual([
      { chronicle: { first: 1, last: 3 } },
      { dna: expect.objectContaining({ failed: expect.stringContaining('no complete answer'), isRefused: false }) },
    ]);
  });

  it('that has lost events is no place for poison: the object is told what it lacks, and the message is let go', async () => {
    expect(await consume(bindings, { m1: events('a', 4, ['context_updated', 'context_updated']) })).toEqual({
      acked: ['m1'],
      retried: [],
    });
    expect(reportsOf('a')).toEqual([
      {
        chronicle: { first: 4, last: 5 },
        dna: { first: 4, last: 5, failed: expect.any(String), isRefused: false, missingFrom: 1 },
      },
    ]);
  });

  it('that has lost a whole record has it begun anew, and the object is told that all of it is missing', async () => {
    await consume(bindings, { m1: events('a', 1, created) });
    services.lose('dna_a');
    const more = events('a', 4, ['context_updated']);
    expect(await consume(bindings, { m2: more })).toEqual({ acked: ['m2'], retried: [] });
    expect(reportsOf('a').at(-1)?.dna).toMatchObject({ first: 4, last: 4, isRefused: false, missingFrom: 1 });
    expect(services.begun).toEqual([
      {
        chittyid: 'chitty_a',
        type: 'context',
        metadata: { contextId: 'a' },
        genesis: { service: 'chittyconnect', timestamp: '2026-02-01T12:00:00.000Z', genesisSchemaVersion: '1.0.0' },
      },
    ]);
    await consume(bindings, { m3: [...events('a', 1, created), ...more] });
    expect(services.sequences('dna_a')).toEqual([1, 2, 3, 4]);
  });

  it('that has lost a record of which only the first events were sent gets them once more', async () => {
    services.lose('dna_a');
    expect(await consume(bindings, { m1: events('a', 1, created) })).toEqual({ acked: ['m1'], retried: [] });
    expect(reportsOf('a').at(-1)?.dna).toEqual({ first: 1, last: 3, failed: expect.any(String), isRefused: false });
    await consume(bindings, { m2: events('a', 1, created) });
    expect(services.sequences('dna_a')).toEqual([1, 2, 3]);
  });

  it.each([
    ['will not begin it anew', () => Response.json({ detail: 'No.' }, { status: 404 })],
    ['begins another one in its place', () => Response.json({ id: 'dna_other' })],
  ])('that has lost a record and %s is a matter for somebody to look at', async (_name, answer) => {
    services.lose('dna_a');
    services.interfere = (_service, path) => (path === '/api/initialize' ? answer() : null);
    expect(await consume(bindings, { m1: events('a', 1, created) })).toEqual({ acked: [], retried: ['m1'] });
    expect(reportsOf('a').at(-1)?.dna).toMatchObject({ isRefused: true });
  });

  it('that says that it has other events in the place of these refuses them', async () => {
    await consume(bindings, { m1: events('a', 1, created) });
    const [other] = events('b', 2, ['context_updated'], { dnaid: 'dna_a' });
    expect(await consume(bindings, { m2: [other] })).toEqual({ acked: [], retried: ['m2'] });
    expect(reportsOf('b')[0]?.dna).toMatchObject({ isRefused: true });
    expect(reportsOf('b')[0]?.dna).not.toHaveProperty('missingFrom');
  });

  it('that answers something else than a receipt has taken nothing', async () => {
    services.interfere = (service) => (service === 'chronicle' ? Response.json({ weather: 'sunny' }) : null);
    await consume(bindings, { m1: events('a', 1, created) });
    expect(reportsOf('a').at(-1)?.chronicle).toMatchObject({ failed: expect.any(String), isRefused: false });
  });
});

describe('poison', () => {
  it('is kept in the queue, and holds up nothing else', async () => {
    services.interfere = (service, _path, body) =>
      service === 'chronicle' && body.includes('bad-1') ? refuse() : null;
    const settled = await consume(bindings, {
      good: events('good', 1, created),
      bad: events('bad', 1, created),
      fine: events('fine', 1, created),
    });
    expect(settled).toEqual({ acked: ['fine', 'good'], retried: ['bad'] });
    expect(new Set(services.entries.map(({ entityId }) => entityId))).toEqual(new Set(['good', 'fine']));
    expect(reportsOf('bad')[0]?.chronicle).toMatchObject({ first: 1, last: 3, isRefused: true });
    expect(reportsOf('good')[0]?.chronicle).toEqual({ first: 1, last: 3 });
    expect(services.sequences('dna_bad')).toEqual([1, 2, 3]);
  });

  it.each([
    ['no array', { hello: 'world' }],
    ['an empty array', []],
    ['an event without a sequence', events('a', 1, created).map(({ sequence: _sequence, ...rest }) => rest)],
    ['a text', 'hello'],
    ['nothing', null],
  ])('that cannot be read (%s) is kept in the queue, and reported to nobody', async (_name, body) => {
    const settled = await consume(bindings, { odd: body, good: events('good', 1, created) });
    expect(settled).toEqual({ acked: ['good'], retried: ['odd'] });
    expect(contexts.reports.map(({ subject }) => subject)).toEqual(['good']);
  });
});

describe('what happened to the context', () => {
  const deleted = { isdeleted: true };

  it('a deletion archives the DNA record', async () => {
    await consume(bindings, { m1: events('a', 1, ['context_created', 'context_deleted'], deleted) });
    expect([...services.archived]).toEqual(['dna_a']);
    expect(services.lineage.get('dna_a')?.[1]).not.toHaveProperty('isdeleted');
  });

  it('what comes after a deletion and is no restoration leaves the record archived', async () => {
    await consume(bindings, { m1: events('a', 1, ['context_created', 'context_deleted'], deleted) });
    await consume(bindings, { m2: events('a', 3, ['context_certified'], deleted) });
    expect(services.sequences('dna_a')).toEqual([1, 2, 3]);
    expect([...services.archived]).toEqual(['dna_a']);
  });

  it('a deletion and a restoration in one message leave it open', async () => {
    await consume(bindings, { m1: events('a', 1, ['context_created', 'context_deleted', 'context_restored']) });
    expect([...services.archived]).toEqual([]);
  });

  it('a deletion that comes again after the restoration does not close the record', async () => {
    const deletion = events('a', 1, ['context_created', 'context_deleted'], deleted);
    await consume(bindings, { m1: deletion });
    await consume(bindings, { m2: events('a', 3, ['context_restored']) });
    await consume(bindings, { m3: deletion });
    expect([...services.archived]).toEqual([]);
  });

  it('an identification states the relationship', async () => {
    const data = { chittyId: '03-1-USA-5537-P-2602-0-38', did: 'did:chitty:03-1-USA-5537-P-2602-0-38' };
    await consume(bindings, { m1: events('a', 1, ['context_identified'], { data }) });
    expect(services.relationships).toEqual([{ from: 'a', to: data.chittyId, type: 'identified_as' }]);
  });
});

describe('a dropped message', () => {
  const dropped = () => events('a', 1, created, { droppedby: 'act_admin' });

  it('is delivered as it is when the service takes it now', async () => {
    expect(await consume(bindings, { m1: dropped() })).toEqual({ acked: ['m1'], retried: [] });
    expect(services.entries.map(({ eventType }) => eventType)).toEqual(created);
    expect(services.entries[0]?.data).not.toHaveProperty('droppedby');
  });

  it('leaves a mark in the place of each event that is refused again, and the stream goes on', async () => {
    services.interfere = (service, _path, body) =>
      service === 'dna' && body.includes('a-2') && !body.includes('event_skipped') ? refuse() : null;
    expect(await consume(bindings, { m1: dropped() })).toEqual({ acked: ['m1'], retried: [] });
    expect(services.lineage.get('dna_a')).toMatchObject([
      { sequence: '1', type: 'cc.chitty.connect.context_created' },
      {
        sequence: '2',
        id: 'a-2',
        type: 'cc.chitty.connect.event_skipped',
        leafhash: '0'.repeat(64),
        data: { type: 'context_updated', droppedBy: 'act_admin' },
      },
      { sequence: '3', type: 'cc.chitty.connect.context_updated' },
    ]);
    expect(services.entries.map(({ eventType }) => eventType)).toEqual(created);
    expect(reportsOf('a')).toEqual([{ chronicle: { first: 1, last: 3 }, dna: { first: 1, last: 3 } }]);
    await consume(bindings, { m2: events('a', 4, ['context_updated']) });
    expect(services.sequences('dna_a')).toEqual([1, 2, 3, 4]);
  });

  it.each(['chronicle', 'dna'])('can be dropped again where %s has a mark already', async (picky) => {
    services.interfere = (service, _path, body) =>
      service === picky && body.includes('a-2') && !body.includes('event_skipped') ? refuse() : null;
    await consume(bindings, { m1: dropped() });
    services.interfere = () => null;
    const again = events('a', 1, [...created, 'context_updated'], { droppedby: 'act_other' });
    expect(await consume(bindings, { m2: again })).toEqual({ acked: ['m2'], retried: [] });
    expect(services.entries.map(({ id }) => id)).toEqual(['a-1', 'a-2', 'a-3', 'a-4']);
    expect(services.sequences('dna_a')).toEqual([1, 2, 3, 4]);
    const marks = [...services.entries.map(({ data }) => data), ...(services.lineage.get('dna_a') ?? [])];
    expect(marks.filter(({ type }) => String(type).endsWith('event_skipped'))).toMatchObject([
      { id: 'a-2', data: { droppedBy: 'act_admin' } },
    ]);
    const all = { first: 1, last: 4 };
    expect(reportsOf('a').at(-1)).toEqual({ chronicle: all, dna: all });
  });

  it('stays in the queue while a message before it fails, or events before it are missing', async () => {
    services.interfere = (service, _path, body) => (service === 'dna' && body.includes('b-1') ? down() : null);
    const settled = await consume(bindings, {
      before: events('b', 1, ['context_created']),
      dropped: events('b', 2, ['context_updated'], { droppedby: 'act_admin' }),
    });
    expect(settled).toEqual({ acked: ['before'], retried: ['dropped'] });
    services.interfere = () => null;
    const early = { m1: events('c', 2, ['context_updated'], { droppedby: 'act_admin' }) };
    expect(await consume(bindings, early)).toEqual({ acked: [], retried: ['m1'] });
    expect(services.sequences('dna_c')).toEqual([]);
  });

  it('stays in the queue while the service is down: nobody else would send it again', async () => {
    services.interfere = (service) => (service === 'dna' ? down() : null);
    expect(await consume(bindings, { m1: dropped() })).toEqual({ acked: [], retried: ['m1'] });
    expect(services.sequences('dna_a')).toEqual([]);
  });
});
