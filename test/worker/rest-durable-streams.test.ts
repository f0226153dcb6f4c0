import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { envelopeSchema } from '../../events/envelope.ts';
import { nextCursor } from '../../src/live/stream-cursor.ts';
import { as, keyHolder } from '../support/actors.ts';
import { api, createContext } from '../support/api.ts';
import { attachments } from '../support/live.ts';
import { expectInvalid, expectProblem, offset, patch, remove, restore } from '../support/rest.ts';

/** Asks for the history of a context. @param query what follows the path, question mark included */
function events(id: string, query = '', init: RequestInit = {}): Promise<Response> {
  return api(`/v1/contexts/${id}/events${query}`, init);
}

async function contextWith(versions: number): Promise<string> {
  const { id } = await createContext();
  for (let version = 2; version <= versions; version++) await patch(id, { metadata: { version } });
  return id;
}

/** The versions of the events in an answer. */
async function versionsOf(response: Response): Promise<number[]> {
  return envelopeSchema
    .array()
    .parse(await response.json())
    .map(({ version }) => version);
}

describe('a page that caches may keep', () => {
  it('is one that has more behind it, and they have to ask for every caller', async () => {
    const id = await contextWith(3);
    const closed = await events(id, '?offset=-1&limit=2');
    expect(closed.headers.get('Cache-Control')).toBe('public, no-cache');
    expect(closed.headers.get('Vary')).toContain('Authorization');
    expect(closed.headers.get('ETag')).toBe(`"${id}:0:2"`);
    expect(closed.headers.get('Stream-Up-To-Date')).toBeNull();
    const last = await events(id, `?offset=${offset(id, 2)}`);
    expect(last.headers.get('Cache-Control')).toBe('private, no-cache');
    expect((await events(id, '?offset=now')).headers.get('Cache-Control')).toBe('no-store');
    expect((await events(id, '?offset=now')).headers.get('ETag')).toBeNull();
  });

  it('is not sent again to whoever has it, and is to whoever has another', async () => {
    const id = await contextWith(3);
    const tag = (await events(id, '?limit=2')).headers.get('ETag') ?? '';
    const again = await events(id, '?limit=2', { headers: { 'If-None-Match': tag } });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe('');
    expect(again.headers.get('Stream-Next-Offset')).toBe(offset(id, 2));
    expect(await versionsOf(await events(id, '?limit=1', { headers: { 'If-None-Match': tag } }))).toEqual([1]);
    await expectInvalid(
      await events(id, '', { headers: { 'If-None-Match': 'x' } }),
      'If-None-Match',
      'must be "*" or entity tags as they stand in ETag, quotes included, such as "3"',
    );
  });

  it('is no 304 to those who may not read it, whatever they have of it', async () => {
    const id = await contextWith(3);
    const tag = (await events(id, '?limit=2')).headers.get('ETag') ?? '';
    const { key } = await keyHolder();
    const headers = { 'If-None-Match': tag };
    await expectProblem(await as(key, `/v1/contexts/${id}/events?limit=2`, { headers }), 404, 'not-found');
  });

  it('has another tag when the context was deleted, so that nobody misses it', async () => {
    const id = await contextWith(2);
    await remove(id);
    const closed = await events(id);
    expect(closed.headers.get('Stream-Closed')).toBe('true');
    expect(closed.headers.get('ETag')).toBe(`"${id}:0:3:c"`);
    await restore(id);
    const headers = { 'If-None-Match': closed.headers.get('ETag') ?? '' };
    expect((await events(id, '', { headers })).status).toBe(200);
  });
});

