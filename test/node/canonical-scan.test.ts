import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalText } from '../../events/canonical.ts';
import { CanonicalScanner } from '../../events/canonical-scan.ts';
import type { Json, JsonObject } from '../../events/json.ts';
import { Line } from '../../events/line.ts';
import { printedSeed } from '../support/seed.ts';

/** What canonical means, the long way: the text is that of the value which it parses to. */
function isCanonical(text: string): boolean {
  try {
    const value: Json = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) && canonicalText(value) === text;
  } catch {
    return false;
  }
}

const objects: fc.Arbitrary<JsonObject> = fc
  .dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ stringUnit: 'binary' }))
  // What cannot be parsed from JSON either.
  .map((value) => JSON.parse(JSON.stringify(value)));

/** One for all: what it knew of a line must be void with the next. */
const scanner = new CanonicalScanner();

describe('the scan for canonical text', () => {
  it('takes the canonical text of every object, and finds its members', () => {
    const seed = printedSeed('canonical texts');
    fc.assert(
      fc.property(objects, (object) => {
        fc.pre(isCanonical(canonicalText(object)));
        const text = canonicalText(object);
        const line = Line.of(text);
        expect(scanner.scan(line)).toBe(null);
        const names = Object.keys(object).sort();
        expect(scanner.count).toBe(names.length);
        for (const [member, name] of names.entries()) {
          const [start, value, end] = [scanner.start(member), scanner.value(member), scanner.end(member)];
          expect(JSON.parse(`{${line.slice(start, end)}}`)).toEqual(Object.fromEntries([[name, object[name]]]));
          expect(canonicalText(object[name] ?? null)).toBe(line.slice(value, end));
          if (/^[ -!#-[\]-~]*$/.test(name)) expect(scanner.isNamed(member, name)).toBe(true);
          expect(scanner.isNamed(member, `${name}x`)).toBe(false);
        }
      }),
      { seed, numRuns: 1000 },
    );
  });

  it('agrees with parsing and writing again on every text that is changed a little', () => {
    const seed = printedSeed('changed canonical texts');
    const pieces = fc.oneof(
      fc.constantFrom(...'{}[],:"\\ 0123456789-+.eE/tfnu\n\t'),
      fc.constantFrom('"a":1,', '\\u0041', '\\u001f', '\\u001F', '\\/', '\\n', '\\u000a', '1e+21', '1E21', '-0', '1.0'),
      fc.constantFrom('true', 'null', 'NaN', 'Infinity', '9007199254740993', '0.1', '\u0000', '\u007f', '\u2028', '00'),
      fc.string({ unit: 'binary', maxLength: 2 }),
    );
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat(3), pieces), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(objects, edits, (object, changes) => {
        let text = canonicalText(object);
        for (const [place, removed, piece] of changes) {
          const at = place % (text.length + 1);
          text = text.slice(0, at) + piece + text.slice(at + removed);
        }
        expect([text, scanner.scan(Line.of(text)) === null]).toEqual([text, isCanonical(text)]);
      }),
      { seed, numRuns: 5000 },
    );
  });

  it.each([
    ['a name twice', '{"a":1,"a":2}'],
    ['a name twice, inside', '{"data":{"name":"a","name":"b"}}'],
    ['a name twice, once escaped', '{"a":1,"\\u0061":2}'],
    ['names out of order', '{"b":1,"a":2}'],
    ['names by their number instead of their characters', '{"9":1,"10":2}'],
    ['white space', '{"a": 1}'],
    ['a line feed at the end', '{}\n'],
    ['another spelling of a number', '{"a":1.0}'],
    ['a number that no double holds', '{"a":1e999}'],
    ['a number that a double rounds', '{"a":9007199254740993}'],
    ['a number with a zero before it', '{"a":01}'],
    ['minus zero', '{"a":-0}'],
    ['an escape that is not needed', '{"a":"\\/"}'],
    ['an escape in capitals', '{"a":"\\u001F"}'],
    ['a long escape where there is a short one', '{"a":"\\u000a"}'],
    ['half a character', '{"a":"\ud800"}'],
    ['half a character, escaped', '{"a":"\\ud800"}'],
    ['a raw control character', '{"a":"\u0001"}'],
    ['an array', '[]'],
    ['nothing', ''],
    ['a cut text', '{"a":"b'],
    ['a cut escape', '{"a":"\\'],
    ['more after the end', '{}{}'],
    ['a trailing comma', '{"a":1,}'],
    ['ends that do not match', '{"a":[1}'],
    ['a number of a million digits', `{"a":${'1'.repeat(1_000_000)}}`],
    ['fifty thousand levels', `{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`],
  ])('refuses %s', (_, text) => {
    expect(scanner.scan(Line.of(text))).toEqual({ fault: expect.stringMatching(/\w{3}/) });
  });

  it('says which name stands twice, and where', () => {
    expect(scanner.scan(Line.of('{"data":{"name":"a","name":"b"}}'))).toEqual({
      fault: 'at byte 26: the name name is there twice or out of order',
    });
  });
});
