import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPlaceIn, offsetsOf, parseOffset } from '../../events/offset.ts';
import { printedSeed } from '../support/seed.ts';

const version = fc.oneof(fc.nat(20), fc.nat({ max: Number.MAX_SAFE_INTEGER }));
const stream = fc.stringMatching(/^(context|actor|connection|feed)\/[0-9A-Z]{1,26}$/);

describe('an offset', () => {
  // `printf 'context/ctx_1' | sha256sum | cut -c 1-8`
  it('is the version in sixteen digits, and eight of the hash of the name of its stream', () => {
    expect(offsetsOf('context/ctx_1')(42)).toBe('0000000000000042_6552d755');
  });

  it('gives back what it was made of, in its own stream only, and sorts as the versions do', () => {
    fc.assert(
      fc.property(stream, stream, version, version, (here, elsewhere, one, other) => {
        const place = parseOffset(offsetsOf(here)(one));
        expect(place?.after).toBe(one);
        expect(place && isPlaceIn(place, here)).toBe(true);
        expect(place && isPlaceIn(place, elsewhere)).toBe(here === elsewhere);
        expect(offsetsOf(here)(one) < offsetsOf(here)(other)).toBe(one < other);
      }),
      { seed: printedSeed('offsets') },
    );
  });

  it.each([
    '',
    '-1',
    'now',
    '0000000000000042',
    '42_01234567',
    '9999999999999999_01234567',
    '0000000000000042_0123456G',
  ])('is not "%s"', (text) => {
    expect(parseOffset(text)).toBeNull();
  });

  it('of the beginning is in every stream', () => {
    expect(isPlaceIn({ after: 0, mark: null }, 'context/ctx_1')).toBe(true);
  });
});