describe('HEAD', () => {
  it('tells where the history ends, whichever page is asked about', async () => {
    const id = await contextWith(3);
    const head = await events(id, '?limit=1', { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(head.headers.get('Content-Type')).toBe('application/json');
    expect(head.headers.get('Stream-Next-Offset')).toBe(offset(id, 3));
    expect(head.headers.get('Cache-Control')).toBe('no-store');
    expect((await events(id, `?offset=${offset(id, 9)}`, { method: 'HEAD' })).status).toBe(400);
    await remove(id);
    expect((await events(id, '', { method: 'HEAD' })).headers.get('Stream-Closed')).toBe('true');
  });
});

describe('live=long-poll', () => {
  it('answers at once what there is, and what comes when it comes', async () => {
    const id = await contextWith(2);
    expect(await versionsOf(await events(id, '?offset=-1&live=long-poll'))).toEqual([1, 2]);
    const waiting = events(id, `?offset=${offset(id, 2)}&live=long-poll`);
    await patch(id, { name: 'Next' });
    const response = await waiting;
    expect(response.headers.get('Stream-Next-Offset')).toBe(offset(id, 3));
    expect(response.headers.get('Stream-Up-To-Date')).toBe('true');
    expect(response.headers.get('Stream-Cursor')).toMatch(/^\d+$/);
    expect(response.headers.get('Cache-Control')).toBe('no-store');
    expect(await versionsOf(response)).toEqual([3]);
  });

  it('answers 204 when nothing comes in time, and at once when nothing will', async () => {
    const id = await contextWith(1);
    const nothing = await events(id, '?offset=now&live=long-poll&timeout=0');
    expect(nothing.status).toBe(204);
    expect(nothing.headers.get('Stream-Next-Offset')).toBe(offset(id, 1));
    expect(nothing.headers.get('Stream-Up-To-Date')).toBe('true');
    expect((await events(id, '?offset=now&live=long-poll&timeout=1')).status).toBe(204);
    await remove(id);
    const closed = await events(id, '?offset=now&live=long-poll');
    expect(closed.status).toBe(204);
    expect(closed.headers.get('Stream-Closed')).toBe('true');
  });

  it('ends when the credential does', async () => {
    const { key, keyId } = await keyHolder();
    const { id }: { id: string } = await (
      await as(key, '/v1/contexts', { method: 'POST', json: { name: 'Mine' } })
    ).json();
    const waiting = as(key, `/v1/contexts/${id}/events?offset=now&live=long-poll`);
    await vi.waitFor(async () => expect(await attachments(id)).toHaveLength(1));
    await env.CONTEXTS.get(env.CONTEXTS.idFromName(id)).endSubscriptions({ credentials: [keyId] });
    await expectProblem(await waiting, 401, 'unauthorized');
  });
});

describe('live=sse', () => {
  it('sends arrays of events, each followed by where it ends', async () => {
    const id = await contextWith(2);
    await remove(id);
    const response = await events(id, '?offset=-1&live=sse');
    expect(response.headers.get('Content-Type')).toBe('text/event-stream');
    const blocks = (await response.text()).trimEnd().split('\n\n');
    expect(blocks.map((block) => block.split('\n')[0])).toEqual([
      ...Array(3).fill(['event: data', 'event: control']).flat(),
      'event: control',
    ]);
    const controls = blocks
      .filter((block) => block.startsWith('event: control'))
      .map((block): unknown => JSON.parse(block.slice('event: control\ndata:'.length)));
    const streamCursor = expect.stringMatching(/^\d+$/);
    expect(controls).toEqual([
      { streamNextOffset: offset(id, 1), streamCursor },
      { streamNextOffset: offset(id, 2), streamCursor },
      { streamNextOffset: offset(id, 3), streamCursor, upToDate: true },
      { streamNextOffset: offset(id, 3), upToDate: true, streamClosed: true },
    ]);
  });

  it('says only that it has ended to whoever has everything of a deleted context', async () => {
    const id = await contextWith(1);
    await remove(id);
    const response = await events(id, '?offset=now&live=sse');
    const control = JSON.stringify({ streamNextOffset: offset(id, 2), upToDate: true, streamClosed: true });
    expect(await response.text()).toBe(`event: control\ndata:${control}\n\n`);
  });
});

describe('what live does not take', () => {
  it.each([
    ['?live=long-poll', 'offset', 'must be given with live'],
    ['?live=sse', 'offset', 'must be given with live'],
    ['?offset=-1&live=x', 'live', 'must be long-poll or sse'],
    ['?offset=-1&live=', 'live', 'must be long-poll or sse'],
    ['?offset=-1&live=sse&cursor=x', 'cursor', 'must be a Stream-Cursor'],
    ['?offset=-1&live=long-poll&timeout=61', 'timeout', 'must be a whole number from 0 to 60'],
    ['?offset=-1&live=long-poll&at=1', 'at', 'is for what ends: a stream that goes on does not end in the past'],
  ])('%s', async (query, pointer, message) => {
    await expectInvalid(await events(await contextWith(1), query), pointer, message);
  });

  it('offsets of the future, offsets of another stream, and contexts of others', async () => {
    const [id, other] = [await contextWith(1), await contextWith(2)];
    const given = (await events(other, '?limit=1')).headers.get('Stream-Next-Offset');
    for (const live of ['long-poll', 'sse']) {
      await expectInvalid(
        await events(id, `?offset=${given}&live=${live}`),
        'offset',
        'is an offset of another stream; take one that this stream gave out, or begin anew with -1',
      );
      await expectProblem(await events(id, `?offset=${offset(id, 2)}&live=${live}`), 400, 'ahead-of-stream');
      const { key } = await keyHolder();
      for (const offset of ['-1', given]) {
        const response = await as(key, `/v1/contexts/${id}/events?offset=${offset}&live=${live}`);
        await expectProblem(response, 404, 'not-found');
      }
    }
  });
});

describe('a cursor', () => {
  it('is the interval of 20 s, and always beyond the one that the caller had', () => {
    const now = Date.UTC(2024, 9, 9, 1);
    expect(nextCursor(undefined, now)).toBe('180');
    expect(nextCursor('179', now)).toBe('180');
    for (const given of [180, 200, 1_000]) {
      const next = Number(nextCursor(String(given), now));
      expect(next).toBeGreaterThan(given);
      expect(next).toBeLessThanOrEqual(given + 180);
    }
  });
});
