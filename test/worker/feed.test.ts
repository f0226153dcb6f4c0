import { env } from 'cloudflare:workers';
import { describe, expect, inject, it, vi } from 'vitest';
import { type Envelope, envelopeSchema, isIntact } from '../../events/envelope.ts';
import { as, keyHolder } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { delegate, readDelegation } from '../support/delegations.ts';
import { configured, expectInvalid, expectProblem, feedOffset, history, objectOf } from '../support/rest.ts';

/** A page of the feed. */
interface Page {
  readonly events: Envelope[];
  readonly next: string;
  readonly isUpToDate: boolean;
}

async function page(key: string, query = ''): Promise<Page> {
  const response = await as(key, `/v1/events${query}`);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return {
    events: envelopeSchema.array().parse(JSON.parse(text)),
    next: response.headers.get('Stream-Next-Offset') ?? '',
    isUpToDate: response.headers.has('Stream-Up-To-Date'),
  };
}

/** Everything from an offset on, page by page. */
async function all(key: string, query = '', from = '-1'): Promise<Envelope[]> {
  const events: Envelope[] = [];
  for (let next = from; ; ) {
    const part = await page(key, `?offset=${next}${query}`);
    events.push(...part.events);
    if (part.isUpToDate) return events;
    next = part.next;
  }
}

/** Where the feed of a server ends that is the same as this one, but whose database was made another time. */
async function endElsewhere(key: string): Promise<string> {
  const id = await env.DB.prepare('SELECT id FROM feed_identity').first<string>('id');
  const made = inject('migrations').find(({ name }) => name.includes('feed_identity'))?.queries ?? [];
  await env.DB.batch(['DROP TABLE feed_identity', ...made].map((query) => env.DB.prepare(query)));
  // Another object: what a Worker has read of its own stays with it.
  const DB = new Proxy(env.DB, {
    get(database, name) {
      const value: unknown = Reflect.get(database, name);
      return typeof value === 'function' ? value.bind(database) : value;
    },
  });
  const response = await configured({ DB }, '/v1/events?offset=now', { headers: { 'X-API-Key': key } });
  await env.DB.prepare('UPDATE feed_identity SET id = ?').bind(id).run();
  expect(response.status).toBe(200);
  return response.headers.get('Stream-Next-Offset') ?? '';
}

async function create(key: string, name: string): Promise<string> {
  const response = await as(key, '/v1/contexts', { method: 'POST', json: { name } });
  const { id }: { id: string } = await response.json();
  return id;
}

async function rename(key: string, id: string, name: string): Promise<void> {
  expect((await as(key, `/v1/contexts/${id}`, { method: 'PATCH', json: { name } })).status).toBe(200);
}

const places = (events: readonly Envelope[]) => events.map(({ stream, version }) => `${stream} ${version}`);

/** The position in an offset. */
const positionOf = (offset: string) => Number(offset.split('_')[0]);

/** What a stream of server-sent events brings until there is a whole event. */
async function untilEvent(response: Response): Promise<string> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!/^data: .*\n\n/m.test(text)) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) throw new Error(`it ended: ${text}`);
    text += value;
  }
  await reader?.cancel();
  return text;
}

/** Waits until the feed has the events of a context up to a version. */
async function untilShown(key: string, id: string, version: number): Promise<void> {
  await objectOf(id).flushOutbox();
  await vi.waitFor(async () => expect((await all(key, `&context=${id}`)).at(-1)?.version).toBe(version), 15_000);
}

