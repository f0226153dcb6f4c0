import { describe, expect, it } from 'vitest';
import { parsePointer, valueAt } from '../../events/json-pointer.ts';

/** The document of RFC 6901, section 5, and what its pointers lead to. */
const DOCUMENT = {
  foo: ['bar', 'baz'],
  '': 0,
  'a/b': 1,
  'c%d': 2,
  'e^f': 3,
  'g|h': 4,
  'i\\j': 5,
  'k"l': 6,
  ' ': 7,
  'm~n': 8,
};
const RFC_6901: readonly (readonly [string, unknown])[] = [
  ['', DOCUMENT],
  ['/foo', ['bar', 'baz']],
  ['/foo/0', 'bar'],
  ['/', 0],
  ['/a~1b', 1],
  ['/c%d', 2],
  ['/e^f', 3],
  ['/g|h', 4],
  ['/i\\j', 5],
  ['/k"l', 6],
  ['/ ', 7],
  ['/m~0n', 8],
];

describe('a JSON Pointer', () => {
  it.each(RFC_6901)('"%s" leads where RFC 6901 says', (pointer, value) => {
    expect(valueAt(DOCUMENT, parsePointer(pointer) ?? ['unparsed'])).toEqual(value);
  });

  it('reads ~01 as ~1, not as a slash', () => {
    expect(parsePointer('/~01')).toEqual(['~1']);
  });

  it.each(['/foo/2', '/foo/00', '/foo/-', '/foo/1e0', '/foo/length', '/foo/0/0', '/bar', '/toString', '/__proto__'])(
    '%s leads to nothing',
    (pointer) => {
      expect(valueAt(DOCUMENT, parsePointer(pointer) ?? ['unparsed'])).toBeUndefined();
    },
  );

  it.each(['foo', '#/foo', '/~', '/~2', '/a~', 'a/b', ' /a'])('"%s" is none', (pointer) => {
    expect(parsePointer(pointer)).toBeNull();
  });
});
