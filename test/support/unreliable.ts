import fc from 'fast-check';
import { vi } from 'vitest';
import { down, FakeChittyOs, refuse } from './delivery.ts';

const FATES = ['done', 'lost', 'answer lost', 'odd answer', 'refused'] as const;

/** What becomes of a request: it is done, does not come through, is done and its answer lost, and so on. */
export type Fate = (typeof FATES)[number];

/** What becomes of the next few requests. */
export const fates = fc.array(fc.constantFrom(...FATES), { maxLength: 8, size: 'max' });

/** ChittyChronicle and ChittyDNA behind a network that cannot be relied on. */
export class UnreliableChittyOs {
  readonly services = new FakeChittyOs();
  /** What becomes of the next requests, in their order; those that come after them are done. */
  fates: Fate[] = [];

  async fetch(url: string, init: RequestInit): Promise<Response> {
    const fate = this.fates.shift() ?? 'done';
    if (fate === 'lost') return down();
    if (fate === 'refused') return refuse();
    if (fate === 'odd answer') return Response.json({ weather: 'sunny' });
    const answer = await this.services.fetch(url, init);
    return fate === 'answer lost' ? down() : answer;
  }
}

/** Waits for work under fake timers, letting as much time pass as it takes. */
export async function finish<Value>(work: Promise<Value>): Promise<Value> {
  let isOver = false;
  const settled = work.finally(() => {
    isOver = true;
  });
  // Heard of below.
  settled.catch(() => undefined);
  while (!isOver) await vi.advanceTimersByTimeAsync(100);
  return settled;
}