describe('the feed', { timeout: 60_000 }, () => {
  it('has the events of all contexts that the caller may read, as they were hashed and each stream in order', async () => {
    const ada = await keyHolder();
    const bea = await keyHolder();
    const mine = [await create(ada.key, 'One'), await create(ada.key, 'Two')];
    const hers = await create(bea.key, 'Hers');
    for (const name of ['a', 'b', 'c']) for (const id of mine) await rename(ada.key, id, name);
    for (const id of mine) await untilShown(ada.key, id, 4);
    await untilShown(bea.key, hers, 1);
    const events = await all(ada.key, '&limit=3');
    expect(places(events).sort()).toEqual(mine.flatMap((id) => [1, 2, 3, 4].map((v) => `context/${id} ${v}`)).sort());
    expect(events.every(isIntact)).toBe(true);
    for (const id of mine) {
      const ofOne = events.filter(({ stream }) => stream === `context/${id}`);
      expect(ofOne).toEqual(await history(id));
    }
    expect(places(await all(bea.key))).toEqual([`context/${hers} 1`]);
    expect(await all((await keyHolder()).key)).toEqual([]);
  });

  it('goes on from an offset, and from the present', async () => {
    const { key } = await keyHolder();
    const id = await create(key, 'One');
    await untilShown(key, id, 1);
    const { next, isUpToDate } = await page(key, '?offset=now');
    expect(isUpToDate).toBe(true);
    await rename(key, id, 'Two');
    await untilShown(key, id, 2);
    expect(places(await all(key, '', next))).toEqual([`context/${id} 2`]);
  });

  it('is narrowed by context, type, actor and time', async () => {
    const { key, id: actor } = await keyHolder();
    const [one, two] = [await create(key, 'One'), await create(key, 'Two')];
    await rename(key, one, 'Next');
    await untilShown(key, one, 2);
    await untilShown(key, two, 1);
    expect(places(await all(key, `&context=${two}`))).toEqual([`context/${two} 1`]);
    expect(places(await all(key, '&type=context_updated'))).toEqual([`context/${one} 2`]);
    expect(await all(key, `&actor=${actor}`)).toHaveLength(3);
    expect(await all(key, '&actor=act_system')).toEqual([]);
    expect(await all(key, '&to=2020-01-01T00:00:00Z')).toEqual([]);
    expect(await all(key, '&from=2020-01-01T00:00:00Z')).toHaveLength(3);
  });

  it('leaves out what the caller has lost, whatever the index still says, and others’ contexts to a limited key', async () => {
    const owner = await keyHolder();
    const id = await create(owner.key, 'Shared');
    const other = await create(owner.key, 'Other');
    await untilShown(owner.key, id, 1);
    await untilShown(owner.key, other, 1);
    const json = { name: 'limited', contexts: [id] };
    const issued = await api(`/v1/actors/${owner.id}/keys`, { method: 'POST', json });
    const { key }: { key: string } = await issued.json();
    expect(places(await all(key))).toEqual([`context/${id} 1`]);
    const bea = await keyHolder();
    // A row that says more than the object does: it is the object that decides.
    const members = JSON.stringify([{ actor: bea.id, role: 'viewer' }]);
    await env.DB.prepare("UPDATE contexts SET body = json_set(body, '$.members', json(?1)) WHERE id = ?2")
      .bind(members, id)
      .run();
    expect(await all(bea.key)).toEqual([]);
  });

  it('is followed as server-sent events, which resume from the last id', async () => {
    const { key } = await keyHolder();
    const id = await create(key, 'One');
    await untilShown(key, id, 1);
    const { next } = await page(key, '?offset=now');
    await rename(key, id, 'Two');
    await untilShown(key, id, 2);
    const headers = { Accept: 'text/event-stream', 'Last-Event-ID': next };
    const response = await as(key, '/v1/events', { headers });
    expect(response.headers.get('Content-Type')).toBe('text/event-stream');
    const text = await untilEvent(response);
    const place = 'id: \\d{16}_\\w{8}';
    expect(text).toMatch(
      new RegExp(`^retry: 1000\n${place}\n\n(${place}\n\n)*${place}\nevent: context_updated\ndata: `),
    );
    expect(text).not.toContain('context_created');
  });

  it('is followed past the present by each who may read what comes, and by nobody else', async () => {
    const [ada, bea] = [await keyHolder(), await keyHolder()];
    const id = await create(ada.key, 'One');
    await untilShown(ada.key, id, 1);
    const follow = (key: string) => as(key, '/v1/events?offset=now', { headers: { Accept: 'text/event-stream' } });
    const streams = [await follow(ada.key), await follow(ada.key), await follow(bea.key)];
    const hers = await create(bea.key, 'Hers');
    await rename(ada.key, id, 'Two');
    await objectOf(id).flushOutbox();
    await objectOf(hers).flushOutbox();
    const texts = await Promise.all(streams.map(untilEvent));
    for (const text of texts.slice(0, 2)) expect(text).toContain(`"stream":"context/${id}"`);
    expect(texts[2]).toContain(`"stream":"context/${hers}"`);
    expect(texts[2]).not.toContain(id);
    expect(`${texts[0]}${texts[1]}`).not.toContain(hers);
  });

  it('takes no use of a delegation for each look', async () => {
    const [ann, ben] = [await keyHolder(), await keyHolder()];
    const id = await create(ann.key, 'One');
    await untilShown(ann.key, id, 1);
    const { token, id: delegation } = await delegate(ann.key, ben.id, ['contexts:read'], { maxUses: 2 });
    const response = await as(token, '/v1/events?offset=now', { headers: { Accept: 'text/event-stream' } });
    await scheduler.wait(2_000);
    await rename(ann.key, id, 'Two');
    await objectOf(id).flushOutbox();
    await untilEvent(response);
    expect((await readDelegation(ann.key, delegation)).uses).toBe(1);
  });

  it('is had as NDJSON, all up to the present, as it was hashed', async () => {
    const { key } = await keyHolder();
    const id = await create(key, 'One');
    for (let n = 0; n < 5; n++) await rename(key, id, `Name ${n}`);
    await untilShown(key, id, 6);
    const lines = async (query: string) => {
      const response = await as(key, `/v1/events${query}`, { headers: { Accept: 'application/x-ndjson' } });
      expect(response.headers.get('Content-Type')).toBe('application/x-ndjson');
      const text = await response.text();
      const events = text.split('\n').filter((line) => line !== '');
      return {
        events: events.map((line): Envelope => JSON.parse(line)),
        next: response.headers.get('Stream-Next-Offset'),
      };
    };
    const { events, next } = await lines('?limit=2');
    expect(places(events)).toEqual([1, 2, 3, 4, 5, 6].map((version) => `context/${id} ${version}`));
    expect(events.every(isIntact)).toBe(true);
    expect(places((await lines('?type=context_created')).events)).toEqual([`context/${id} 1`]);
    expect((await lines('?offset=now')).events).toEqual([]);
    await rename(key, id, 'Last');
    await untilShown(key, id, 7);
    expect(places((await lines(`?offset=${next}`)).events)).toEqual([`context/${id} 7`]);
  });

  it('has no other form', async () => {
    const response = await api('/v1/events', { headers: { Accept: 'text/html' } });
    await expectProblem(response, 406, 'not-acceptable');
  });

  it('is the same again after a rebuild, from any offset that was given out', async () => {
    const { key } = await keyHolder();
    const id = await create(key, 'One');
    await rename(key, id, 'Two');
    await untilShown(key, id, 2);
    const { next } = await page(key, '?offset=now');
    for (let cursor: string | null = ''; cursor !== null; ) {
      const path: string = `/v1/admin/rebuild${cursor === '' ? '' : `?cursor=${cursor}`}`;
      const { nextCursor }: { nextCursor: string | null } = await (await api(path, { method: 'POST' })).json();
      cursor = nextCursor;
    }
    await untilShown(key, id, 2);
    expect(places(await all(key, '', next))).toEqual([`context/${id} 1`, `context/${id} 2`]);
  });

  it.each([
    ['?offset=x', 'offset', 'must be -1, now, or an offset that was given out here'],
    ['?limit=501', 'limit', 'must be a whole number from 1 to 500'],
    ['?type=X', 'type', 'must be a type of event'],
    ['?actor=ada', 'actor', 'must be the id of an actor'],
    ['?from=3', 'from', 'must be a time with its zone such as 2026-01-31T12:00:00Z'],
  ])('does not take %s', async (query, pointer, message) => {
    await expectInvalid(await api(`/v1/events${query}`), pointer, message);
  });

  it('does not take offsets of the future', async () => {
    const ahead = await feedOffset(9_000_000_000);
    await expectProblem(await api(`/v1/events?offset=${ahead}`), 400, 'ahead-of-stream');
    const headers = { Accept: 'text/event-stream', 'Last-Event-ID': ahead };
    await expectProblem(await api('/v1/events', { headers }), 400, 'ahead-of-stream');
  });

  it('does not take offsets of another server, of one whose database was lost, or of a context', async () => {
    const { key } = await keyHolder();
    const id = await create(key, 'Mine');
    await untilShown(key, id, 1);
    const { next } = await page(key, '?offset=now');
    const elsewhere = await endElsewhere(key);
    const { next: later } = await page(key, '?offset=now');
    // What other tests left on its way may have come meanwhile.
    expect(positionOf(elsewhere)).toBeGreaterThanOrEqual(positionOf(next));
    expect(positionOf(elsewhere)).toBeLessThanOrEqual(positionOf(later));
    const message = 'is an offset of another stream; take one that this stream gave out, or begin anew with -1';
    const ofContext = (await as(key, `/v1/contexts/${id}/events`)).headers.get('Stream-Next-Offset');
    for (const foreign of [elsewhere, ofContext]) {
      for (const Accept of ['application/json', 'application/x-ndjson', 'text/event-stream']) {
        await expectInvalid(await as(key, `/v1/events?offset=${foreign}`, { headers: { Accept } }), 'offset', message);
      }
      const headers = { Accept: 'text/event-stream', 'Last-Event-ID': foreign ?? '' };
      await expectInvalid(await as(key, '/v1/events', { headers }), 'Last-Event-ID', message);
    }
    expect((await page(key, `?offset=${next}`)).isUpToDate).toBe(true);
  });
});
