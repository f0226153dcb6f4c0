import { runDurableObjectAlarm } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { newId } from '../../events/id.ts';
import { expectJson, issueKey } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { atAnotherTime } from '../support/clock.ts';
import {
  type ConnectionJson,
  connectContexts,
  connectionObject,
  eventTypes,
  readConnection,
  twoEnds,
} from '../support/connections.ts';
import { expectProblem } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

let ann: Person;
let bob: Person;

beforeAll(async () => {
  [ann, bob] = await Promise.all([person('Ann'), person('Bob')]);
});

afterEach(() => {
  vi.useRealTimers();
});

describe('heartbeats', () => {
  async function connected(fields: object = {}): Promise<string> {
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    return connectContexts(ann, one, two, fields);
  }

  /** Lets time pass for a connection, and what is due happen. */
  async function pass(path: string, seconds: number): Promise<void> {
    await atAnotherTime(seconds * 1000, () => runDurableObjectAlarm(connectionObject(path)));
  }

  it('are no events; the last one is told', async () => {
    const path = await connected();
    const before = Date.now();
    const first = await expectJson<ConnectionJson>(await ann.post(`${path}/heartbeat`), 200);
    expect(Date.parse(String(first.lastHeartbeatAt))).toBeGreaterThanOrEqual(before);
    expect(await readConnection(ann, path)).toEqual(first);
    expect(await eventTypes(path)).toEqual(['connection_requested', 'connection_established']);
  });

  it('tell of a failure and of its end', async () => {
    const path = await connected();
    const bad = { status: 'failed', reason: 'no route' };
    expect(await expectJson(await ann.post(`${path}/heartbeat`, bad), 200)).toMatchObject(bad);
    await ann.post(`${path}/heartbeat`, { status: 'failed', reason: 'still' });
    expect(await readConnection(ann, path)).toMatchObject(bad);
    const mended = await expectJson(await ann.post(`${path}/heartbeat`, { status: 'ok' }), 200);
    expect(mended).toMatchObject({ status: 'active', reason: null });
    expect((await eventTypes(path)).slice(2)).toEqual(['connection_failed', 'connection_resumed']);
  });

  it.each([
    { status: 'failed' },
    { status: 'ok', reason: 'x' },
    { reason: 'x' },
    { status: 'bad' },
    { status: 'failed', reason: ' ' },
    { status: 'failed', reason: 'x'.repeat(501) },
  ])('as %j are refused', async (json) => {
    await expectProblem(await ann.post(`${await connected()}/heartbeat`, json), 400, 'invalid');
  });

  it('keep a connection active; without them it is idle, and ends a day later', async () => {
    const path = await connected({ idleAfterSeconds: 60 });
    await pass(path, 30);
    expect(await readConnection(ann, path)).toMatchObject({ status: 'active' });
    // The clock stands still from the heartbeat on: however long the request takes, a second is left of the minute.
    vi.useFakeTimers({ toFake: ['Date'] });
    await ann.post(`${path}/heartbeat`);
    await pass(path, 59);
    expect(await readConnection(ann, path)).toMatchObject({ status: 'active' });
    await pass(path, 65);
    expect(await readConnection(ann, path)).toMatchObject({ status: 'idle' });
    expect(await expectJson(await ann.post(`${path}/heartbeat`), 200)).toMatchObject({ status: 'active' });
    // The resumption bears the time of the event before it: time in a log does not go back.
    await pass(path, 130);
    expect(await readConnection(ann, path)).toMatchObject({ status: 'idle' });
    await pass(path, 86_400 + 200);
    expect(await readConnection(ann, path)).toMatchObject({ status: 'disconnected', reason: 'stale' });
    await expectProblem(await ann.post(`${path}/heartbeat`), 409, 'not-connected');
  });

  it('are not needed when none are expected', async () => {
    const path = await connected({ idleAfterSeconds: null });
    await pass(path, 365 * 86_400);
    expect(await readConnection(ann, path)).toMatchObject({ status: 'active', idleAfterSeconds: null });
  });

  it('a request without an answer expires', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    await pass(path, 7 * 86_400 + 60);
    expect(await readConnection(ann, path)).toMatchObject({ status: 'disconnected', reason: 'expired' });
  });
});

