import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Snapshots } from '../../actors/snapshots.ts';
import { api, createContext } from '../support/api.ts';
import {
  attachments,
  bigPatch,
  change,
  contextWith,
  holdTimers,
  objectOf,
  untilTrue,
  upTo,
  watch,
} from '../support/live.ts';

/** Puts the object to sleep as the platform does with an idle one: its memory is gone, its sockets stay. */
const hibernate = (id: string) => evictDurableObject(objectOf(id), { webSockets: 'hibernate' });

/** Waits until nothing is left to do for an object, nor to come back to it for, and takes its alarm away. */
async function isAtRest(id: string): Promise<void> {
  await vi.waitFor(async () => expect(await objectOf(id).flushOutbox()).toBe(true));
  await runInDurableObject(objectOf(id), (_object, { storage }) => storage.deleteAlarm());
}

afterEach(() => {
  vi.useRealTimers();
});

describe('while the object sleeps', () => {
  it('a "ping" is answered without waking it', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    await watcher.until('hello');
    await isAtRest(id);
    await hibernate(id);
    const read = vi.spyOn(Snapshots.prototype, 'at');
    // Other objects come and go as they like.
    const constructed = () => read.mock.results.filter(({ value }) => JSON.stringify(value).includes(id));
    await watcher.ping();
    await watcher.ping();
    expect(constructed()).toEqual([]);
    // The same spy sees the next thing that does wake it.
    await change(id, { name: 'Awake' });
    expect(constructed()).toHaveLength(1);
    read.mockRestore();
    await watcher.untilVersion(2);
  });

  it('its sockets stay, and get the next event: none is lost, none comes twice', async () => {
    const id = await contextWith(3);
    const watchers = await Promise.all([watch(id, '?after=0'), watch(id, '?after=2'), watch(id)]);
    for (let version = 4; version <= 8; version++) {
      await hibernate(id);
      await change(id, { name: `Name ${version}` });
    }
    await Promise.all(watchers.map((watcher) => watcher.untilVersion(8)));
    expect(watchers.map((watcher) => watcher.versions)).toEqual([upTo(8), upTo(8, 3), upTo(8, 4)]);
    expect(watchers.map((watcher) => watcher.frames.filter(({ type }) => type === 'hello').length)).toEqual([1, 1, 1]);
  });

  it('a subscriber that closes is gone when it wakes', async () => {
    const { id } = await createContext();
    const [leaving, staying] = await Promise.all([watch(id), watch(id)]);
    await Promise.all([leaving.until('hello'), staying.until('hello')]);
    await hibernate(id);
    leaving.socket.close(1000);
    await leaving.untilClosed();
    await change(id, { name: 'Awake' });
    await staying.untilVersion(2);
    await vi.waitFor(async () => expect(await attachments(id)).toHaveLength(1));
  });

  it('a message that has no meaning wakes it and is refused with 1008', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    await watcher.until('hello');
    await hibernate(id);
    watcher.socket.send('hello?');
    expect(await watcher.untilClosed()).toMatchObject({ code: 1008 });
  });

  it('a deletion wakes it, and every socket is closed with 4410 after the event', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    await watcher.until('hello');
    await hibernate(id);
    await api(`/v1/contexts/${id}`, { method: 'DELETE' });
    expect(await watcher.untilClosed()).toMatchObject({ code: 4410 });
    expect(watcher.versions).toEqual([2]);
  });
});

describe('a stalled subscriber', () => {
  it('goes on where it stood when it confirms after the object has slept', async () => {
    const { id } = await createContext();
    // A timer that runs keeps the object awake: this one, which will close the subscriber, must stand still.
    holdTimers();
    const watcher = await watch(id);
    for (let version = 2; version <= 30; version++) await change(id, bigPatch(version, 60_000));
    await untilTrue(() => watcher.chars > 1024 * 1024);
    expect(watcher.versions.at(-1)).toBeLessThan(25);
    await hibernate(id);
    await change(id, { name: 'Written while it was stalled' });
    await hibernate(id);
    watcher.confirm();
    await untilTrue(() => watcher.versions.at(-1) === 31);
    expect(watcher.versions).toEqual(upTo(31, 2));
  });
});

describe('a subscriber of an object that sleeps after every event', () => {
  it('is asked to confirm all the same, so that one that reads nothing is found out', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    for (let version = 2; version <= 8; version++) {
      await change(id, bigPatch(version, 60_000));
      await watcher.untilVersion(version);
      await hibernate(id);
    }
    await watcher.ping();
    expect(watcher.chars).toBeGreaterThan(400_000);
    expect(watcher.frames.filter((frame) => frame.type === 'sync')).not.toHaveLength(0);
  });
});

describe('after the object was lost with its sockets', () => {
  it('a subscriber that resumes misses nothing', async () => {
    const { id } = await createContext();
    const first = await watch(id, '?after=0');
    await first.untilVersion(1);
    await evictDurableObject(objectOf(id), { webSockets: 'close' });
    await first.untilClosed();
    await change(id, { name: 'Meanwhile' });
    const second = await watch(id, '?after=1');
    await second.untilVersion(2);
    expect(second.versions).toEqual([2]);
    await runInDurableObject(objectOf(id), (_object, state) => expect(state.getWebSockets()).toHaveLength(1));
  });
});
