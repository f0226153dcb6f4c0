import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DeliveryReport } from '../../actors/outbox.ts';
import type { Env } from '../../src/env.ts';
import { consume, events, FakeContexts, logOf, surrounded } from '../support/delivery.ts';
import { printedSeed } from '../support/seed.ts';
import { fates, finish, UnreliableChittyOs } from '../support/unreliable.ts';

/** Longer than a circuit breaker stays open: each run begins with services that nothing is known against. */
const BREAKER_MS = 60_000;
const STREAMS = ['a', 'b', 'c'] as const;
/** Events of each stream. */
const EVENTS = 8;
const DESTINATIONS = ['chronicle', 'dna'] as const;

type Stream = (typeof STREAMS)[number];
type Destination = (typeof DESTINATIONS)[number];

/**
 * A message as an outbox may have sent it, now or long ago: it begins `back` events before what its destinations have
 * confirmed ends, and may say that there is more.
 */
const message = fc.record({
  stream: fc.constantFrom(...STREAMS),
  back: fc.nat({ max: 3 }),
  length: fc.integer({ min: 1, max: 4 }),
  destinations: fc.constantFrom<readonly Destination[]>(DESTINATIONS, ['chronicle'], ['dna']),
  saysMore: fc.boolean(),
});

type Message = typeof message extends fc.Arbitrary<infer Value> ? Value : never;

/** What the queue hands over at once, and what becomes of the requests that follow from it. */
const batch = fc.record({
  messages: fc.array(message, { minLength: 1, maxLength: 6, size: 'max' }),
  fates,
  areObjectsDown: fc.boolean(),
  // Pages of the backlog that are read before all of it is lost.
  pages: fc.nat({ max: 6 }),
});

const versions = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** The events of each stream, the outbox cursors that the reports move, and the services. */
class World {
  readonly services = new UnreliableChittyOs();
  readonly contexts = new FakeContexts();
  readonly confirmed = new Map<string, number>();
  readonly #bindings: Env;

  constructor() {
    for (const stream of STREAMS) this.contexts.log.set(stream, logOf(stream, LIFE));
    this.#bindings = surrounded({ CHITTYOS: this.services, CHITTYOS_TOKEN: 'token', CONTEXTS: this.contexts });
  }

  cursor(stream: Stream, destination: Destination): number {
    return this.confirmed.get(`${stream} ${destination}`) ?? 0;
  }

  /** The sequences that a destination has of a stream, in the order in which they came. */
  has(stream: Stream, destination: Destination): number[] {
    const { services } = this.services;
    if (destination === 'dna') return services.sequences(`dna_${stream}`);
    return services.entries.filter(({ entityId }) => entityId === stream).map(({ data }) => Number(data.sequence));
  }

  /** Hands messages to the consumer and takes its reports, as an outbox does. @returns the ids of those it kept */
  async consume(messages: readonly Message[]): Promise<readonly string[]> {
    const bodies = messages.map(({ stream, back, length, destinations, saysMore }) => {
      const reached = Math.min(...destinations.map((name) => this.cursor(stream, name)));
      const first = Math.max(1, Math.min(EVENTS, reached + 1) - back);
      const types = LIFE.slice(first - 1, first - 1 + length);
      return events(stream, first, types).map((event, index) => ({
        ...event,
        ...(index === types.length - 1 && saysMore && event.sequence !== String(EVENTS) && { hasmore: true }),
        ...(index === 0 && destinations.length === 1 && { deliverto: destinations.join(' ') }),
        ...(event.sequence === String(EVENTS) && { isdeleted: true }),
      }));
    });
    const ids = bodies.map((_, index) => `m${index}`);
    const before = this.contexts.reports.length;
    const settled = await finish(
      consume(this.#bindings, Object.fromEntries(bodies.map((body, index) => [ids[index], body]))),
    );
    expect([...settled.acked, ...settled.retried].toSorted()).toEqual(ids);
    for (const { subject, reports } of this.contexts.reports.slice(before)) {
      for (const stream of STREAMS) if (stream === subject) this.#take(stream, reports);
    }
    return settled.retried;
  }

  #take(stream: Stream, reports: Readonly<Record<string, DeliveryReport>>): void {
    for (const destination of DESTINATIONS) {
      const report = reports[destination];
      if (report === undefined || report.failed !== undefined) continue;
      // What is said to have arrived is there.
      const there = this.has(stream, destination);
      for (let version = report.first; version <= report.last; version++) expect(there).toContain(version);
      if (report.first > this.cursor(stream, destination) + 1) continue;
      this.confirmed.set(`${stream} ${destination}`, Math.max(report.last, this.cursor(stream, destination)));
    }
  }

  /** Every destination has the beginning of every stream, each event once and in order. */
  expectInOrder(): void {
    for (const stream of STREAMS) {
      for (const destination of DESTINATIONS) {
        const there = this.has(stream, destination);
        expect([stream, destination, there]).toEqual([stream, destination, versions(there.length)]);
        expect(there.length).toBeGreaterThanOrEqual(this.cursor(stream, destination));
      }
    }
  }
}

/** What happens to each of the streams. */
const LIFE = [
  'context_created',
  'context_identified',
  'context_updated',
  'context_deleted',
  'context_restored',
  'context_updated',
  'context_updated',
  'context_deleted',
];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('the consumer', () => {
  it('brings each event once and in order, and says only what is so, whatever comes again and whichever requests fail', {
    timeout: 300_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { maxLength: 12, size: 'max' }), async (batches) => {
        vi.setSystemTime(Date.now() + BREAKER_MS);
        const world = new World();
        for (const { messages, fates: ofBatch, areObjectsDown, pages } of batches) {
          world.services.fates = [...ofBatch];
          world.contexts.isDown = areObjectsDown;
          world.contexts.pagesLeft = pages;
          const kept = await world.consume(messages);
          // Only what a service refuses comes to stay in the queue.
          if (!ofBatch.includes('refused')) expect(kept).toEqual([]);
          world.expectInOrder();
        }

        world.contexts.isDown = false;
        world.contexts.pagesLeft = Number.POSITIVE_INFINITY;
        world.services.fates = [];
        for (let round = 0; round < 2 * EVENTS; round++) {
          vi.setSystemTime(Date.now() + BREAKER_MS);
          const rest = { back: 0, length: 4, destinations: DESTINATIONS, saysMore: false };
          await world.consume(STREAMS.map((stream) => ({ stream, ...rest })));
        }
        world.expectInOrder();
        for (const stream of STREAMS) {
          for (const name of DESTINATIONS)
            expect([stream, name, world.cursor(stream, name)]).toEqual([stream, name, EVENTS]);
          expect(world.services.services.archived).toContain(`dna_${stream}`);
        }
      }),
      { seed: printedSeed('consumer model'), numRuns: 60 },
    );
  });
});
