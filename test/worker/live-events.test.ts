import { describe, expect, it } from 'vitest';
import { api, createContext } from '../support/api.ts';
import { change, contextWith, handshake, objectOf, upTo, watch } from '../support/live.ts';
import { ADMINISTRATOR } from '../support/principals.ts';

describe('a subscriber', () => {
  it('is greeted with the state and its version, then sees each change as the event that history has', async () => {
    const { id } = await createContext({ name: 'Before' });
    const watcher = await watch(id);
    await change(id, { name: 'After' });
    await watcher.untilVersion(2);
    const [hello, event] = watcher.frames;
    expect(hello).toMatchObject({ type: 'hello', version: 1, state: { id, name: 'Before', version: 1 } });
    const history = await (await api(`/v1/contexts/${id}/events`)).text();
    expect(watcher.texts[1]).toBe(`{"type":"event","event":${history.slice(history.indexOf('},{') + 2, -1)}}`);
    expect(event?.event).toMatchObject({ version: 2, type: 'context_updated', data: { name: 'After' } });
  });

  it('that says where it stands gets everything after that, and no more', async () => {
    const id = await contextWith(5);
    for (const [query, expected] of [
      ['', []],
      ['?after=5', []],
      ['?after=3', [4, 5]],
      ['?after=0', upTo(5)],
    ] as const) {
      const watcher = await watch(id, query);
      const hello = await watcher.until('hello');
      expect(hello.version).toBe(5);
      await watcher.ping();
      expect(watcher.versions).toEqual(expected);
    }
  });

  it('that comes back again and again while a writer goes on sees each event once and in order', async () => {
    const id = await contextWith(1);
    let last = 1;
    let isOver = false;
    const writer = (async () => {
      while (!isOver) await change(id, { name: `Name ${++last}` });
    })();
    const seen: number[] = [1];
    for (let connection = 0; connection < 10; connection++) {
      const watcher = await watch(id, `?after=${seen.at(-1)}`);
      await watcher.until('event');
      // Whatever came by now is kept, whatever comes later is lost with the connection.
      seen.push(...watcher.versions);
      watcher.socket.close();
    }
    isOver = true;
    await writer;
    const rest = await watch(id, `?after=${seen.at(-1)}`);
    await rest.until('hello');
    await rest.ping();
    expect([...seen, ...rest.versions]).toEqual(upTo(last));
  });

  it('sees the changes of writers that write at once in the order of their versions', async () => {
    const { id } = await createContext();
    const watcher = await watch(id, '?after=0');
    await Promise.all(upTo(50).map((number) => change(id, { name: `Name ${number}` })));
    await watcher.untilVersion(51);
    expect(watcher.versions).toEqual(upTo(51));
  });

  it('sees nothing of a change that changed nothing or was refused', async () => {
    const { id } = await createContext({ name: 'Same' });
    const watcher = await watch(id);
    await change(id, { name: 'Same' });
    await api(`/v1/contexts/${id}`, { method: 'PATCH', json: { name: 'Other' }, headers: { 'If-Match': '"9"' } });
    await change(id, { name: 'Different' });
    await watcher.untilVersion(2);
    expect(watcher.versions).toEqual([2]);
  });

  it('gets a backlog of thousands of events complete and in order', async () => {
    const { id } = await createContext();
    const last = 3_000;
    // Past the edge, which would need most of the time of this test.
    const stub = objectOf(id);
    await Promise.all(
      upTo(last, 2).map((version) =>
        stub.execute({
          id,
          command: { type: 'update', data: { name: `Name ${version}`, description: 'd'.repeat(1_000) } },
          principal: ADMINISTRATOR,
          cause: { correlationId: 'r', causationId: null, commandId: 'c' },
        }),
      ),
    );
    const watcher = await watch(id, '?after=0');
    watcher.confirm();
    await watcher.untilVersion(last);
    expect(watcher.versions).toEqual(upTo(last));
    await change(id, { name: 'And on' });
    await watcher.untilVersion(last + 1);
  });

  it('that closes gets its close answered, and is forgotten', async () => {
    const { id } = await createContext();
    const watcher = await watch(id);
    await watcher.until('hello');
    watcher.socket.close(1000, 'done');
    expect(await watcher.untilClosed()).toMatchObject({ code: 1000 });
    await change(id, { name: 'Nobody is there' });
    expect(watcher.versions).toEqual([]);
  });
});

