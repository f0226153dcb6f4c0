import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fold } from '../../projections/fold.ts';
import { dictionaryWords, knownPieces, type Searchable } from '../../projections/terms.ts';

const letters = fc.string({ unit: fc.constantFrom(...'abcdé', '東', 'か', 'ก', '3', '-'), maxLength: 60 });
const text = fc.array(fc.oneof(letters, fc.string({ unit: 'grapheme' })), { maxLength: 4 }).map((all) => all.join(' '));

const searchable: fc.Arbitrary<Searchable> = fc.record({
  name: text,
  description: text,
  owner: fc.string({ unit: fc.constantFrom(...'ABCdef012_'), minLength: 1 }),
  members: fc.constant([]),
  systems: fc.array(text, { maxLength: 2 }),
  tools: fc.array(text, { maxLength: 2 }),
  status: fc.constant('active'),
});

describe('the dictionary', () => {
  it('has something around each piece of whatever stands in a context: what it lacks is nowhere', () => {
    fc.assert(
      fc.property(searchable, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 50 }), (context, field, start, length) => {
        const fields = [context.name, context.owner, ...context.systems, ...context.tools, context.description];
        const chunks = fields.flatMap((each) => fold(each).split(' ')).filter((chunk) => chunk !== '');
        const chunk = [...(chunks[field % chunks.length] ?? '')];
        const at = start % chunk.length;
        const term = chunk.slice(at, at + length).join('');
        const words = dictionaryWords(context);
        for (const piece of knownPieces(term)) expect(words.some((word) => word.includes(piece))).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it('is asked about words of a usual length, and about none of scripts without spaces', () => {
    expect(knownPieces('planning')).toEqual(['planning']);
    expect(knownPieces('q3-planning東京')).toEqual(['planning']);
    expect(knownPieces('plan')).toEqual([]);
    expect(knownPieces('東京都計画会議')).toEqual([]);
    expect(knownPieces('a'.repeat(41))).toEqual([]);
  });

  it('has the words between those of scripts without spaces, which can be mistyped too', () => {
    const context = { name: '東京project計画', description: '', owner: 'act_a', members: [], systems: [], tools: [] };
    expect(dictionaryWords({ ...context, status: 'active' })).toContain('project');
  });
});
