import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Envelope } from '../../events/envelope.ts';
import { isIntact } from '../../events/envelope.ts';
import { currentSchemaVersion, type Upcasters, upcast } from '../../events/upcast.ts';

const upcasters: Upcasters = {
  counter_added: [({ by }) => ({ amount: by ?? 0 }), (data) => ({ ...data, unit: 'one' })],
};

const fixture: Envelope[] = JSON.parse(
  readFileSync(new URL('./fixtures/counter-events.json', import.meta.url), 'utf8'),
);

describe('an event in an old form', () => {
  it.each(fixture)('of schema version $schemaVersion is read in the current one, and its hash still checks', (old) => {
    expect(isIntact(old)).toBe(true);
    expect(upcast(upcasters, old.type, old.schemaVersion, old.data)).toEqual({ amount: 5, unit: 'one' });
  });

  it('of a type without upcasters is left as it is', () => {
    expect(upcast(upcasters, 'counter_closed', 1, {})).toEqual({});
  });

  it('that newer code wrote is refused instead of guessed at', () => {
    expect(currentSchemaVersion(upcasters, 'counter_added')).toBe(3);
    expect(() => upcast(upcasters, 'counter_added', 4, {})).toThrow('counter_added has schema version 4');
  });
});
