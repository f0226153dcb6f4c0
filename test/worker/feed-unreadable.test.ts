import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it, vi } from 'vitest';
import { type Envelope, envelopeSchema } from '../../events/envelope.ts';
import { as, keyHolder } from '../support/actors.ts';
import { objectOf } from '../support/rest.ts';

/** Two contexts, of which the first is there no more: its events stand before those of the second. */
async function oneOfTwoIsLost(): Promise<{ readonly key: string; readonly lost: string; readonly other: string }> {
  const { key } = await keyHolder();
  const lost = await create(key, { name: 'Lost' });
  await shown(key, lost);
  const other = await create(key, { name: 'Other' });
  await shown(key, other);
  await runInDurableObject(objectOf(lost), (_object, { storage }) => storage.sql.exec('DROP TABLE events'));
  return { key, lost, other };
}

async function create(key: string, json: object): Promise<string> {
  const response = await as(key, '/v1/contexts', { method: 'POST', json });
  const { id }: { id: string } = await response.json();
  return id;
}

/** Waits until the feed has the first event of a context. */
async function shown(key: string, id: string): Promise<void> {
  await objectOf(id).flushOutbox();
  await vi.waitFor(async () => {
    const response = await as(key, `/v1/events?context=${id}`);
    expect((await response.text()).length).toBeGreaterThan(2);
  }, 15_000);
}

const streams = (events: readonly Envelope[]) => events.map(({ stream }) => stream);

describe('a feed in which events cannot be read', { timeout: 60_000 }, () => {
  it('says which, and where it goes on after them', async () => {
    const { key, lost, other } = await oneOfTwoIsLost();
    const response = await as(key, '/v1/events');
    expect(response.status).toBe(503);
    const { type, detail }: { type: string; detail: string } = await response.json();
    expect(type).toMatch(/history-unavailable$/);
    expect(detail).toContain(`context/${lost}`);
    const offset = /offset=(\S+?)\.$/.exec(detail)?.[1];
    const rest = await as(key, `/v1/events?offset=${offset}`);
    expect(rest.status).toBe(200);
    expect(new Set(streams(envelopeSchema.array().parse(await rest.json())))).toEqual(new Set([`context/${other}`]));
  });

  it('breaks off as NDJSON, so that nobody takes it for whole', async () => {
    const { key } = await oneOfTwoIsLost();
    const response = await as(key, '/v1/events', { headers: { Accept: 'application/x-ndjson' } });
    await expect(response.text()).rejects.toThrow();
  });

  it('tells those who follow, and goes on', async () => {
    const { key, lost, other } = await oneOfTwoIsLost();
    const response = await as(key, '/v1/events', { headers: { Accept: 'text/event-stream' } });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (reader && !text.includes(other)) {
      const { value, done } = await reader.read();
      if (done) break;
      text += value;
    }
    await reader?.cancel();
    expect(text.match(/event: unreadable\ndata: (.*)/)?.[1]).toContain(`"stream":"context/${lost}","first":1,"last":1`);
    expect(text.indexOf('event: unreadable')).toBeLessThan(text.indexOf(other));
  });

  it('is given in parts that are bounded in bytes too', async () => {
    const { key } = await keyHolder();
    const note = 'n'.repeat(60_000);
    const ids = [];
    for (let index = 0; index < 24; index++) {
      const id = await create(key, { name: `Large ${index}`, metadata: { note } });
      // One after the other: the feed is in the order of arrival.
      await shown(key, id);
      ids.push(id);
    }
    const seen: string[] = [];
    let pages = 0;
    for (let [offset, isUpToDate] = ['-1', false]; !isUpToDate; pages++) {
      const response = await as(key, `/v1/events?offset=${offset}&limit=500&type=context_created`);
      const text = await response.text();
      expect(text.length).toBeLessThan(1_200_000);
      seen.push(...streams(envelopeSchema.array().parse(JSON.parse(text))));
      offset = response.headers.get('Stream-Next-Offset') ?? '';
      isUpToDate = response.headers.has('Stream-Up-To-Date');
    }
    expect(seen).toEqual(ids.map((id) => `context/${id}`));
    expect(pages).toBeGreaterThan(1);
  });
});
