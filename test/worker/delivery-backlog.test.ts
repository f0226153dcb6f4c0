import { createMessageBatch, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { consumeContextOps } from '../../src/delivery/consumer.ts';
import type { Env } from '../../src/env.ts';
import { consume, down, events, FakeChittyOs, FakeContexts, logOf, refuse, surrounded } from '../support/delivery.ts';
import { OutboxWorld } from '../support/outbox-world.ts';

/** Longer than a circuit breaker stays open, and longer than a stream is caught up. */
const APART_MS = 120_000;
/** Streams that one isolate catches up at the same time. */
const STREAMS_MAX = 6;

let services: FakeChittyOs;
let contexts: FakeContexts;
let bindings: Env;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + APART_MS });
  services = new FakeChittyOs();
  contexts = new FakeContexts();
  bindings = surrounded({ CHITTYOS: services, CHITTYOS_TOKEN: 'token', CONTEXTS: contexts });
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const versions = (last: number) => Array.from({ length: last }, (_, index) => index + 1);
const updates = (count: number) => Array.from({ length: count }, () => 'context_updated');

/** A message with the first two events of a stream which has `count`. */
function partOf(subject: string, count: number, more: object = {}) {
  contexts.log.set(subject, logOf(subject, updates(count)));
  return events(subject, 1, updates(2), more).map((event, index) =>
    index === 1 ? { ...event, hasmore: true } : event,
  );
}

const reportsOf = (subject: string, destination: 'chronicle' | 'dna') =>
  contexts.reports.flatMap((report) => (report.subject === subject ? (report.reports[destination] ?? []) : []));
const written = (subject: string) => services.entries.flatMap(({ id, entityId }) => (entityId === subject ? [id] : []));

describe('a stream that has more than its message', () => {
  it('is brought to its end, each event once and in order, and the last report says so', async () => {
    expect(await consume(bindings, { m1: partOf('a', 9) })).toEqual({ acked: ['m1'], retried: [] });
    expect(written('a')).toEqual(versions(9).map((version) => `a-${version}`));
    expect(services.sequences('dna_a')).toEqual(versions(9));
    expect(services.entries[8]?.data).not.toHaveProperty('dnaid');
    for (const destination of ['chronicle', 'dna'] as const) {
      expect(reportsOf('a', destination).at(-1)).toEqual({ first: 1, last: 9 });
    }
  });

  it('that ends deleted has its record archived, and one that was restored in between has not', async () => {
    const life = ['context_created', 'context_updated', 'context_deleted'];
    for (const [subject, types] of Object.entries({ a: life, b: [...life, 'context_restored'] })) {
      const message = partOf(subject, 2);
      contexts.log.set(subject, logOf(subject, types));
      await consume(bindings, { m1: message });
      expect(services.sequences(`dna_${subject}`)).toEqual(versions(types.length));
    }
    expect([...services.archived]).toEqual(['dna_a']);
  });

  it('has nothing of it brought to a destination that its message is not for', async () => {
    await consume(bindings, { m1: partOf('a', 9, { deliverto: 'chronicle' }) });
    expect(written('a')).toHaveLength(9);
    expect(services.sequences('dna_a')).toEqual([]);
    expect(reportsOf('a', 'dna')).toEqual([]);
  });

  it('says of each part but the last that the next one follows', async () => {
    // Slower than reports, which else would be put together.
    services.interfere = (service) =>
      service === 'dna' ? null : (scheduler.wait(80).then(() => Response.json(receiptOf(2))) as Promise<Response>);
    await consume(bindings, { m1: partOf('a', 6) });
    expect(reportsOf('a', 'chronicle')).toEqual([
      { first: 1, last: 2, goesOn: true },
      { first: 1, last: 4, goesOn: true },
      { first: 1, last: 6 },
    ]);
  });

  it('says in every report which resend its message came of', async () => {
    const [first, last] = partOf('a', 9);
    services.interfere = (service, _path, body) => (service === 'dna' && body.includes('a-7') ? down() : null);
    await consume(bindings, { m1: [{ ...first, generation: 2 }, last] });
    const reports = [...reportsOf('a', 'chronicle'), ...reportsOf('a', 'dna')];
    expect(reports.map(({ generation }) => generation)).toEqual(reports.map(() => 2));
    expect(reportsOf('a', 'chronicle').at(-1)).toEqual({ first: 1, last: 9, generation: 2 });
    expect(reportsOf('a', 'dna').at(-1)).toMatchObject({ failed: expect.stringContaining('503') });
    expect(services.entries.some(({ data }) => 'generation' in data)).toBe(false);
  });

  it('holds the queue up for no longer than its message does', async () => {
    const hang = Promise.withResolvers<Response>();
    let calls = 0;
    services.interfere = (service) => (service === 'chronicle' && ++calls > 1 ? hang.promise : null);
    const message = { id: 'm1', body: partOf('a', 9), timestamp: new Date(), attempts: 1 };
    const background: Promise<unknown>[] = [];
    const execution = { waitUntil: (work: Promise<unknown>) => void background.push(work) };
    await consumeContextOps(createMessageBatch('chittyconnect-context-ops', [message]), bindings, execution);
    expect(written('a')).toHaveLength(2);
    hang.reject(new Error('the connection was lost'));
    await Promise.all(background);
    expect(reportsOf('a', 'dna').at(-1)).toEqual({ first: 1, last: 9 });
  });
});

