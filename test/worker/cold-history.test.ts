import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { answerTo, type Cuttable, cuttable, type Question, twinOf } from '../support/cold-world.ts';
import { CounterObject } from '../support/counter.ts';
import { STORE_FATES } from '../support/memory-segments.ts';
import { printedSeed } from '../support/seed.ts';

afterEach(() => {
  CounterObject.segments.fate = 'ok';
  CounterObject.afterMs = null;
  CounterObject.stateSchema = 1;
});

/** Questions about a stream of so many events; those that can be answered, and some that cannot. */
function questions(size: number, times: readonly string[]): fc.Arbitrary<Question> {
  const version = fc.integer({ min: 1, max: size });
  const after = fc.integer({ min: 0, max: size });
  const at = fc.option(version);
  const limit = fc.constantFrom(1, 10, 300, 1_000);
  const ordered = fc.tuple(version, version).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  return fc.oneof(
    fc.record({ ask: fc.constant('page' as const), after, limit, at }),
    fc.record({ ask: fc.constant('lines' as const), after, at }),
    fc.record({ ask: fc.constant('view' as const), at: version }),
    fc.record({ ask: fc.constant('viewAt' as const), time: fc.constantFrom(...times) }),
    fc.record({ ask: fc.constant('field' as const), after, limit, at }),
    ordered.map(([from, to]): Question => ({ ask: 'inclusion', version: from, size: to })),
    ordered.map(([from, to]): Question => ({ ask: 'consistency', from, to })),
    fc.constant<Question>({ ask: 'head' }),
    fc.record({ ask: fc.constant('sink' as const), from: version }),
  );
}

let twins = 0;

/** Asks a stream and an uncut one with the same events the same, and expects the same answers. */
async function expectTwinAnswers(cut: Cuttable, count: number, seed: number): Promise<void> {
  const texts = await cut.texts();
  const twin = await twinOf(texts, `twin-${twins++}`);
  const times = texts.filter((_, index) => index % 97 === 0).map((text): string => JSON.parse(text).time);
  const asked = fc.sample(questions(texts.length, [...times, '1999-01-01T00:00:00.000Z', '2999-01-01T00:00:00.000Z']), {
    seed,
    numRuns: count,
  });
  for (const question of asked) {
    const [a, b] = [await answerTo(cut, question), await answerTo({ ...twin, stream: cut.stream }, question)];
    expect(a, JSON.stringify(question)).toEqual(b);
  }
}

describe('a history of which a part is cold', () => {
  it('reads as one of which nothing is, whatever was moved when and wherever moving it was ended', async () => {
    const seed = printedSeed('cold history');
    const step = fc.oneof(
      fc.record({ do: fc.constant('grow' as const), events: fc.constantFrom(1, 99, 255, 256, 257, 700, 1_100) }),
      fc.record({
        do: fc.constant('archive' as const),
        segments: fc.constantFrom(1, 2, 100),
        fate: fc.constantFrom(...STORE_FATES),
      }),
      fc.record({ do: fc.constant('evict' as const) }),
    );
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 9 }), async (steps) => {
        const cut = cuttable(`model-${runs++}`);
        await cut.grow(300);
        for (const each of steps) {
          if (each.do === 'grow') await cut.grow(each.events, runs);
          if (each.do === 'evict') await cut.evict();
          if (each.do !== 'archive') continue;
          CounterObject.segments.fate = each.fate;
          // What goes wrong leaves everything where it was; the object may be lost by it.
          const { failure } = await cut.archive(each.segments);
          CounterObject.segments.fate = 'ok';
          if (failure !== null) await cut.evict();
        }
        await cut.archive();
        await expectTwinAnswers(cut, 25, seed + runs);
        await cut.evict();
        await expectTwinAnswers(cut, 10, seed - runs);
      }),
      { seed, numRuns: 12 },
    );
  }, 240_000);

  it.each([
    [255, []],
    [256, []],
    [257, [[1, 256]]],
    [512, [[1, 256]]],
    [513, [[1, 512]]],
    [
      1_024,
      [
        [1, 512],
        [513, 768],
      ],
    ],
    [1_025, [[1, 1_024]]],
    [
      2_300,
      [
        [1, 1_024],
        [1_025, 2_048],
      ],
    ],
  ])(
    'of %i events these are moved when all are asked for: %j',
    async (events, expected) => {
      const cut = cuttable(`edge-${events}`);
      await cut.grow(events);
      const { moved, isComplete } = await cut.archive();
      const segments = moved.segments === 0 ? [] : await cut.segments();
      expect(segments.map(({ first, last }) => [first, last])).toEqual(expected);
      expect(isComplete).toBe(true);
      expect(await cut.hot()).toBe(events - (expected.at(-1)?.[1] ?? 0));
      await expectTwinAnswers(cut, 12, 1);
      await cut.grow(300);
      await expectTwinAnswers(cut, 12, 2);
    },
    60_000,
  );
});
