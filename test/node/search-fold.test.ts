import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isOneEdit } from '../../projections/corrections.ts';
import { fold, foldWithPlaces } from '../../projections/fold.ts';
import { spansOf } from '../../projections/highlights.ts';
import { token } from '../../projections/terms.ts';
import { printedSeed } from '../support/seed.ts';

describe('folding', () => {
  it.each([
    ['Größe', 'grosse'],
    ['STRAẞE', 'strasse'],
    ['Ærøskøbing', 'aeroskobing'],
    ['Łódź', 'lodz'],
    ['İstanbul ISPARTA ı', 'istanbul isparta i'],
    ['ΟΔΟΣ οδός', 'οδοσ οδοσ'],
    ['ﬁne ２０２６', 'fine 2026'],
    ['e\u0301te\u0301', 'ete'],
    ['ガ が か\u3099', 'ガ が が'],
    ['한국', '한국'],
    ['👩\u200d💻 ❤\ufe0f', '👩💻 ❤'],
    ['  a \t\n\u00a0b\0c ', 'a b c'],
    ['it’s “so” – co‑op', 'it\'s "so" - co-op'],
  ])('takes %j for %j', (text, folded) => {
    expect(fold(text)).toBe(folded);
  });

  it('tells for every part where it stood', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), (text) => {
        const { text: folded, starts, ends } = foldWithPlaces(text);
        expect(folded).toBe(fold(text));
        expect(starts).toHaveLength(folded.length);
        for (const [index, start] of starts.entries()) {
          const part = text.slice(start, ends[index]);
          // Between others, because a space at an end is trimmed, and some characters begin with one.
          expect(fold(`.${part}.`)).toContain(folded[index]);
        }
      }),
      { seed: printedSeed('folded texts'), examples: [['a゛b'], ['a゜'], ['a\u037a']] },
    );
  });
});

describe('tokens', () => {
  it('are one word without syntax, and different for different texts', () => {
    const texts = fc.string({
      unit: fc.oneof(
        fc.constantFrom('z', '2', '0', 'Z', ' ', '"', '*', '中'),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      ),
    });
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        expect(token('any', a)).toMatch(/^a[0-9a-z\u0080-\u{10ffff}]*$/u);
        if (a !== b) expect(token('any', a)).not.toBe(token('any', b));
      }),
    );
  });
});

describe('one edit', () => {
  const word = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 6 });

  it('is an insertion, a deletion, a replacement or a transposition', () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        const edits = new Set<string>();
        for (let index = 0; index <= a.length; index++) {
          const [left, right] = [a.slice(0, index), a.slice(index)];
          for (const letter of 'abc') {
            edits.add([...left, letter, ...right].join(''));
            if (right.length > 0) edits.add([...left, letter, ...right.slice(1)].join(''));
          }
          if (right.length > 0) edits.add([...left, ...right.slice(1)].join(''));
          const [first, second, ...rest] = right;
          if (first !== undefined && second !== undefined) edits.add([...left, second, first, ...rest].join(''));
        }
        edits.delete(a.join(''));
        expect(isOneEdit(a, b)).toBe(edits.has(b.join('')));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('marked parts', () => {
  it('are where the reader sees the term, as positions in the text itself', () => {
    const text = 'Die Größe der GRÖSSE <b>groß</b>';
    const parts = spansOf(text, ['gross']).map(([start, end]) => text.slice(start, end));
    expect(parts).toEqual(['Größ', 'GRÖSS', 'groß']);
  });

  it('join when they overlap or touch', () => {
    expect(spansOf('abcdef', ['abc', 'cde', 'def'])).toEqual([[0, 6]]);
  });

  it('are whole words for short terms, anywhere in scripts without spaces', () => {
    expect(spansOf('go gopher Go', ['go'])).toEqual([
      [0, 2],
      [10, 12],
    ]);
    expect(spansOf('新東京駅', ['東京'])).toEqual([[1, 3]]);
  });
});
