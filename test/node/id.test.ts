import { describe, expect, it } from 'vitest';
import { derivedId, isId, newId } from '../../events/id.ts';
import { isUlid } from '../../events/ulid.ts';

describe('an id', () => {
  it('is a prefix and a ULID', () => {
    const id = newId('ctx', Date.now());
    expect(id.startsWith('ctx_') && isUlid(id.slice(4))).toBe(true);
    expect(isId('ctx', id)).toBe(true);
  });

  it('that is derived is always the same', () => {
    expect(derivedId('ctx', 'someone key-1')).toBe('ctx_0CDY9SCCMNX6CH88RHH6KZYKZN');
    expect(derivedId('ctx', 'someone key-1')).not.toBe(derivedId('ctx', 'someone key-2'));
    expect(isId('ctx', derivedId('ctx', 'someone key-1'))).toBe(true);
  });

  it('with any one character changed is not an id', () => {
    const id = newId('ctx', Date.now());
    for (let place = 4; place < id.length; place++) {
      const other = id[place] === '0' ? '1' : '0';
      expect(isId('ctx', id.slice(0, place) + other + id.slice(place + 1))).toBe(false);
    }
  });

  it.each([
    '',
    'ctx_',
    'ctx',
    'ctx_01ARZ3NDEKTSV4RRFFQ69G5FAV',
    `act_${newId('ctx', 0).slice(4)}`,
    newId('ctx', 0).toLowerCase(),
  ])('%j is not one of a context', (text) => {
    expect(isId('ctx', text)).toBe(false);
  });
});
