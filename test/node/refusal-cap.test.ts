import { describe, expect, it } from 'vitest';
import { RefusalCap, WINDOW_MS } from '../../actors/refusal-cap.ts';

const START = 1_000_000;
const RECORDED = 60;

/** What is done about so many refusals, one a millisecond. */
function flood(cap: RefusalCap, caller: string, count: number, from = START) {
  return Array.from({ length: count }, (_, index) => cap.note(caller, from + index));
}

describe('a flood of refusals', () => {
  it('is recorded sixty times a minute, then counted', () => {
    const courses = flood(new RefusalCap(), 'act_x', RECORDED + 40);
    expect(courses.slice(0, RECORDED)).toEqual(Array(RECORDED).fill('record'));
    expect(courses[RECORDED]).toBe('begin-to-count');
    expect(courses.slice(RECORDED + 1)).toEqual(Array(39).fill('count'));
  });

  it('is told of with its count and since when, once; then it begins anew', () => {
    const cap = new RefusalCap();
    flood(cap, 'act_x', RECORDED + 40);
    expect(cap.end('act_x')).toEqual({ count: 40, since: START });
    expect(cap.note('act_x', START + WINDOW_MS)).toBe('record');
  });

  it('of one caller is none of another’s', () => {
    const cap = new RefusalCap();
    flood(cap, 'act_x', 1_000);
    expect(cap.note('act_y', START + 1_000)).toBe('record');
  });

  it('that comes slowly is all recorded', () => {
    const cap = new RefusalCap();
    const courses = Array.from({ length: 500 }, (_, index) => cap.note('act_x', START + index * 1_100));
    expect(new Set(courses)).toEqual(new Set(['record']));
  });

  it('is counted on while its count has not been told, however late that is', () => {
    const cap = new RefusalCap();
    flood(cap, 'act_x', RECORDED + 1);
    expect(cap.note('act_x', START + 10 * WINDOW_MS)).toBe('count');
    expect(cap.end('act_x').count).toBe(2);
  });

  it('from very many callers takes no more and more memory for those who have stopped', () => {
    const cap = new RefusalCap();
    for (let index = 0; index < 30_000; index++) cap.note(`act_${index}`, START + index * 100);
    expect(cap.note('act_29999', START + 30_000 * 100)).toBe('record');
  });
});

describe('what is said once a minute', () => {
  it('is said again a minute later', () => {
    const cap = new RefusalCap();
    expect(cap.isNew('act_x read', START)).toBe(true);
    expect(cap.isNew('act_x read', START + WINDOW_MS - 1)).toBe(false);
    expect(cap.isNew('act_x write', START)).toBe(true);
    expect(cap.isNew('act_x read', START + WINDOW_MS)).toBe(true);
  });

  it('is said when the clock has gone back', () => {
    const cap = new RefusalCap();
    cap.isNew('act_x read', START);
    expect(cap.isNew('act_x read', START - 1)).toBe(true);
  });
});
