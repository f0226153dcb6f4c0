import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect, it } from 'vitest';
import { WebhookRegistryActor } from '../../actors/webhook-registry-object.ts';

/** Who is told, at each look at a feed that ends there. */
async function looks(
  name: string,
  active: Readonly<Record<string, string>>,
  run: (look: (end: number, readers?: readonly string[]) => Promise<string[]>, failing: Set<string>) => Promise<void>,
): Promise<void> {
  const object = env.WEBHOOK_REGISTRY.get(env.WEBHOOK_REGISTRY.idFromName(name));
  await runInDurableObject(object, async (_object, state) => {
    let feed: { end: number; readers: readonly string[] } = { end: 0, readers: [] };
    let told: string[] = [];
    const failing = new Set<string>();
    const registry = new WebhookRegistryActor(state, env, {
      feedEnd: async () => feed.end,
      readersOf: async () => new Set(feed.readers),
      poke: async (id) => {
        told.push(id);
        if (failing.has(id)) throw new Error('not now');
      },
    });
    for (const [id, owner] of Object.entries(active)) await registry.note({ id, owner }, 'active');
    await run(async (end, readers = []) => {
      feed = { end, readers };
      told = [];
      await registry.alarm();
      return told.sort();
    }, failing);
  });
}

it('tells those again who could not be told, and nobody else because of them', async () => {
  const active = { whk_ann: 'act_ann', whk_ben: 'act_ben', whk_cyd: 'act_cyd' };
  await looks('who is told', active, async (look, failing) => {
    failing.add('whk_ben');
    expect(await look(10)).toEqual(['whk_ann', 'whk_ben', 'whk_cyd']);
    for (let times = 0; times < 3; times++) expect(await look(10)).toEqual(['whk_ben']);
    expect(await look(11, ['act_cyd'])).toEqual(['whk_ben', 'whk_cyd']);
    failing.clear();
    expect(await look(11)).toEqual(['whk_ben']);
    expect(await look(11)).toEqual([]);
    // As many positions on, also those who have nothing to do with them; and after it was put back.
    expect(await look(2_000)).toHaveLength(3);
    expect(await look(5)).toHaveLength(3);
  });
});

it('tells many, each once', async () => {
  const active = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`whk_${index}`, 'act_ann']));
  await looks('many are told', active, async (look) => {
    expect(new Set(await look(1)).size).toBe(100);
    expect(await look(2, ['act_ann'])).toHaveLength(100);
  });
});

it('counts exactly, each once, and no more what was not made or is deleted', async () => {
  const object = env.WEBHOOK_REGISTRY.get(env.WEBHOOK_REGISTRY.idFromName('who has how many'));
  const reserve = (id: string, owner = 'act_ann') => object.reserve({ id, owner }, 2);
  expect(await Promise.all(['one', 'two', 'three', 'one'].map((id) => reserve(id)))).toEqual([true, true, false, true]);
  expect(await reserve('of ben', 'act_ben')).toBe(true);
  await object.release('one');
  expect(await reserve('three')).toBe(true);
  await object.note({ id: 'three', owner: 'act_ann' }, 'disabled');
  await object.note({ id: 'two', owner: 'act_ann' }, 'deleted');
  expect(await reserve('four')).toBe(true);
  // One that was never heard of is counted for an hour.
  await runInDurableObject(object, (_object, { storage }) => {
    storage.sql.exec('UPDATE owned SET reserved_at = reserved_at - 3600001 WHERE reserved_at IS NOT NULL');
  });
  expect(await reserve('five')).toBe(true);
  expect(await reserve('six')).toBe(false);
});

it('counts on what was made, whether that is heard of before its maker gives it up or after', async () => {
  const object = env.WEBHOOK_REGISTRY.get(env.WEBHOOK_REGISTRY.idFromName('who gave up'));
  const [before, after] = [
    { id: 'heard of before', owner: 'act_ann' },
    { id: 'heard of after', owner: 'act_ann' },
  ];
  for (const each of [before, after]) expect(await object.reserve(each, 2)).toBe(true);
  await object.note(before, 'disabled');
  await object.release(before.id);
  await object.release(after.id);
  await object.note(after, 'disabled');
  expect(await object.reserve({ id: 'third', owner: 'act_ann' }, 2)).toBe(false);
  await object.forget(before.id);
  expect(await object.reserve({ id: 'third', owner: 'act_ann' }, 2)).toBe(true);
});
