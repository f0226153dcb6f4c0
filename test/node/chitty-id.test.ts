import { describe, expect, it } from 'vitest';
import { checkNumber, entityLetter, formatChittyId, isChittyId, parseChittyId } from '../../events/chitty-id.ts';

const withCheck = (fields: string) => `${fields}-${checkNumber(fields)}`;

/** A ChittyID whose check number has one digit. */
const oneDigit =
  Array.from({ length: 97 }, (_, index) => withCheck(`03-1-USA-${String(index).padStart(4, '0')}-P-2602-0`)).find(
    (id) => /-\d$/.test(id),
  ) ?? '';

describe('the format of a ChittyID', () => {
  it.each(['03-1-USA-5537-P-2602-0-38', '03-1-USA-7165-T-2602-0-13', '03-1-USA-1399-T-2603-0-70'])(
    'has the right check number in %s, which is in use',
    (id) => {
      expect(parseChittyId(id)).toMatchObject({ isCheckRight: true });
      expect(checkNumber(id.slice(0, id.lastIndexOf('-')))).toBe(Number(id.slice(-2)));
    },
  );

  it('notices every digit that is another digit and every letter that is another letter', () => {
    const id = '03-1-USA-5537-P-2602-0-38';
    const accepted: string[] = [];
    for (const [index, character] of [...id].entries()) {
      for (const other of /\d/.test(character) ? '0123456789' : 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') {
        const wrong = id.slice(0, index) + other + id.slice(index + 1);
        if (other !== character && parseChittyId(wrong)?.isCheckRight) accepted.push(wrong);
      }
    }
    expect(accepted).toEqual([]);
  });

  it('writes what it takes apart', () => {
    const id = '03-1-USA-1399-T-2603-0-70';
    const parsed = parseChittyId(id);
    expect(parsed?.parts).toEqual({
      version: '03',
      region: '1',
      jurisdiction: 'USA',
      sequence: '1399',
      type: 'T',
      yearMonth: '2603',
      trustLevel: 0,
    });
    expect(parsed && formatChittyId(parsed.parts)).toBe(id);
  });

  it.each([
    '',
    '03-1-USA-5537-P-2602-0',
    '03-1-USA-5537-X-2602-0-38',
    '03-1-USA-5537-P-2602-6-38',
    '03-1-usa-5537-P-2602-0-38',
    '03-1-USA-5537-P-2602-0-38\n',
    '03-1-USA-5537-P-2602-0-038',
  ])('refuses %j', (text) => {
    expect(parseChittyId(text)).toBeNull();
  });

  it.each([
    ['03-1-USA-5537-P-2602-0-38', true],
    // A month that no authority writes, and a check number as people may write it.
    [withCheck('03-1-USA-5537-P-2613-0'), false],
    [oneDigit.replace(/\d$/, '0$&'), false],
    [oneDigit, true],
  ])('%s is read by whoever gets it; that the authority could have written it is %s', (id, isAsMinted) => {
    expect(isChittyId(id)).toBe(true);
    expect(parseChittyId(id)).toMatchObject({ isCheckRight: true, isAsMinted });
  });

  it.each(['03-1-USA-5537-P-2602-0-37', '03-1-USA-5538-P-2602-0-38', '03-1-USA-5537-P-2602-0-00'])(
    'does not take %s for one: its check number is wrong',
    (text) => {
      expect(isChittyId(text)).toBe(false);
      expect(parseChittyId(text)).toMatchObject({ isCheckRight: false });
    },
  );

  it('maps the older names of entity types', () => {
    const names = [
      'PEO',
      'ACTOR',
      'CONTEXT',
      'PLACE',
      'PROP',
      'INFO',
      'FACT',
      'EVNT',
      'AUTH',
      'P',
      'nobody',
      'toString',
    ];
    expect(names.map(entityLetter)).toEqual(['P', 'P', 'P', 'L', 'T', 'T', 'T', 'E', 'A', 'P', null, null]);
  });
});
