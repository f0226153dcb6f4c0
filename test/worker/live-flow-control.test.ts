import { afterEach, describe, expect, it, vi } from 'vitest';
import { api, createContext } from '../support/api.ts';
import {
  attachments,
  bigPatch,
  change,
  holdTimers,
  pass,
  untilTrue,
  upTo,
  type Watcher,
  watch,
} from '../support/live.ts';

/** Characters that may be unconfirmed, and the largest single frame that may go beyond: docs/protocol.md. */
const WINDOW_CHARS = 1024 * 1024;
const EVENT_CHARS = 60_000;
/** Events that fill the window and more. */
const FLOOD = 30;
/** Milliseconds that a subscriber has to close its socket itself. */
const CLOSE_MS = 1_000;
/** Milliseconds that a stalled subscriber has. */
const STALL_MS = 20_000;

async function flood(id: string, first = 2, last = FLOOD + 1): Promise<void> {
  for (let version = first; version <= last; version++) await change(id, bigPatch(version, EVENT_CHARS));
}

/** Waits for what fits the window; the flood is over by now, so the rest of it is being held back. */
async function isStalled(watcher: Watcher): Promise<void> {
  await untilTrue(() => watcher.chars > WINDOW_CHARS);
  expect(watcher.versions.at(-1)).toBeLessThan(FLOOD);
}

afterEach(() => {
  vi.useRealTimers();
});

describe('a subscriber that does not confirm', () => {
  it('is sent one window and no more, and is asked to confirm four times on the way', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    await flood(id);
    await watcher.ping();
    const syncs = watcher.frames.filter((frame) => frame.type === 'sync');
    expect(watcher.chars).toBeGreaterThan(WINDOW_CHARS);
    expect(watcher.chars).toBeLessThan(WINDOW_CHARS + 2 * EVENT_CHARS);
    expect(syncs.length).toBeGreaterThanOrEqual(3);
    // `sent` is what a client can count itself: the characters of all frames before it.
    for (const sync of syncs) {
      const before = watcher.texts.slice(0, watcher.texts.indexOf(JSON.stringify(sync)));
      expect(sync.sent).toBe(before.reduce((sum, text) => sum + text.length, 0));
    }
  });

  it('gets the rest in order once it confirms, and then what is new', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    await flood(id);
    await watcher.ping();
    expect(watcher.versions.at(-1)).toBeLessThan(FLOOD);
    watcher.confirm();
    await watcher.untilVersion(FLOOD + 1);
    await change(id, { name: 'And on' });
    await watcher.untilVersion(FLOOD + 2);
    expect(watcher.versions).toEqual(upTo(FLOOD + 2, 2));
    expect(watcher.closed).toBeNull();
  });

  it('delays neither the writer nor the others', async () => {
    const { id } = await createContext();
    const stalled = await watch(id);
    const good = await watch(id);
    good.confirm();
    await flood(id);
    await good.untilVersion(FLOOD + 1);
    expect(good.versions).toEqual(upTo(FLOOD + 1, 2));
    expect(stalled.versions.at(-1)).toBeLessThan(FLOOD);
  });

  it('is closed with 4408 when it stays silent for 20 s, not a moment earlier, and can resume', async () => {
    const { id } = await createContext();
    holdTimers();
    const watcher = await watch(id);
    const good = await watch(id);
    good.confirm();
    await flood(id);
    await isStalled(watcher);
    await pass(id, STALL_MS - 1);
    await change(id, { name: 'Still there' });
    expect(watcher.closed).toBeNull();
    await pass(id, 1);
    await untilTrue(() => watcher.frames.at(-1)?.type === 'close');
    await pass(id, CLOSE_MS);
    await untilTrue(() => watcher.closed !== null);
    expect(watcher.closed).toMatchObject({ code: 4408, reason: expect.stringContaining('sync') });
    expect(good.closed).toBeNull();
    vi.useRealTimers();
    const last = watcher.versions.at(-1) ?? 0;
    const resumed = await watch(id, `?after=${last}`);
    resumed.confirm();
    await resumed.untilVersion(FLOOD + 2);
    expect(resumed.versions).toEqual(upTo(FLOOD + 2, last + 1));
  });

  it('has its 20 s anew each time it was stalled and confirmed', async () => {
    const { id } = await createContext();
    holdTimers();
    const watcher = await watch(id);
    await flood(id);
    await isStalled(watcher);
    await pass(id, STALL_MS - 1);
    const [sync] = watcher.frames.filter((frame) => frame.type === 'sync').slice(-1);
    watcher.socket.send(JSON.stringify(sync));
    await untilTrue(() => watcher.versions.at(-1) === FLOOD + 1);
    await pass(id, STALL_MS);
    await change(id, { name: 'Still there' });
    await untilTrue(() => watcher.versions.at(-1) === FLOOD + 2);
    expect(watcher.closed).toBeNull();
  });

  it('still gets the deletion and 4410 after all it had missed', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    await flood(id);
    await api(`/v1/contexts/${id}`, { method: 'DELETE' });
    await watcher.ping();
    expect(watcher.closed).toBeNull();
    watcher.confirm();
    expect(await watcher.untilClosed()).toMatchObject({ code: 4410 });
    expect(watcher.versions).toEqual(upTo(FLOOD + 2, 2));
  });
});

describe('a confirmation', () => {
  it.each([
    '{"type":"sync","sent":0}',
    '{"type":"sync","sent":-9007199254740991}',
    '{"type":"sync","sent":9007199254740991}',
    '{"type":"sync","sent":1,"version":"odd","more":[]}',
  ])('with an absurd number does no harm: %s', async (message) => {
    const { id } = await createContext();
    const watcher = await watch(id);
    await watcher.until('hello');
    watcher.socket.send(message);
    await change(id, { name: 'Next' });
    await watcher.untilVersion(2);
    expect(watcher.closed).toBeNull();
    for (const { sentChars, confirmedChars } of await attachments(id)) {
      expect(confirmedChars).toBeGreaterThanOrEqual(0);
      expect(confirmedChars).toBeLessThanOrEqual(sentChars);
    }
  });

  it('of more than was sent does not open the window for what comes later', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    await watcher.until('hello');
    watcher.socket.send('{"type":"sync","sent":9007199254740991}');
    await flood(id);
    await watcher.ping();
    expect(watcher.chars).toBeLessThan(WINDOW_CHARS + 2 * EVENT_CHARS);
  });

  it('that is older than the last one takes nothing back', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    watcher.confirm();
    await flood(id, 2, 12);
    await watcher.untilVersion(12);
    const [first] = watcher.frames.filter((frame) => frame.type === 'sync');
    watcher.socket.send(JSON.stringify(first));
    await flood(id, 13, 25);
    await watcher.untilVersion(25);
    expect(watcher.versions).toEqual(upTo(25, 2));
  });
});
