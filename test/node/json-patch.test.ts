import fc from 'fast-check';
import { applyPatch } from 'rfc6902';
import { describe, expect, it } from 'vitest';
import type { Json, JsonObject } from '../../events/json.ts';
import { diffJson, type PatchOperation } from '../../events/json-patch.ts';
import { jsonEquals } from '../../events/merge-patch.ts';
import { printedSeed } from '../support/seed.ts';

/** Keys that are alike, that pointers must escape, and that look like places in an array. */
const key = fc.constantFrom('a', 'b', '', '/', '~', '~1', '~0', 'a/b', 'm~n', '0', '-', ' ', 'é', '"', 'toString');

/** JSON of which two are often alike in parts. */
const { object } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, false, 0, 1, -0, 1.5, '', 'x', '0', '/'),
    fc.array(tie('value'), { maxLength: 6 }),
    tie('object'),
  ),
  object: fc.dictionary(key, tie('value'), { maxKeys: 5, noNullPrototype: true }),
}));
const jsonObject = object.map((value): JsonObject => JSON.parse(JSON.stringify(value)));

/** Applies a patch with a library of somebody else's. */
function patched(from: JsonObject, patch: readonly PatchOperation[]): unknown {
  const target = structuredClone(from);
  const wire: PatchOperation[] = JSON.parse(JSON.stringify(patch));
  expect(applyPatch(target, wire)).toEqual(patch.map(() => null));
  return target;
}

function items(length: number, itemAt: (index: number) => Json): Json[] {
  return Array.from({ length }, (_, index) => itemAt(index));
}

describe('the JSON Patch between two values', () => {
  it('turns the one into the other, and is empty only when they are equal', () => {
    const seed = printedSeed('JSON Patch');
    fc.assert(
      fc.property(jsonObject, jsonObject, (from, to) => {
        const patch = diffJson(from, to);
        expect(patched(from, patch)).toEqual(JSON.parse(JSON.stringify(to)));
        expect(patch.length === 0).toBe(jsonEquals(from, to));
      }),
      { seed, numRuns: 5000 },
    );
  });

  it('turns long lists into each other, with few operations when little changed', () => {
    const seed = printedSeed('JSON Patch of lists');
    const list = fc.array(fc.nat(9), { maxLength: 60, size: 'max' });
    fc.assert(
      fc.property(list, list, list, fc.nat(9), (before, after, middle, added) => {
        const from = { list: [...before, ...after] };
        const to = { list: [...before, added, ...after] };
        expect(diffJson(from, to)).toHaveLength(1);
        expect(diffJson(to, from)).toHaveLength(1);
        expect(patched(from, diffJson(from, { list: middle }))).toEqual({ list: middle });
      }),
      { seed, numRuns: 500 },
    );
  });

  it.each<[string, JsonObject, JsonObject, PatchOperation[]]>([
    ['a member that is new', { a: 1 }, { a: 1, b: null }, [{ op: 'add', path: '/b', value: null }]],
    ['a member that is gone', { a: 1, b: null }, { a: 1 }, [{ op: 'remove', path: '/b' }]],
    ['a member that changed', { a: 1 }, { a: '1' }, [{ op: 'replace', path: '/a', value: '1' }]],
    [
      '~ and / in keys',
      { 'a/b': { 'm~n': 1 } },
      { 'a/b': { 'm~n': 2 } },
      [{ op: 'replace', path: '/a~1b/m~0n', value: 2 }],
    ],
    ['an item put in front', { l: ['b', 'c'] }, { l: ['a', 'b', 'c'] }, [{ op: 'add', path: '/l/0', value: 'a' }]],
    ['an item put at the end', { l: ['a'] }, { l: ['a', 'b'] }, [{ op: 'add', path: '/l/1', value: 'b' }]],
    ['an item taken out', { l: ['a', 'b', 'c'] }, { l: ['a', 'c'] }, [{ op: 'remove', path: '/l/1' }]],
    [
      'items taken out and put in far from each other',
      { l: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] },
      { l: ['a', 'c', 'd', 'e', 'x', 'f', 'g'] },
      [
        { op: 'remove', path: '/l/1' },
        { op: 'add', path: '/l/4', value: 'x' },
      ],
    ],
    [
      'a member of an item',
      { l: [{ id: 1, done: false, note: 'a note of some length' }, { id: 2 }] },
      { l: [{ id: 1, done: true, note: 'a note of some length' }, { id: 2 }] },
      [{ op: 'replace', path: '/l/0/done', value: true }],
    ],
    ['the order of members', { a: 1, b: { c: 1, d: 2 } }, { b: { d: 2, c: 1 }, a: 1 }, []],
  ])('names %s', (_what, from, to, patch) => {
    expect(diffJson(from, to)).toEqual(patch);
  });

  it('of 100 labels against 100 others names each once', () => {
    const from = { tools: items(100, (index) => `tool ${index}`) };
    const to = { tools: items(100, (index) => (index % 2 === 0 ? `tool ${index}` : `other ${index}`)) };
    const patch = diffJson(from, to);
    expect(patch).toHaveLength(50);
    expect(patched(from, patch)).toEqual(to);
  });
});

describe('the JSON Patch of values that are made to be hard', () => {
  /** Each as large as metadata may be. */
  const hard: [string, JsonObject, JsonObject][] = [
    ['30,000 items', { m: items(30_000, (i) => i % 10) }, { m: items(30_000, (i) => (i * 7 + 3) % 10) }],
    ['1,000 items that cannot be aligned', { m: items(1000, (i) => i) }, { m: items(1000, (i) => 2000 - i) }],
    [
      'lists of lists of lists',
      { m: items(25, (i) => items(25, (j) => items(25, (k) => (i * j + k) % 7))) },
      { m: items(25, (i) => items(25, (j) => items(25, (k) => (i * j + k * 3) % 5))) },
    ],
    [
      // Each operation would repeat the long key.
      'a key of 30,000 characters above 5,000 members',
      { m: { ['k'.repeat(30_000)]: Object.fromEntries(items(5000, (i) => i).map((i) => [String(i), 0])) } },
      { m: { ['k'.repeat(30_000)]: Object.fromEntries(items(5000, (i) => i).map((i) => [String(i), 1])) } },
    ],
    ['all members gone', { m: Object.fromEntries(items(5000, (i) => i).map((i) => [`member ${i}`, i])) }, { m: {} }],
  ];

  it.each(hard)('is right, and not much longer than the value itself: %s', (_what, from, to) => {
    for (const [a, b] of [
      [from, to],
      [to, from],
    ] as const) {
      const patch = diffJson(a, b);
      expect(JSON.stringify(patch).length).toBeLessThanOrEqual(4 * JSON.stringify(b).length + 5000);
      expect(patched(a, patch)).toEqual(b);
    }
  });
});