/** What a service says that has taken so many events. */
const receiptOf = (accepted: number) => ({ accepted, duplicates: 0 });

describe('a part of a backlog', () => {
  it.each([
    ['fails', down, '503'],
    ['is refused', refuse, '422'],
  ])('that %s ends it there, and is no poison: it comes again as a message', async (_name, answer, status) => {
    services.interfere = (service, _path, body) => (service === 'dna' && body.includes('a-5') ? answer() : null);
    expect(await consume(bindings, { m1: partOf('a', 9) })).toEqual({ acked: ['m1'], retried: [] });
    expect(services.sequences('dna_a')).toEqual(versions(4));
    expect(reportsOf('a', 'dna').slice(-2)).toEqual([
      { first: 1, last: 4, goesOn: true },
      { first: 5, last: 6, failed: expect.stringContaining(status), isRefused: false },
    ]);
    expect(reportsOf('a', 'chronicle').at(-1)).toEqual({ first: 1, last: 9 });
  });

  it('that cannot be read ends it for now, and the next message begins where it ended', async () => {
    contexts.pagesLeft = 2;
    await consume(bindings, { m1: partOf('a', 9) });
    expect(services.sequences('dna_a')).toEqual(versions(6));
    expect(reportsOf('a', 'dna').at(-1)).toEqual({ first: 1, last: 6, goesOn: true });
    contexts.pagesLeft = Number.POSITIVE_INFINITY;
    await consume(bindings, {
      m2: events('a', 7, ['context_updated']).map((event) => ({ ...event, hasmore: true })),
    });
    expect(services.sequences('dna_a')).toEqual(versions(9));
    expect(written('a')).toEqual(versions(9).map((version) => `a-${version}`));
  });

  it('whose report was lost is told with the next one', async () => {
    let isFirst = true;
    const get = contexts.get.bind(contexts);
    vi.spyOn(contexts, 'get').mockImplementation((subject) => ({
      ...get(subject),
      reportDelivery: async (reports) => {
        if (isFirst) contexts.isDown = true;
        isFirst = false;
        await get(subject)
          .reportDelivery(reports)
          .finally(() => {
            contexts.isDown = false;
          });
      },
    }));
    services.interfere = () => scheduler.wait(80).then(() => Response.json(receiptOf(2))) as Promise<Response>;
    await consume(bindings, { m1: partOf('a', 6) });
    expect(isFirst).toBe(false);
    expect(reportsOf('a', 'dna')[0]).toMatchObject({ first: 1, last: 4 });
    expect(reportsOf('a', 'dna').at(-1)).toEqual({ first: 1, last: 6 });
  });
});

describe('catching up', () => {
  it('ends when its time is up, and says that nothing follows', async () => {
    services.interfere = (service) => {
      if (service === 'dna') vi.setSystemTime(Date.now() + 10_000);
      return null;
    };
    await consume(bindings, { m1: partOf('a', 20) });
    const [last] = reportsOf('a', 'dna').slice(-1);
    expect(last?.last).toBeLessThan(10);
    expect(last).not.toHaveProperty('goesOn');
    expect(services.sequences('dna_a')).toEqual(versions(last?.last ?? 0));
  });

  it('leaves most of the time to whoever changes the stream all the while, and none when they have ended', async () => {
    const pauses = vi.spyOn(scheduler, 'wait').mockImplementation(async (ms) => {
      // Reports wait as well, for company.
      if (ms !== 50) vi.setSystemTime(Date.now() + (ms ?? 0));
    });
    let parts = 0;
    services.interfere = (service, path) => {
      if (service !== 'chronicle' || !path.includes('batch')) return null;
      vi.setSystemTime(Date.now() + 30);
      parts += 1;
      if (parts < 6) contexts.log.set('a', logOf('a', updates(20 + 100 * parts)));
      return null;
    };
    await consume(bindings, { m1: partOf('a', 20, { deliverto: 'chronicle' }) });
    expect(written('a')).toHaveLength(520);
    const given = pauses.mock.calls.map(([ms]) => ms).filter((ms) => ms !== 50);
    const long = given.filter((ms) => ms === 24 * 30);
    expect(long.length).toBeGreaterThan(1);
    expect(long.length).toBeLessThan(12);
    // Long enough to see whether it is in use, before that is known; then a moment, in which requests are read.
    expect(given[0]).toBe(100);
    expect(new Set(given)).toEqual(new Set([100, 24 * 30, 1]));
    expect(given.at(-1)).toBe(1);
  });

  it('is done for few streams at once: the others are told to send the next message', async () => {
    const subjects = Array.from({ length: STREAMS_MAX + 2 }, (_, index) => `s${index}`);
    await consume(bindings, Object.fromEntries(subjects.map((subject) => [subject, partOf(subject, 9)])));
    const reached = subjects.map((subject) => services.sequences(`dna_${subject}`).length);
    expect(reached.toSorted()).toEqual([2, 2, ...Array(STREAMS_MAX).fill(9)]);
    for (const [index, subject] of subjects.entries()) {
      expect(reportsOf(subject, 'dna').at(-1)).toEqual({ first: 1, last: reached[index] });
    }
    // Those that have ended make room.
    await consume(bindings, { again: partOf(subjects.at(-1) ?? '', 9) });
    expect(services.sequences(`dna_${subjects.at(-1)}`)).toEqual(versions(9));
  });

  it('two consumers at the same time harm nothing', async () => {
    const message = partOf('a', 9);
    await Promise.all([consume(bindings, { m1: message }), consume(bindings, { m1: message })]);
    expect(written('a')).toEqual(versions(9).map((version) => `a-${version}`));
    expect(services.sequences('dna_a')).toEqual(versions(9));
  });
});

