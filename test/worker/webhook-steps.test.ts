import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebhookDelivery } from '../../actors/webhook-delivery.ts';
import type { AttemptResult } from '../../actors/webhook-outcome.ts';
import type { DeliveryPorts } from '../../actors/webhook-ports.ts';
import {
  CONTEXTS,
  EVERYTHING,
  FAILED,
  LONG_MS,
  SENT,
  settle,
  settled,
  World,
  withSql,
} from '../support/webhook-world.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** Places of a context, from one version to another. */
function versions(name: string, first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => `${name} ${first + index}`);
}

/** Resolves when it is told to. */
function gate() {
  return Promise.withResolvers<AttemptResult>();
}

describe('a replay', () => {
  it('stands behind each event that has arrived: what fails now and then is sent again, and nothing else', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const sent = await withSql('webhook replay fickle', async (sql) => {
      const { sent: all, answers, delivery } = await settled(sql, 100);
      let posts = 0;
      answers.post = async () => (++posts % 8 === 0 ? FAILED : SENT);
      delivery.replays.add({ position: 0, upTo: 90, from: null, to: null });
      for (let round = 0; round < 30 && delivery.replays.open.length > 0; round++) {
        await settle(delivery);
        vi.setSystemTime(Date.now() + LONG_MS);
      }
      return all;
    });
    expect([...new Set(sent)]).toEqual(versions('context 0', 1, 90));
    // Every eighth failed, once.
    expect(sent).toHaveLength(90 + Math.floor(sent.length / 8));
  });

  it('ends where the owner loses the right to read, though it is in the midst of a run', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const sent = await withSql('webhook replay unshared', async (sql) => {
      const { world, sent: all, answers, delivery } = await settled(sql, 40);
      answers.post = async () => {
        vi.setSystemTime(Date.now() + 700);
        if (all.length === 3) vi.spyOn(world, 'mayRead').mockReturnValue(false);
        return SENT;
      };
      delivery.replays.add({ position: 0, upTo: 40, from: null, to: null });
      await settle(delivery);
      expect(delivery.replays.open).toEqual([]);
      return all;
    });
    // At most what was read within the last second goes out all the same.
    expect(sent.length).toBeLessThanOrEqual(5);
  });

  it('stops within a run when its step is over or the webhook is, and holds up nothing that happens meanwhile', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    await withSql('webhook replay live', async (sql) => {
      const { world, sent, answers, delivery } = await settled(sql, 40);
      const gates = [gate(), gate()];
      const posts: Promise<AttemptResult>[] = gates.map(({ promise }) => promise);
      answers.post = async ({ body }) => (JSON.parse(body).stream === 'context 0' ? (posts.shift() ?? SENT) : SENT);
      delivery.replays.add({ position: 0, upTo: 40, from: null, to: null });
      const step = delivery.step();
      await vi.waitFor(() => expect(sent).toEqual(['context 0 1']));
      world.happen(1, 2);
      delivery.wake();
      await vi.waitFor(() => expect(sent).toEqual(['context 0 1', 'context 1 1', 'context 1 2']));
      gates[0]?.resolve(SENT);
      await vi.waitFor(() => expect(sent).toContain('context 0 2'));
      vi.setSystemTime(Date.now() + 60_000);
      gates[1]?.resolve(SENT);
      await step;
      expect(sent).not.toContain('context 0 3');
      await settle(delivery);
      expect(sent.filter((place) => place.startsWith('context 0'))).toEqual(versions('context 0', 1, 40));
    });
  });
});

it('begins a lane while another is slow, and goes on in it before the slow one has been answered', async () => {
  await withSql('webhook slow lane', async (sql) => {
    const { world, sent, answers, delivery } = await settled(sql, 1);
    const slow = gate();
    answers.post = async ({ body }) => (JSON.parse(body).stream === 'context 0' ? slow.promise : SENT);
    world.happen(0, 1);
    delivery.wake();
    const step = delivery.step();
    await vi.waitFor(() => expect(sent).toEqual(['context 0 2']));
    for (const version of [1, 2]) {
      world.happen(1, 1);
      delivery.wake();
      await vi.waitFor(() => expect(sent).toContain(`context 1 ${version}`));
    }
    slow.resolve(SENT);
    await step;
  });
});

