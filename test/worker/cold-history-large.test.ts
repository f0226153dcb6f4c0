import { afterEach, describe, expect, it } from 'vitest';
import { isRefusal } from '../../actors/decider.ts';
import { CAUSE, type Cuttable, cuttable } from '../support/cold-world.ts';
import { CounterObject } from '../support/counter.ts';
import { ADMINISTRATOR } from '../support/principals.ts';

afterEach(() => {
  CounterObject.stateSchema = 1;
});

/** Moves so many segments of 256 small events, with snapshots of a megabyte: some 3 Mi characters each. */
async function growSegments(cut: Cuttable, segments: number): Promise<void> {
  for (let left = segments; left > 0; left--) {
    await cut.grow(256);
    await cut.sql("UPDATE snapshots SET state = json_set(state, '$.padding', hex(zeroblob(500000)))");
    expect(await cut.archive()).toMatchObject({ moved: { segments: 1, events: 256 }, failure: null });
  }
}

async function totalOf({ stub }: Cuttable, version?: number): Promise<number> {
  const view = await stub.view(ADMINISTRATOR, version === undefined ? undefined : { version });
  if (isRefusal(view)) throw new Error(view.detail);
  return JSON.parse(view.body).total;
}

describe('segments that together are more than what one read may hold', () => {
  it('are looked back over as far as there is room for, and what is further is too much', async () => {
    const cut = cuttable('look-back');
    await cut.grow(1);
    await growSegments(cut, 12);
    await cut.evict();
    const total = await totalOf(cut);
    const addAgain = (after: number) =>
      cut.stub.execute({ id: cut.id, command: { type: 'addAgain', after }, principal: ADMINISTRATOR, cause: CAUSE });
    expect(await addAgain(10)).toMatchObject({ refused: 'conflict' });
    expect(await totalOf(cut)).toBe(total);
    const after = 9 * 256 + 10;
    const then = await totalOf(cut, after);
    expect(await addAgain(after)).not.toHaveProperty('refused');
    expect(await totalOf(cut)).toBe(total + (total - then));
  }, 300_000);

  it.each([
    ['before anything was moved in the other form', 0],
    ['after events were moved in the other form', 2],
  ])(
    'do not keep a stream from waking whose states go back to an earlier form, %s',
    async (_when, meanwhile) => {
      const cut = cuttable(`back-to-schema-1-${meanwhile}`);
      await cut.grow(1);
      await growSegments(cut, 12);
      const total = await totalOf(cut);
      CounterObject.stateSchema = 2;
      await cut.evict();
      expect(await totalOf(cut)).toBe(total);
      await growSegments(cut, meanwhile);
      const then = await totalOf(cut);
      CounterObject.stateSchema = 1;
      await cut.evict();
      expect(await totalOf(cut)).toBe(then);
      // The next time it need not be found out again.
      CounterObject.segments.gets = 0;
      await cut.evict();
      expect(await totalOf(cut)).toBe(then);
      expect(CounterObject.segments.gets).toBe(0);
    },
    300_000,
  );
});
