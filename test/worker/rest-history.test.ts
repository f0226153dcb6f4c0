import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { type Envelope, envelopeSchema, isIntact } from '../../events/envelope.ts';
import { api, createContext } from '../support/api.ts';
import {
  derivedId,
  expectInvalid,
  expectProblem,
  feedOffset,
  history,
  historyText,
  offset,
  patch,
  remove,
  restore,
} from '../support/rest.ts';

const OFFSET = 'must be -1, now, or an offset that was given out here';
const FOREIGN = 'is an offset of another stream; take one that this stream gave out, or begin anew with -1';
const page = z.array(envelopeSchema);

/** A context with `versions` versions. */
async function contextWith(versions: number): Promise<string> {
  const { id } = await createContext();
  for (let version = 2; version <= versions; version++) await patch(id, { metadata: { version } });
  return id;
}

/** Asks for the history of a context. @param query what follows the path, question mark included */
function events(id: string, query = '', headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${id}/events${query}`, { headers });
}

function versionsOf(history: readonly Envelope[]): number[] {
  return history.map((event) => event.version);
}

describe('history in pages', () => {
  it('is a JSON array of intact events, oldest first, with where to go on', async () => {
    const id = await contextWith(3);
    const response = await events(id);
    expect(response.status).toBe(200);
    expect(response.headers.get('Content-Type')).toBe('application/json');
    expect(response.headers.get('Stream-Next-Offset')).toBe(offset(id, 3));
    expect(response.headers.get('Stream-Up-To-Date')).toBe('true');
    expect(response.headers.get('Stream-Closed')).toBeNull();
    const all = page.parse(await response.json());
    expect(versionsOf(all)).toEqual([1, 2, 3]);
    expect(all.every(isIntact)).toBe(true);
  });

  it('can be read to the end page by page, with no gap and no repeat', async () => {
    const id = await contextWith(7);
    const seen: number[] = [];
    let next = '-1';
    for (let upToDate = false; !upToDate; ) {
      const response = await events(id, `?limit=3&offset=${next}`);
      const events_ = page.parse(await response.json());
      expect(events_.length).toBeLessThanOrEqual(3);
      seen.push(...versionsOf(events_));
      next = response.headers.get('Stream-Next-Offset') ?? '';
      upToDate = response.headers.get('Stream-Up-To-Date') === 'true';
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const after = await events(id, `?offset=${next}`);
    expect(await after.json()).toEqual([]);
    expect(after.headers.get('Stream-Next-Offset')).toBe(next);
    expect(after.headers.get('Stream-Up-To-Date')).toBe('true');
  });

  it('has 100 events in a page unless another limit is asked for, and its offsets sort as texts', async () => {
    const id = await contextWith(101);
    const first = await events(id);
    expect(page.parse(await first.json())).toHaveLength(100);
    expect(first.headers.get('Stream-Up-To-Date')).toBeNull();
    const next = first.headers.get('Stream-Next-Offset') ?? '';
    expect(next > offset(id, 9)).toBe(true);
    expect(versionsOf(page.parse(await (await events(id, `?offset=${next}`)).json()))).toEqual([101]);
    expect(page.parse(await (await events(id, '?limit=1000')).json())).toHaveLength(101);
  });

  it('"now" is the end: nothing yet, and the offset that the next event comes after', async () => {
    const id = await contextWith(2);
    const now = await events(id, '?offset=now');
    expect(await now.json()).toEqual([]);
    expect(now.headers.get('Stream-Next-Offset')).toBe(offset(id, 2));
    await patch(id, { name: 'New' });
    const response = await events(id, `?offset=${now.headers.get('Stream-Next-Offset')}`);
    expect(versionsOf(page.parse(await response.json()))).toEqual([3]);
  });

  it('never cuts an event: pages of large events are shorter than their limit', async () => {
    const { id } = await createContext({ metadata: { x: 'x'.repeat(60_000) } });
    for (let round = 0; round < 9; round++) await patch(id, { metadata: { x: String(round).repeat(60_000) } });
    const response = await events(id, '?limit=1000');
    const first = page.parse(await response.json());
    expect(first.length).toBeLessThan(10);
    expect(response.headers.get('Stream-Next-Offset')).toBe(offset(id, first.length));
    expect(response.headers.get('Stream-Up-To-Date')).toBeNull();
  });

  it('of a deleted context is readable, and closed once all was read', async () => {
    const id = await contextWith(2);
    await remove(id);
    const part = await events(id, '?limit=2');
    expect(part.headers.get('Stream-Closed')).toBeNull();
    const rest = await events(id, `?offset=${part.headers.get('Stream-Next-Offset')}`);
    expect(page.parse(await rest.json())).toMatchObject([{ version: 3, type: 'context_deleted' }]);
    expect(rest.headers.get('Stream-Closed')).toBe('true');
    await restore(id);
    expect((await events(id)).headers.get('Stream-Closed')).toBeNull();
  });

  it.each([
    '',
    '1',
    '-2',
    '0x0000000000001',
    'NOW',
    ' now',
    '00000000000000001',
    '000000000000001',
    '-000000000000001',
    '9'.repeat(16),
    '9'.repeat(5000),
    '1e00000000000000',
    '٠'.repeat(16),
    '0000000000000001',
    '0000000000000001_',
    '0000000000000001_0123456',
    '0000000000000001_0123456g',
    `${'9'.repeat(16)}_01234567`,
  ])('offset "%s" is 400 and says what it takes', async (value) => {
    const { id } = await createContext();
    for (const Accept of ['application/json', 'application/x-ndjson', 'text/event-stream']) {
      await expectInvalid(await events(id, `?offset=${encodeURIComponent(value)}`, { Accept }), 'offset', OFFSET);
    }
  });

  it('an offset of another context, of the feed or of an actor is 400, also where there is as much to read', async () => {
    const [id, other] = [await contextWith(3), await contextWith(3)];
    const given = await events(other, '?limit=1');
    expect(given.headers.get('Stream-Next-Offset')).toBe(offset(other, 1));
    for (const value of [
      offset(other, 1),
      await feedOffset(1),
      offset(`actor/${BOOTSTRAP_ACTOR}`, 1),
      offset(other, 0),
    ]) {
      for (const Accept of ['application/json', 'application/x-ndjson', 'text/event-stream']) {
        await expectInvalid(await events(id, `?offset=${value}`, { Accept }), 'offset', FOREIGN);
      }
    }
  });

  it('an offset after the end is 400 and says where the end is', async () => {
    const { id } = await createContext();
    for (const Accept of ['application/json', 'application/x-ndjson', 'text/event-stream']) {
      const response = await events(id, `?offset=${offset(id, 2)}`, { Accept });
      const { detail } = await expectProblem(response, 400, 'ahead-of-stream');
      expect(detail).toContain('There are 1 events');
    }
  });

  it.each(['', '0', '-1', '1001', '1.5', '1e2', 'all', ' 5', '9'.repeat(400)])('limit "%s" is 400', async (value) => {
    const { id } = await createContext();
    const response = await events(id, `?limit=${encodeURIComponent(value)}`);
    await expectInvalid(response, 'limit', 'must be a whole number from 1 to 1000');
  });

  it('an unknown parameter and one that comes twice are 400', async () => {
    const { id } = await createContext();
    const known =
      'is not a query parameter here; known are: offset, limit, at, live, cursor, timeout, ticket, presence';
    await expectInvalid(await events(id, '?after=1'), 'after', known);
    await expectInvalid(await events(id, '?limit=1&limit=2'), 'limit', 'must be given once');
  });

  it('of a context that is not there is 404 in every form', async () => {
    const id = derivedId('ctx', 'no history');
    for (const Accept of ['application/json', 'application/x-ndjson', 'text/event-stream']) {
      for (const query of ['', '?offset=now', `?offset=${offset(id, 5)}`, `?offset=${offset('ctx_other', 5)}`]) {
        await expectProblem(await events(id, query, { Accept }), 404, 'not-found');
      }
    }
  });
});

describe('history with ?at=', () => {
  const NDJSON = { Accept: 'application/x-ndjson' };
  const text = async (response: Response) => new TextDecoder().decode(await response.arrayBuffer());

  it('ends with the event that was the last then, in pages and as NDJSON', async () => {
    const id = await contextWith(5);
    const whole = (await historyText(id)).trimEnd().split('\n');
    const response = await events(id, '?at=3');
    expect(response.headers.get('Stream-Next-Offset')).toBe(offset(id, 3));
    expect(response.headers.get('Stream-Up-To-Date')).toBe('true');
    expect(await response.text()).toBe(`[${whole.slice(0, 3).join(',')}]`);
    expect(await text(await events(id, '?at=3', NDJSON))).toBe(`${whole.slice(0, 3).join('\n')}\n`);
  });

  it('is read page by page, and its end is where "now" was', async () => {
    const id = await contextWith(5);
    const first = await events(id, '?at=3&limit=2');
    expect(first.headers.get('Stream-Up-To-Date')).toBeNull();
    const rest = await events(id, `?at=3&limit=2&offset=${offset(id, 2)}`);
    expect(versionsOf(page.parse(await rest.json()))).toEqual([3]);
    expect(rest.headers.get('Stream-Up-To-Date')).toBe('true');
    const now = await events(id, '?at=3&offset=now');
    expect(now.headers.get('Stream-Next-Offset')).toBe(offset(id, 3));
    expect(await now.json()).toEqual([]);
  });

  it('takes a time, and after the end gives all there is', async () => {
    const id = await contextWith(3);
    const { time } = (await history(id))[2] ?? {};
    for (const at of [time, '99', '2999-01-01T00:00:00Z']) {
      expect(versionsOf(page.parse(await (await events(id, `?at=${at}`)).json()))).toEqual([1, 2, 3]);
    }
  });

  it('is closed only where the deletion is its end', async () => {
    const id = await contextWith(2);
    await remove(id);
    expect((await events(id, '?at=2')).headers.get('Stream-Closed')).toBeNull();
    expect((await events(id, '?at=3')).headers.get('Stream-Closed')).toBe('true');
  });

  it.each([
    ['?at=x', 'at', 'must be a version such as 3, or a time with its zone such as 2026-01-31T12:00:00Z'],
    ['?at=0', 'at', 'must be a whole number from 1 to 9007199254740991'],
    ['?at=1&at=2', 'at', 'must be given once'],
  ])('%s is 400', async (query, pointer, message) => {
    const { id } = await createContext();
    await expectInvalid(await events(id, query), pointer, message);
  });

  it('before the creation is 404, from an offset after its end 400, and a stream that goes on has none', async () => {
    const id = await contextWith(3);
    await expectProblem(await events(id, '?at=2001-01-01T00:00:00Z'), 404, 'before-creation');
    await expectProblem(await events(id, '?at=2001-01-01T00:00:00Z', NDJSON), 404, 'before-creation');
    await expectProblem(await events(id, `?at=2&offset=${offset(id, 3)}`), 400, 'ahead-of-stream');
    await expectInvalid(
      await events(id, '?at=2', { Accept: 'text/event-stream' }),
      'at',
      'is for what ends: a stream that goes on does not end in the past',
    );
  });
});

describe('the form of history', () => {
  it.each([
    ['*/*', 'application/json'],
    ['application/*', 'application/json'],
    ['application/json', 'application/json'],
    ['APPLICATION/X-NDJSON', 'application/x-ndjson'],
    ['application/json;q=0.5, application/x-ndjson', 'application/x-ndjson'],
    ['application/x-ndjson;q=0.5, */*;q=0.8', 'application/json'],
    ['text/html, application/x-ndjson;q=0.1', 'application/x-ndjson'],
    ['application/json;q=0, application/x-ndjson', 'application/x-ndjson'],
  ])('for Accept: %s is %s', async (Accept, mediaType) => {
    const { id } = await createContext();
    const response = await events(id, '', { Accept });
    expect(response.headers.get('Content-Type')).toBe(mediaType);
    await response.arrayBuffer();
  });

  it.each(['text/html', 'application/json;q=0', 'x', ';', ',,,', 'application/json;q=x'])(
    'for Accept: %s is 406 and says what there is',
    async (Accept) => {
      const { id } = await createContext();
      const { detail } = await expectProblem(await events(id, '', { Accept }), 406, 'not-acceptable');
      expect(detail).toBe('Accept one of application/json, application/x-ndjson, text/event-stream.');
    },
  );
});

describe('history as NDJSON', () => {
  it('is the whole of it, one intact event per line, the very bytes of the pages', async () => {
    const id = await contextWith(150);
    const response = await events(id, '', { Accept: 'application/x-ndjson' });
    expect(response.headers.get('Content-Type')).toBe('application/x-ndjson');
    expect(response.headers.get('Stream-Next-Offset')).toBe(offset(id, 150));
    const text = new TextDecoder().decode(await response.arrayBuffer());
    expect(text.endsWith('}\n')).toBe(true);
    const pages = await (await events(id, '?limit=1000')).text();
    expect(`[${text.trimEnd().split('\n').join(',')}]`).toBe(pages);
    expect((await history(id)).every(isIntact)).toBe(true);
  });

  it('begins after an offset, and is empty at the end', async () => {
    const id = await contextWith(3);
    const from = async (value: string) => {
      const response = await events(id, `?offset=${value}`, { Accept: 'application/x-ndjson' });
      return new TextDecoder().decode(await response.arrayBuffer());
    };
    const whole = await historyText(id);
    expect(await from(offset(id, 1))).toBe(whole.slice(whole.indexOf('\n') + 1));
    expect(await from(offset(id, 3))).toBe('');
    expect(await from('now')).toBe('');
  });

  it('keeps a line break in a text inside its line', async () => {
    const { id } = await createContext({ description: 'a\nb\r\n\u2028c' });
    expect(await history(id)).toMatchObject([{ data: { description: 'a\nb\r\n\u2028c' } }]);
  });

  it('of several pages of large events is complete', async () => {
    const { id } = await createContext();
    for (let round = 0; round < 12; round++) await patch(id, { metadata: { x: String(round % 10).repeat(60_000) } });
    expect(versionsOf(await history(id))).toEqual(Array.from({ length: 13 }, (_, index) => index + 1));
  });

  it('can be given up halfway without harm', async () => {
    const { id } = await createContext();
    for (let round = 0; round < 12; round++) await patch(id, { metadata: { x: String(round % 10).repeat(60_000) } });
    const response = await events(id, '', { Accept: 'application/x-ndjson' });
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    expect((await patch(id, { name: 'still works' })).status).toBe(200);
  });

  // It would be taken for a page that holds everything.
  it.each(['application/x-ndjson', 'text/event-stream'])('refuses a bad limit also for %s', async (Accept) => {
    const { id } = await createContext();
    await remove(id);
    const response = await events(id, '?limit=abc', { Accept });
    await response.clone().arrayBuffer();
    await expectInvalid(response, 'limit', 'must be a whole number from 1 to 1000');
  });
});