it('stands before what cannot be read, says so, and goes on with everything else', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  await withSql('webhook unreadable', async (sql) => {
    const { world, sent, delivery } = await settled(sql, 3);
    world.damage.set('context 0', 'lasting');
    world.happen(0, 2);
    world.happen(1, 2);
    delivery.replays.add({ position: 1, upTo: 3, from: null, to: null });
    delivery.replays.add({ position: 5, upTo: 7, from: null, to: null });
    delivery.wake();
    await settle(delivery);
    expect(sent).toEqual(expect.arrayContaining(versions('context 1', 1, 2)));
    expect(sent.filter((place) => place.startsWith('context 0'))).toEqual([]);
    // The replay of the other context is over, and the lane is known again when the object is.
    const reason = 'context 0 is damaged';
    const places = [
      { context: 'context 0', version: 4, reason },
      { context: 'context 0', version: 2, reason },
    ];
    expect(delivery.status()).toMatchObject({ failing: 0, replays: 1, unreadable: places });
    const again = new WebhookDelivery(sql, world.ports, () => EVERYTHING);
    expect(again.status()).toMatchObject({ replays: 1, unreadable: places });
    world.damage.clear();
    vi.setSystemTime(Date.now() + LONG_MS);
    await settle(delivery);
    expect(sent.filter((place) => place.startsWith('context 0')).sort()).toEqual(versions('context 0', 2, 5));
    expect(delivery.status()).toMatchObject({ replays: 0, unreadable: [] });
  });
});

it('says of what can be read again and fails that it fails, not that it cannot be read, and lets nothing overtake it', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  await withSql('webhook readable again', async (sql) => {
    const { world, sent, answers, delivery } = await settled(sql, 3);
    world.damage.set('context 0', 'lasting');
    world.happen(0, 1);
    delivery.replays.add({ position: 1, upTo: 2, from: null, to: null });
    delivery.replays.add({ position: 2, upTo: 3, from: null, to: null });
    delivery.wake();
    await settle(delivery);
    expect(delivery.status().unreadable).toHaveLength(3);
    world.damage.clear();
    answers.post = async () => FAILED;
    vi.setSystemTime(Date.now() + LONG_MS);
    await settle(delivery);
    expect(sent.sort()).toEqual(['context 0 2', 'context 0 4']);
    // Nor of the other replay, whose turn has not come.
    const failing = { failing: 1, replays: 2, unreadable: [] };
    expect(delivery.status()).toMatchObject(failing);
    expect(new WebhookDelivery(sql, world.ports, () => EVERYTHING).status()).toMatchObject(failing);
    answers.post = async () => SENT;
    vi.setSystemTime(Date.now() + LONG_MS);
    await settle(delivery);
    expect(sent.filter((place) => place.endsWith('3'))).toEqual(['context 0 3']);
    expect(delivery.status()).toMatchObject({ failing: 0, replays: 0, unreadable: [] });
  });
});

it('goes on with others while those that failed before cannot be read: that says nothing of the receiver', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  await withSql('webhook failed and unreadable', async (sql) => {
    const failing = 8;
    const { world, sent, answers, delivery } = await settled(sql, 1, failing + 1);
    answers.post = async () => FAILED;
    for (let index = 0; index < failing; index++) world.happen(index, 1);
    delivery.wake();
    await settle(delivery);
    expect(delivery.status().failing).toBe(failing);
    for (let index = 0; index < failing; index++) world.damage.set(`context ${index}`, 'lasting');
    answers.post = async () => SENT;
    vi.setSystemTime(Date.now() + LONG_MS);
    await settle(delivery);
    expect(delivery.status().unreadable).toHaveLength(failing);
    sent.length = 0;
    world.happen(failing, 1);
    delivery.wake();
    await settle(delivery);
    expect(sent).toEqual([`context ${failing} 1`]);
  });
});

it('passes over nothing that happens while it reads what its owner may not', async () => {
  await withSql('webhook note while reading', async (sql) => {
    const world = new World();
    world.types = ['wanted', 'unwanted'];
    const last = CONTEXTS - 1;
    const events: DeliveryPorts['events'] = async (...asked) => {
      if (world.wasUnshared) return world.ports.events(...asked);
      world.isShared = false;
      world.wasUnshared = true;
      const read = await world.ports.events(...asked);
      world.isShared = true;
      world.happen(last, 1);
      delivery.wake();
      await vi.waitFor(() => expect(delivery.lanes.behind.get(`context ${last}`)?.until).toBe(2));
      return read;
    };
    const delivery = new WebhookDelivery(sql, { ...world.ports, events }, () => EVERYTHING);
    world.happen(last, 1);
    await settle(delivery);
    expect(world.received[last]).toBe(2);
  });
});