describe('disconnecting', () => {
  it('is for either end, and done once however often', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    await bob.post(`${path}/consent`);
    expect((await bob.remove(path)).status).toBe(204);
    const { version } = await readConnection(ann, path);
    expect((await ann.remove(path)).headers.get('ETag')).toBe(`"${version}"`);
  });

  it('looks at If-Match', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    const stale = await ann.call(path, { method: 'DELETE', headers: { 'If-Match': '"9"' } });
    await expectProblem(stale, 412, 'version-mismatch');
  });

  it('comes of the deletion of a context, and a restoration does not undo it', async () => {
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    const paths = await Promise.all([connectContexts(ann, one, two), connectContexts(ann, two, one)]);
    await ann.remove(two);
    await vi.waitFor(async () => {
      for (const path of paths) {
        expect(await readConnection(ann, path)).toMatchObject({ status: 'disconnected', reason: 'context_deleted' });
      }
    });
    await ann.post(`${two}/restore`);
    await env.CONTEXTS.get(env.CONTEXTS.idFromName(idOf(two))).flushOutbox();
    expect(await readConnection(ann, paths[0])).toMatchObject({ status: 'disconnected' });
    expect(await connectContexts(ann, one, two)).toBe(paths[0]);
    expect(await readConnection(ann, paths[0])).toMatchObject({ status: 'active' });
  });

  it('comes of a deletion at the same moment as well', async () => {
    for (let round = 0; round < 10; round++) {
      const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
      const json = { from: idOf(one), to: idOf(two), type: 'uses' };
      const [asked] = await Promise.all([ann.post('/v1/connections', json), ann.remove(round % 2 ? one : two)]);
      if (asked.status === 409) continue;
      const { id } = await expectJson<ConnectionJson>(asked, 201);
      await vi.waitFor(async () => {
        const { status, reason } = await readConnection(ann, `/v1/connections/${id}`);
        expect({ status, reason }).toEqual({ status: 'disconnected', reason: 'context_deleted' });
      });
    }
  });

  it('comes of a deletion also when the lists did not know of the connection yet', async () => {
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    const path = await connectContexts(ann, one, two);
    await env.DB.prepare('DELETE FROM connections WHERE id = ?').bind(idOf(path)).run();
    await ann.remove(two);
    await env.CONTEXTS.get(env.CONTEXTS.idFromName(idOf(two))).flushOutbox();
    expect(await readConnection(ann, path)).toMatchObject({ status: 'active' });
    await ann.post(`${path}/heartbeat`, { status: 'failed', reason: 'any change' });
    await vi.waitFor(async () => {
      expect(await readConnection(ann, path)).toMatchObject({ status: 'disconnected', reason: 'context_deleted' });
    });
  });
});

describe('the history', () => {
  it('tells who did what, in pages', async () => {
    const { mine, theirs } = await twoEnds(ann, bob);
    const path = await connectContexts(ann, mine, theirs);
    await bob.post(`${path}/consent`);
    await bob.remove(path);
    const page = await ann.call(`${path}/events?limit=2`);
    const offset = page.headers.get('Stream-Next-Offset');
    expect(page.headers.get('Stream-Up-To-Date')).toBeNull();
    expect(await page.json()).toMatchObject([
      { type: 'connection_requested', actor: ann.id },
      { type: 'connection_established', actor: bob.id },
    ]);
    const rest = await ann.call(`${path}/events?offset=${offset}`);
    expect(rest.headers.get('Stream-Up-To-Date')).toBe('true');
    expect(await rest.json()).toMatchObject([{ type: 'connection_disconnected', actor: bob.id, version: 3 }]);
    expect(await (await ann.call(`${path}/events?offset=now`)).json()).toEqual([]);
  });

  it.each(['limit=0', 'limit=1001', 'offset=3', 'offset=x', 'offset=0000000000000001_5f0c1a9e'])(
    'refuses %s',
    async (query) => {
      const path = await connectContexts(ann, await contextOf(ann), await contextOf(ann));
      await expectProblem(await ann.call(`${path}/events?${query}`), 400, 'invalid');
    },
  );

  it('tells nobody by an offset from elsewhere that there is a connection', async () => {
    const path = await connectContexts(ann, await contextOf(ann), await contextOf(ann));
    const response = await bob.call(`${path}/events?offset=0000000000000001_5f0c1a9e`);
    await expectProblem(response, 404, 'not-found');
  });
});

