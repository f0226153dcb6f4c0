import { describe, expect, it } from 'vitest';
import { OnceAMinute } from '../../src/audit/once-a-minute.ts';

const NOW = Date.UTC(2026, 0, 1);

describe('what is said once a minute', () => {
  it('is said again after a minute, each thing for itself', () => {
    const said = new OnceAMinute();
    expect(said.wasSaid('a', NOW)).toBe(false);
    said.note('a', NOW);
    expect(said.wasSaid('a', NOW + 59_999)).toBe(true);
    expect(said.wasSaid('b', NOW)).toBe(false);
    expect(said.wasSaid('a', NOW + 60_000)).toBe(false);
  });

  it('is said again when the clock went back further than that', () => {
    const said = new OnceAMinute();
    said.note('a', NOW);
    expect(said.wasSaid('a', NOW - 59_999)).toBe(true);
    expect(said.wasSaid('a', NOW - 60_000)).toBe(false);
  });

  it('remembers so much and no more', () => {
    const said = new OnceAMinute();
    for (let n = 0; n < 10_000; n++) said.note(`${n}`, NOW);
    expect(said.wasSaid('0', NOW)).toBe(true);
    said.note('one more', NOW);
    expect(said.wasSaid('0', NOW)).toBe(false);
    expect(said.wasSaid('one more', NOW)).toBe(true);
  });
});
