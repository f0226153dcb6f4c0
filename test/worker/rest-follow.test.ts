import { evictDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, it } from 'vitest';
import { type Envelope, envelopeSchema, isIntact } from '../../events/envelope.ts';
import { api, createContext } from '../support/api.ts';
import { expectInvalid, objectOf, offset, patch, post, remove, restore } from '../support/rest.ts';

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

/** Server-sent events read one at a time. */
class EventReader {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = '';

  constructor(response: Response) {
    if (response.status !== 200 || !response.body) throw new Error(`no stream: ${response.status}`);
    this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The next event's fields, null at the end. Comments and blocks without data are passed over. */
  async next(): Promise<{ id: string; event: string; data: Envelope } | null> {
    for (;;) {
      const block = await this.block();
      if (block === null) return null;
      const fields = new Map(
        block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      const data = fields.get('data');
      if (data === undefined) continue;
      return {
        id: fields.get('id') ?? '',
        event: fields.get('event') ?? '',
        data: envelopeSchema.parse(JSON.parse(data)),
      };
    }
  }

  /** The next block of lines as it was sent. */
  async block(): Promise<string | null> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end >= 0) {
        const block = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        return block;
      }
      const { done, value } = await this.#reader.read();
      if (done) return null;
      this.#text += value;
    }
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

describe('history as server-sent events', () => {
  const open: EventReader[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((reader) => reader.cancel()));
  });

  async function follow(id: string, query = '', headers: Record<string, string> = {}): Promise<EventReader> {
    const reader = new EventReader(await events(id, query, { Accept: 'text/event-stream', ...headers }));
    open.push(reader);
    return reader;
  }

  it('begins with all that has happened and goes on as changes are made', async () => {
    const id = await contextWith(2);
    const reader = await follow(id);
    expect(await reader.next()).toMatchObject({ id: offset(id, 1), event: 'context_created', data: { version: 1 } });
    expect(await reader.next()).toMatchObject({ id: offset(id, 2), event: 'context_updated', data: { version: 2 } });
    for (let version = 3; version <= 6; version++) {
      await patch(id, { metadata: { version } });
      const next = await reader.next();
      expect(next).toMatchObject({ id: offset(id, version), data: { version, data: { metadata: { version } } } });
      expect(next && isIntact(next.data)).toBe(true);
    }
  });

  it('says how soon to come back, and that nobody may cache it', async () => {
    const { id } = await createContext();
    const response = await events(id, '', { Accept: 'text/event-stream' });
    expect(response.headers.get('Stream-Next-Offset')).toBe(offset(id, 0));
    expect(response.headers.get('Content-Type')).toBe('text/event-stream');
    expect(response.headers.get('Cache-Control')).toBe('no-store');
    const reader = new EventReader(response);
    open.push(reader);
    expect(await reader.block()).toBe(`retry: 2000\nid: ${offset(id, 0)}`);
  });

  it('resumes after Last-Event-ID, which goes before offset, with no gap and no repeat', async () => {
    const id = await contextWith(2);
    const first = await follow(id);
    const seen = [await first.next(), await first.next()];
    await first.cancel();
    await patch(id, { name: 'Missed' });
    const second = await follow(id, '?offset=-1', { 'Last-Event-ID': seen[1]?.id ?? '' });
    expect(await second.next()).toMatchObject({ id: offset(id, 3), data: { version: 3 } });
    await patch(id, { name: 'Live' });
    expect(await second.next()).toMatchObject({ id: offset(id, 4), data: { version: 4 } });
  });

  it('begins at "now" when it is asked to', async () => {
    const id = await contextWith(3);
    const reader = await follow(id, '?offset=now');
    await patch(id, { name: 'New' });
    expect(await reader.next()).toMatchObject({ data: { version: 4 } });
  });

  // An EventSource that loses the connection before the first event comes back without a Last-Event-ID: what happened
  // in between is lost. A block of only `id` sets it without dispatching anything (WHATWG HTML, section 9.2.6).
  it('tells where "now" was before anything happens', async () => {
    const id = await contextWith(3);
    const reader = await follow(id, '?offset=now');
    const blocks = [
      await reader.block(),
      await Promise.race([reader.block(), patch(id, { name: 'x' }).then(() => '')]),
    ];
    expect(blocks.join('\n')).toContain(`id: ${offset(id, 3)}`);
  });