describe('the list', () => {
  interface Page {
    items: ConnectionJson[];
    nextCursor: string | null;
  }

  async function list(by: Person, query = ''): Promise<string[]> {
    const { items } = await expectJson<Page>(await by.call(`/v1/connections${query}`), 200);
    return items.map(({ id }) => id);
  }

  it('has what the caller may see, newest first, in pages', async () => {
    const [owner, other] = await Promise.all([person('Owner'), person('Other')]);
    const hub = await contextOf(owner);
    const paths: string[] = [];
    for (const type of ['one', 'two', 'three']) {
      paths.push(await connectContexts(owner, hub, await contextOf(owner), { type }));
    }
    const ids = paths.map(idOf).reverse();
    // It goes by the contexts as well, which are written by themselves.
    await vi.waitFor(async () => expect(await list(owner)).toEqual(ids));
    expect(await list(other)).toEqual([]);
    const page = await expectJson<Page>(await owner.call('/v1/connections?limit=2'), 200);
    expect(page.items.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(await list(owner, `?limit=2&cursor=${page.nextCursor}`)).toEqual(ids.slice(2));
    expect(await list(owner, '?type=two')).toEqual([ids[1]]);
    expect(await list(owner, `?context=${idOf(hub)}`)).toEqual(ids);
    expect(await list(other, `?context=${idOf(hub)}`)).toEqual([]);
    expect(await list(owner, `?context=${newId('ctx', 0)}`)).toEqual([]);
    expect(await list(owner, '?context=x')).toEqual([]);
    await owner.call(paths[0] ?? '', { method: 'DELETE', headers: { Prefer: 'wait=10' } });
    expect(await list(owner)).toEqual(ids.slice(0, 2));
    expect(await list(owner, '?status=disconnected')).toEqual(ids.slice(2));
    expect(await list(owner, '?status=pending')).toEqual([]);
  });

  it('shows a connection to those who may read one end, whichever', async () => {
    const [owner, reader, admin] = await Promise.all([person('Owner'), person('Reader'), person('Third')]);
    const [one, two, three] = await Promise.all([contextOf(owner), contextOf(owner), contextOf(owner)]);
    const first = idOf(await connectContexts(owner, one, two));
    const second = idOf(await connectContexts(owner, two, three));
    await share(owner, one, reader, 'viewer');
    await share(owner, three, admin, 'viewer');
    await vi.waitFor(async () => {
      expect(await list(reader)).toEqual([first]);
      expect(await list(admin)).toEqual([second]);
    });
    expect(await list(reader, `?context=${idOf(two)}`)).toEqual([first]);
    const { key } = await issueKey(owner.id, { contexts: [idOf(one)] });
    const limited = await api('/v1/connections', { headers: { Authorization: `Bearer ${key}` } });
    expect((await expectJson<Page>(limited, 200)).items.map(({ id }) => id)).toEqual([first]);
    const all = await expectJson<Page>(await api(`/v1/connections?context=${idOf(two)}`), 200);
    expect(all.items.map(({ id }) => id)).toEqual([second, first]);
  });

  it.each(['limit=0', 'limit=101', 'status=x', 'type=A', 'cursor=x', 'cursor=', 'x=1'])('refuses %s', async (query) => {
    await expectProblem(await ann.call(`/v1/connections?${query}`), 400, 'invalid');
  });

  it('is the same after a rebuild', async () => {
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    const [living, ended] = [await connectContexts(ann, one, two), await connectContexts(ann, two, one)];
    await ann.call(ended, { method: 'DELETE', headers: { Prefer: 'wait=10' } });
    const rows = async () => {
      const ids = JSON.stringify([idOf(living), idOf(ended)]);
      const query = 'SELECT * FROM connections WHERE id IN (SELECT value FROM json_each(?)) ORDER BY status';
      return (await env.DB.prepare(query).bind(ids).all()).results;
    };
    const before = await rows();
    expect(before).toMatchObject([{ id: idOf(living) }, { id: idOf(ended) }]);
    await env.DB.prepare("UPDATE connections SET status = 'failed', version = 0").run();
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `?cursor=${cursor}`;
      const answer = await api(`/v1/admin/rebuild${query}`, { method: 'POST' });
      cursor = (await expectJson<{ nextCursor: string | null }>(answer, 200)).nextCursor;
    }
    expect(await rows()).toEqual(before);
  });
});
