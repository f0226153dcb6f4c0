import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Presence } from '../../actors/presence.ts';
import { principalOf } from '../support/principals.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Watchers, some of whom want to be told of each other, and the frames that they were sent. */
function crowd(wanting: number, others = 0) {
  const watchers = Array.from({ length: wanting + others }, (_, n) => ({ principal: principalOf(`act_${n}`) }));
  const asking = new Set(watchers.slice(0, wanting));
  const sent: { to: string; frame: string }[] = [];
  const presence = new Presence<(typeof watchers)[number]>({
    all: () => watchers,
    wanting: () => asking,
    send: ({ principal }, frame) => sent.push({ to: principal.actor, frame }),
  });
  return { watchers, presence, sent };
}

describe('who watches', () => {
  it('is told once for all who come and go within a second', async () => {
    const { watchers, presence, sent } = crowd(2);
    for (let n = 0; n < 50; n++) {
      watchers.push({ principal: principalOf(`act_new_${n}`) });
      presence.changed();
    }
    await vi.advanceTimersByTimeAsync(999);
    expect(sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent.map(({ to }) => to)).toEqual(['act_0', 'act_1']);
    expect(JSON.parse(sent[0]?.frame ?? '')).toMatchObject({ type: 'presence', count: 52 });
  });

  it('is not told again when it is what was told', async () => {
    const { presence, sent } = crowd(1);
    for (let n = 0; n < 3; n++) {
      presence.changed();
      await vi.advanceTimersByTimeAsync(5_000);
    }
    expect(sent).toHaveLength(1);
  });

  it('sets no timer, and so keeps no object awake, when nobody wants to know', () => {
    const { presence } = crowd(0, 1_000);
    presence.changed();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('takes a thousand frames a second at most, with a list of a hundred, however large the crowd is', async () => {
    const { watchers, presence, sent } = crowd(10_000);
    const seconds = 60;
    for (let n = 0; n < seconds * 10; n++) {
      watchers.push({ principal: principalOf(`act_new_${n}`) });
      presence.changed();
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(sent.length).toBeGreaterThan(10_000);
    expect(sent.length).toBeLessThanOrEqual(seconds * 1_000);
    const { actors, count } = JSON.parse(sent.at(-1)?.frame ?? '');
    expect(actors).toHaveLength(100);
    expect(count).toBeGreaterThan(10_000);
  });
});
