import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../events/json.ts';
import { applyMergePatch, effectivePatch, jsonEquals } from '../../events/merge-patch.ts';

/** The object cases of RFC 7396, appendix A: original, patch, result. */
const RFC_7396: readonly (readonly [JsonObject, JsonObject, JsonObject])[] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

/** JSON whose keys are few, so that patches meet what is there. */
const { object } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.integer({ min: 0, max: 3 }),
    fc.constantFrom('', 'x'),
    fc.array(tie('value'), { maxLength: 2 }),
    tie('object'),
  ),
  object: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { maxKeys: 3 }),
}));
const jsonObject = object.map((value): JsonObject => JSON.parse(JSON.stringify(value)));

describe('a merge patch', () => {
  it.each(RFC_7396)('of %j with %j gives %j', (original, patch, result) => {
    expect(applyMergePatch(original, patch)).toEqual(result);
  });

  it('does not change what it is applied to', () => {
    fc.assert(
      fc.property(jsonObject, jsonObject, (target, patch) => {
        const before = JSON.stringify([target, patch]);
        applyMergePatch(target, patch);
        expect(JSON.stringify([target, patch])).toBe(before);
      }),
    );
  });
});

describe('the effective part of a patch', () => {
  it('gives what the whole patch gives', () => {
    fc.assert(
      fc.property(jsonObject, jsonObject, (target, patch) => {
        const whole = applyMergePatch(target, patch);
        expect(applyMergePatch(target, effectivePatch(target, patch))).toEqual(whole);
      }),
      { numRuns: 1000 },
    );
  });

  it('is empty exactly when the patch changes nothing', () => {
    fc.assert(
      fc.property(jsonObject, jsonObject, (target, patch) => {
        const changes = !jsonEquals(target, applyMergePatch(target, patch));
        expect(Object.keys(effectivePatch(target, patch)).length > 0).toBe(changes);
      }),
      { numRuns: 1000 },
    );
  });
});