  it('goes on when its object was evicted', async () => {
    const id = await contextWith(1);
    const reader = await follow(id);
    expect(await reader.next()).toMatchObject({ data: { version: 1 } });
    await evictDurableObject(objectOf(id));
    await patch(id, { name: 'After' });
    expect(await reader.next()).toMatchObject({ data: { version: 2 } });
  });

  it('reaches every reader', async () => {
    const id = await contextWith(1);
    const readers = await Promise.all(Array.from({ length: 10 }, () => follow(id, '?offset=now')));
    await patch(id, { name: 'To all' });
    for (const reader of readers) expect(await reader.next()).toMatchObject({ data: { version: 2 } });
  });

  it('keeps line breaks of a text out of its frames', async () => {
    const { id } = await createContext({ description: 'a\n\ndata: x\r\n\u2028' });
    expect((await (await follow(id)).next())?.data.data).toMatchObject({ description: 'a\n\ndata: x\r\n\u2028' });
  });

  it('ends with the deletion, and 204 tells an EventSource not to come back', async () => {
    const id = await contextWith(1);
    const reader = await follow(id);
    await reader.next();
    await remove(id);
    const last = await reader.next();
    expect(last).toMatchObject({ event: 'context_deleted', data: { version: 2 } });
    expect(await reader.next()).toBeNull();
    const again = await events(id, '', { Accept: 'text/event-stream', 'Last-Event-ID': last?.id ?? '' });
    expect(again.status).toBe(204);
    expect(again.headers.get('X-Request-Id')).toMatch(/^\S+$/);
    expect(await again.text()).toBe('');
  });

  it('of a deleted context gives what was missed and ends', async () => {
    const id = await contextWith(2);
    await remove(id);
    const reader = await follow(id, '', { 'Last-Event-ID': offset(id, 1) });
    expect(await reader.next()).toMatchObject({ data: { version: 2 } });
    expect(await reader.next()).toMatchObject({ data: { version: 3 } });
    expect(await reader.next()).toBeNull();
  });

  it('works again after the context was restored', async () => {
    const id = await contextWith(1);
    await remove(id);
    await restore(id);
    const reader = await follow(id, '', { 'Last-Event-ID': offset(id, 2) });
    expect(await reader.next()).toMatchObject({ event: 'context_restored', data: { version: 3 } });
  });

  it.each(['x', '1', '-2', '9'.repeat(16)])('Last-Event-ID %s is 400 and named', async (value) => {
    const { id } = await createContext();
    const response = await events(id, '', { Accept: 'text/event-stream', 'Last-Event-ID': value });
    await expectInvalid(response, 'Last-Event-ID', 'must be -1, now, or an offset that was given out here');
  });

  it('Last-Event-ID of another context is 400 and says what to do', async () => {
    const [id, other] = [await contextWith(2), await contextWith(2)];
    const first = await (await follow(other)).next();
    const response = await events(id, '', { Accept: 'text/event-stream', 'Last-Event-ID': first?.id ?? '' });
    await expectInvalid(
      response,
      'Last-Event-ID',
      'is an offset of another stream; take one that this stream gave out, or begin anew with -1',
    );
  });

  it('Last-Event-ID has no meaning in the other forms', async () => {
    const { id } = await createContext();
    for (const Accept of ['application/json', 'application/x-ndjson']) {
      const response = await events(id, '', { Accept, 'Last-Event-ID': 'x' });
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    }
  });

  it('a reader that goes away stops nobody', async () => {
    const id = await contextWith(1);
    const [gone, stays] = [await follow(id), await follow(id)];
    await gone.next();
    await stays.next();
    await gone.cancel();
    for (let version = 2; version <= 5; version++) {
      await patch(id, { metadata: { version } });
      expect(await stays.next()).toMatchObject({ data: { version } });
    }
    expect((await post('{"name":"x"}')).status).toBe(201);
  });
});
