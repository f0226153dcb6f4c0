import { describe, expect, it } from 'vitest';
import { canonicalText } from '../../events/canonical.ts';

describe('canonical text (RFC 8785)', () => {
  it('is that of the example in section 3.2.2', () => {
    const value = JSON.parse(`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
      "literals": [null, true, false]
    }`);
    expect(canonicalText(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts keys by UTF-16 code units, as in section 3.2.3', () => {
    const value = { '€': 1, '\r': 2, '\ufb33': 3, '1': 4, '😀': 5, '\u0080': 6, ö: 7 };
    const keys = [...canonicalText(value).matchAll(/:(\d)/g)].map(([, digit]) => digit);
    expect(keys).toEqual(['2', '4', '6', '7', '1', '5', '3']);
  });

  it.each([[Number.NaN], [Number.POSITIVE_INFINITY], ['\ud800'], [{ '\udc00': 1 }]])(
    'refuses %j, which has none',
    (value) => {
      expect(() => canonicalText(value)).toThrow();
    },
  );
});