describe('the outbox', () => {
  /** Runs `test` with an outbox that has just sent the first part of what it has. */
  function withSent(name: string, test: (world: OutboxWorld) => Promise<void>): Promise<void> {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
    vi.spyOn(Math, 'random').mockReturnValue(1);
    return runInDurableObject(env.COUNTERS.get(env.COUNTERS.idFromName(name)), async (_object, { storage }) => {
      const world = new OutboxWorld(storage.sql);
      await world.append(9);
      expect(world.messages.splice(0)).toEqual([{ destinations: ['fast', 'slow'], versions: [1, 2, 3] }]);
      await test(world);
    });
  }

  it('sends nothing of what somebody is delivering already', () =>
    withSent('backlog under way', async (world) => {
      const report = { first: 1, last: 3, goesOn: true };
      world.outbox.report({ fast: report, slow: report });
      for (const last of [6, 8]) {
        await world.tick(20_000);
        world.outbox.report({ fast: { ...report, last }, slow: { ...report, last } });
      }
      await world.tick(20_000);
      expect(world.messages).toEqual([]);
      world.outbox.report({ fast: { first: 1, last: 9 }, slow: { first: 1, last: 9 } });
      await world.tick(60_000);
      expect(world.messages).toEqual([]);
      expect(world.outbox.cursors.get('slow')).toMatchObject({ confirmed: 9, attempts: 0, retryAt: 0 });
    }));

  it('sends again what somebody asks for, whatever a backlog tells that began before', () =>
    withSent('backlog before a resend', async (world) => {
      const report = { first: 1, last: 3, goesOn: true };
      world.outbox.report({ fast: report, slow: report });
      expect(world.outbox.resend('slow', 1)).toBe(true);
      world.outbox.report({ fast: { ...report, last: 8 }, slow: { ...report, last: 8 } });
      expect(world.outbox.cursors.get('fast')).toMatchObject({ confirmed: 8 });
      expect(world.outbox.cursors.get('slow')).toMatchObject({ confirmed: 0 });
      await world.tick(60_000);
      expect(world.messages[0]).toEqual({ destinations: ['slow'], versions: [1, 2, 3], generation: 1 });
      // What was begun since is taken, also by an object that was lost meanwhile.
      world.evict();
      world.outbox.report({ slow: { first: 1, last: 9 } });
      expect(world.outbox.cursors.get('slow')).toMatchObject({ confirmed: 0 });
      world.outbox.report({ slow: { first: 1, last: 9, generation: 1 } });
      expect(world.outbox.cursors.get('slow')).toMatchObject({ confirmed: 9 });
    }));

  it('sends again what is asked for while the first message of all is on its way', () =>
    withSent('resend of what is under way', async (world) => {
      world.outbox.resend('slow', 1);
      world.outbox.report({ fast: { first: 1, last: 9 }, slow: { first: 1, last: 9 } });
      expect(world.outbox.cursors.get('slow')).toMatchObject({ confirmed: 0 });
      await world.tick(60_000);
      expect(world.messages[0]).toMatchObject({ destinations: ['slow'], generation: 1 });
    }));

  it('sends the rest when nothing more is heard of it', () =>
    withSent('backlog lost', async (world) => {
      const report = { first: 1, last: 6, goesOn: true };
      world.outbox.report({ fast: report, slow: report });
      await world.tick(29_000);
      expect(world.messages).toEqual([]);
      await world.tick(60_000);
      expect(world.messages[0]).toEqual({ destinations: ['fast', 'slow'], versions: [7, 8, 9] });
    }));

  it('sends at once what nobody goes on with', () =>
    withSent('backlog ended', async (world) => {
      const report = { first: 1, last: 6 };
      world.outbox.report({ fast: report, slow: { ...report, goesOn: true } });
      await world.tick(1_500);
      expect(world.messages).toEqual([{ destinations: ['fast'], versions: [7, 8, 9] }]);
    }));
});