describe('when the context is deleted', () => {
  it('every subscriber gets the deletion, then the close code 4410', async () => {
    const { id } = await createContext();
    const watchers = await Promise.all([watch(id), watch(id, '?after=0'), watch(id)]);
    await api(`/v1/contexts/${id}`, { method: 'DELETE' });
    for (const watcher of watchers) {
      expect(await watcher.untilClosed()).toEqual({ code: 4410, reason: 'the context was deleted' });
      expect(watcher.frames.at(-2)?.event).toMatchObject({ version: 2, type: 'context_deleted' });
      // For clients that close by themselves, which is quicker than to wait for the server's close.
      expect(watcher.frames.at(-1)).toEqual({ type: 'close', code: 4410, reason: 'the context was deleted' });
    }
  });

  it('who comes later gets the history, then the close code 4410', async () => {
    const id = await contextWith(3);
    await api(`/v1/contexts/${id}`, { method: 'DELETE' });
    const late = await watch(id, '?after=1');
    expect(await late.untilClosed()).toMatchObject({ code: 4410 });
    expect(late.frames[0]).toMatchObject({ type: 'hello', version: 4, state: { status: 'deleted' } });
    expect(late.versions).toEqual([2, 3, 4]);
    const upToDate = await watch(id);
    expect(await upToDate.untilClosed()).toMatchObject({ code: 4410 });
    expect(upToDate.versions).toEqual([]);
  });

  it('and restored, it can be watched again from where the deletion was', async () => {
    const { id } = await createContext();
    await api(`/v1/contexts/${id}`, { method: 'DELETE' });
    await api(`/v1/contexts/${id}/restore`, { method: 'POST' });
    const watcher = await watch(id, '?after=1');
    await watcher.untilVersion(3);
    await change(id, { name: 'Back' });
    await watcher.untilVersion(4);
    expect(watcher.frames.slice(1).map(({ event }) => event.type)).toEqual([
      'context_deleted',
      'context_restored',
      'context_updated',
    ]);
    expect(watcher.closed).toBeNull();
  });
});

describe('a handshake', () => {
  it('with an `after` that is ahead of the stream is 400, and says how far the stream goes', async () => {
    const id = await contextWith(2);
    const response = await handshake(id, '?after=3');
    expect(response.status).toBe(400);
    expect(response.headers.get('Content-Type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({
      type: 'https://connect.chitty.cc/problems/ahead-of-stream',
      detail: expect.stringContaining('There are 2 events'),
    });
  });

  it('with an `after` that is no version, or a parameter that is not known, is 400', async () => {
    const { id } = await createContext();
    for (const query of ['?after=-1', '?after=1.5', '?after=x', '?after=', '?after=0&after=1', '?from=1']) {
      expect([query, (await handshake(id, query)).status]).toEqual([query, 400]);
    }
  });

  it('that asks for no WebSocket is 426 with Upgrade', async () => {
    const { id } = await createContext();
    const response = await api(`/v1/contexts/${id}/live`);
    expect(response.status).toBe(426);
    expect(response.headers.get('Upgrade')).toBe('websocket');
    expect(await response.json()).toMatchObject({ status: 426, detail: expect.stringContaining('WebSocket client') });
  });

  it('that asks for no WebSocket gets HTTP statuses for what a WebSocket gets close codes for', async () => {
    const { id } = await createContext();
    expect((await api(`/v1/contexts/${id}/live`, { headers: { Authorization: 'Bearer wrong' } })).status).toBe(401);
    expect((await api('/v1/contexts/ctx_none/live')).status).toBe(404);
  });
});
