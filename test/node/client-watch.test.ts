import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type WebSocket as ServerSocket, WebSocketServer } from 'ws';
import { connect, LiveError, type LiveMessage, ProblemError, type WatchOptions } from '../../client/client.ts';
import { waitFor } from '../support/server.ts';

/** Fast enough for a test, and still with pauses that can be counted. */
const FAST = { retryBaseMs: 4, retryCapMs: 16 };

/** Between two pings, in a time that a test lets pass by itself: however slow the machine is, an answer is in time. */
const PING_EVERY_MS = 1_000;

/** What the server does with one connection after the other; the last goes for all that follow. */
type Script = (socket: ServerSocket, request: URL) => void;

let server: Server;
let sockets: WebSocketServer;
let baseUrl: string;
/** The handshakes so far: the path and query of each. */
let handshakes: string[];
/** The Authorization header of each. */
let authorizations: (string | undefined)[];
let script: Script[];
/** What plain HTTP requests are answered with. */
let answer: { status: number; headers?: Record<string, string>; body?: object };

beforeEach(async () => {
  handshakes = [];
  authorizations = [];
  answer = { status: 503 };
  sockets = new WebSocketServer({ noServer: true });
  server = createServer((_request, response) => {
    response.writeHead(answer.status, { 'Content-Type': 'application/problem+json', ...answer.headers });
    response.end(JSON.stringify({ type: 'about:blank', title: 'As told', status: answer.status, ...answer.body }));
  });
  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url ?? '', 'http://server');
    handshakes.push(url.pathname + url.search);
    authorizations.push(request.headers.authorization);
    const act = script.length > 1 ? script.shift() : script[0];
    if (!act) {
      socket.destroy();
      return;
    }
    sockets.handleUpgrade(request, socket, head, (opened) => act(opened, url));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  baseUrl = `http://127.0.0.1:${address.port}`;
});

afterEach(async () => {
  vi.useRealTimers();
  for (const socket of sockets.clients) socket.terminate();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const hello = (version: number) => JSON.stringify({ type: 'hello', version, state: { id: 'ctx_1', version } });
const event = (version: number, more = '') => JSON.stringify({ type: 'event', event: { version, more } });

/** Greets and sends the events after the client's `after`, or after `present`, up to `last`. */
function sendUpTo(last: number, present = 0): Script {
  return (socket, request) => {
    const after = Number(request.searchParams.get('after') ?? present);
    socket.send(hello(last));
    for (let version = after + 1; version <= last; version++) socket.send(event(version));
  };
}

const sends =
  (...frames: string[]): Script =>
  (socket) => {
    for (const frame of frames) socket.send(frame);
  };

const closes =
  (code: number, reason = ''): Script =>
  (socket) =>
    socket.close(code, reason);

const breaks: Script = (socket) => socket.terminate();

const inTurn =
  (...scripts: Script[]): Script =>
  (...connection) => {
    for (const act of scripts) act(...connection);
  };

function watch(options: WatchOptions = {}) {
  return connect({ baseUrl, apiKey: 'key' }).watch('ctx_1', { ...FAST, ...options });
}

/** Takes messages until the watch ends or `count` of them were seen, and says what they were. */
async function take(watching: AsyncGenerator<LiveMessage, void>, count = Number.POSITIVE_INFINITY): Promise<string[]> {
  const seen: string[] = [];
  for await (const message of watching) {
    seen.push(message.type === 'hello' ? `hello ${message.version}` : String(message.event.version));
    if (seen.length >= count) break;
  }
  return seen;
}

describe('a watch', () => {
  it('yields one hello and then the events, and returns after 4410', async () => {
    script = [inTurn(sendUpTo(5, 3), closes(4410, 'the context was deleted'))];
    expect(await take(watch({ after: 3 }))).toEqual(['hello 5', '4', '5']);
    expect(handshakes).toEqual(['/v1/contexts/ctx_1/live?after=3']);
  });

  it('sends the API key as a header', async () => {
    script = [closes(4410)];
    await take(watch());
    expect(authorizations).toEqual(['Bearer key']);
  });

  it('resumes after the last event it yielded, whatever way the connection ended', async () => {
    script = [
      inTurn(sendUpTo(2), breaks),
      inTurn(sendUpTo(3), closes(4408, 'too slow')),
      inTurn(sendUpTo(5), closes(1001, 'going away')),
      breaks,
      inTurn(sendUpTo(6), closes(4410)),
    ];
    // What was sent right before the connection broke may be lost with it; then it is sent again.
    expect(await take(watch({ after: 0 }))).toEqual([expect.stringMatching(/^hello/), '1', '2', '3', '4', '5', '6']);
    expect(handshakes[0]).toBe('/v1/contexts/ctx_1/live?after=0');
    expect(handshakes.slice(1)).toEqual(handshakes.slice(1).map(() => expect.stringMatching(/\?after=[0-5]$/)));
    expect(handshakes).toHaveLength(5);
  });

  it('that began at the present resumes from the version it was greeted with', async () => {
    script = [inTurn(sends(hello(7)), closes(1001)), closes(4410)];
    expect(await take(watch())).toEqual(['hello 7']);
    expect(handshakes[1]).toBe('/v1/contexts/ctx_1/live?after=7');
  });

  it.each([4401, 4403, 4404, 1008])('throws a LiveError on %i and does not come back', async (code) => {
    script = [(socket) => socket.close(code, 'because')];
    const error = await take(watch()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LiveError);
    expect(error).toMatchObject({ code, message: 'because' });
    expect(handshakes).toHaveLength(1);
  });

  it('comes back when the server is not there, and gives up when it learns that this will not pass', async () => {
    script = [];
    answer = { status: 503 };
    const watching = take(watch());
    await vi.waitFor(() => expect(handshakes.length).toBeGreaterThan(3));
    answer = { status: 401 };
    await expect(watching).rejects.toThrow(ProblemError);
  });

  it('says so when the stream ends before what it was to resume from', async () => {
    script = [];
    answer = { status: 410, headers: { ETag: '"3"' } };
    await expect(take(watch({ after: 4 }))).rejects.toMatchObject({ name: 'LiveError', code: 400 });
  });

  it('pauses longer with each failure, at random up to a ceiling', async () => {
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const timers = vi.spyOn(globalThis, 'setTimeout');
    script = [];
    const abort = new AbortController();
    const watching = take(watch({ signal: abort.signal, retryBaseMs: 4, retryCapMs: 20 })).catch(() => undefined);
    const pauses = () => timers.mock.calls.map(([, ms]) => ms).filter((ms) => ms !== undefined && ms <= 10);
    await vi.waitFor(() =>
      expect(pauses().filter((ms) => [2, 4, 8, 10].includes(Number(ms))).length).toBeGreaterThan(5),
    );
    abort.abort();
    await watching;
    const ours = pauses().filter((ms) => [2, 4, 8, 10].includes(Number(ms)));
    expect(ours.slice(0, 6)).toEqual([2, 4, 8, 10, 10, 10]);
    random.mockRestore();
    timers.mockRestore();
  });

  it('asks whether the server is alive, and takes silence for the end of the connection', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const pings: string[] = [];
    script = [
      // Paused, it answers nothing, not even a close.
      inTurn(sendUpTo(1), (socket) => socket.pause()),
      (socket, request) => {
        sendUpTo(1)(socket, request);
        socket.on('message', (data) => {
          pings.push(String(data));
          if (pings.length < 5) socket.send('pong');
          else socket.close(4410);
          socket.ping();
        });
        // What a WebSocket answers by itself, after it has read what was sent before.
        socket.on('pong', () => vi.advanceTimersByTime(PING_EVERY_MS));
        socket.ping();
      },
    ];
    const watching = watch({ after: 0, pingEveryMs: PING_EVERY_MS });
    expect((await watching.next()).value).toMatchObject({ type: 'hello', version: 1 });
    expect((await watching.next()).value).toMatchObject({ event: { version: 1 } });
    const next = watching.next();
    vi.advanceTimersByTime(PING_EVERY_MS);
    expect(handshakes).toHaveLength(1);
    vi.advanceTimersByTime(PING_EVERY_MS);
    expect(await next).toEqual({ done: true, value: undefined });
    expect(pings).toEqual(['ping', 'ping', 'ping', 'ping', 'ping']);
    expect(handshakes).toHaveLength(2);
  });

  it('takes the server’s word for the end, however long the closing handshake is', async () => {
    const goodbye = JSON.stringify({ type: 'close', code: 4410, reason: 'the context was deleted' });
    script = [inTurn(sendUpTo(2), sends(goodbye))];
    expect(await take(watch({ after: 0 }))).toEqual(['hello 2', '1', '2']);
    expect(handshakes).toHaveLength(1);
  });

  it('passes over frames of types that it does not know', async () => {
    script = [
      (socket) => {
        for (const frame of [hello(0), '{"type":"of the future"}', event(1)]) socket.send(frame);
        socket.close(4410);
      },
    ];
    expect(await take(watch())).toEqual(['hello 0', '1']);
  });
});

describe('events out of order', () => {
  it.each([
    ['a gap', [1, 3]],
    ['a repetition', [1, 1]],
    ['a step back', [2, 1]],
  ])('(%s) are not handed on: it connects again and asks for what is next', async (_what, versions) => {
    script = [
      (socket) => {
        socket.send(hello(3));
        for (const version of versions) socket.send(event(version));
      },
      inTurn(sendUpTo(3), closes(4410)),
    ];
    expect(await take(watch({ after: 0 }))).toEqual(['hello 3', '1', '2', '3']);
  });

  it('are an error when that does not help', async () => {
    script = [sends(hello(9), event(5))];
    const error = await take(watch({ after: 0 })).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'LiveError', code: 1002, message: expect.stringContaining('event 5') });
    expect(handshakes).toHaveLength(2);
  });

  it('include an event before the hello, and text that is no JSON', async () => {
    script = [(socket) => socket.send(event(1)), inTurn(sends('{'), sendUpTo(1)), inTurn(sendUpTo(1), closes(4410))];
    expect(await take(watch({ after: 0 }))).toEqual(['hello 1', '1']);
  });
});

describe('a consumer that takes its time', () => {
  it('holds the confirmation back until it has taken everything before it', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const received: string[] = [];
    const { promise: hasAll, resolve } = Promise.withResolvers<void>();
    const sync = '{"type":"sync","version":2,"sent":99}';
    script = [
      (socket) => {
        socket.on('message', (data) => received.push(String(data)));
        for (const frame of [hello(0), event(1), event(2), sync, event(3)]) socket.send(frame);
        // What a WebSocket answers by itself, after it has read what was sent before.
        socket.on('pong', () => resolve());
        socket.ping();
      },
    ];
    const watching = watch({ after: 0, pingEveryMs: PING_EVERY_MS });
    await watching.next();
    await watching.next();
    expect((await watching.next()).value).toMatchObject({ event: { version: 2 } });
    await hasAll;
    // Its ping shows that everything which it sent before has arrived.
    vi.advanceTimersByTime(PING_EVERY_MS);
    await waitFor('the ping', () => received.includes('ping'));
    expect(received).not.toContain(sync);
    expect((await watching.next()).value).toMatchObject({ event: { version: 3 } });
    await waitFor('the confirmation', () => received.includes(sync));
    await watching.return();
  });

  it('still gets what had arrived before the connection ended, then resumes after it', async () => {
    let isClosed = false;
    script = [
      (socket, request) => {
        sendUpTo(3)(socket, request);
        socket.on('close', () => {
          isClosed = true;
        });
        socket.close(4408);
      },
      inTurn(sendUpTo(4), closes(4410)),
    ];
    const watching = watch({ after: 0 });
    await watching.next();
    await vi.waitFor(() => expect(isClosed).toBe(true));
    expect(await take(watching)).toEqual(['1', '2', '3', '4']);
    expect(handshakes[1]).toContain('after=3');
  });
});

describe('a watch ends', () => {
  it('when its signal is aborted while it waits, with the signal’s reason', async () => {
    script = [sendUpTo(1)];
    const abort = new AbortController();
    const watching = watch({ after: 0, signal: abort.signal });
    await watching.next();
    await watching.next();
    const waiting = watching.next();
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await vi.waitFor(() => expect(sockets.clients.size).toBe(0));
    expect(handshakes).toHaveLength(1);
  });

  it('when its signal is aborted while it pauses before it connects again', async () => {
    script = [];
    const abort = new AbortController();
    const watching = take(watch({ signal: abort.signal, retryBaseMs: 1e8, retryCapMs: 1e8 }));
    await vi.waitFor(() => expect(handshakes).toHaveLength(1));
    abort.abort(new Error('enough'));
    await expect(watching).rejects.toThrow('enough');
  });

  it('at once when its signal was aborted before it began, without connecting', async () => {
    await expect(take(watch({ signal: AbortSignal.abort(new Error('enough')) }))).rejects.toThrow('enough');
    expect(handshakes).toHaveLength(0);
  });

  it('when its consumer breaks off, and lets go of the connection', async () => {
    script = [sendUpTo(5)];
    expect(await take(watch({ after: 0 }), 3)).toEqual(['hello 5', '1', '2']);
    await vi.waitFor(() => expect(sockets.clients.size).toBe(0));
  });
});

describe('with tickets', () => {
  it('gets a new one for each connection and sends no header', async () => {
    script = [inTurn(sends(hello(1)), breaks), closes(4410)];
    let issued = 0;
    const client = connect({ baseUrl, getTicket: async (id) => `tkt_${id}_${++issued}` });
    await take(client.watch('ctx_1', { ...FAST, after: 1 }));
    expect(handshakes).toEqual([
      '/v1/contexts/ctx_1/live?after=1&ticket=tkt_ctx_1_1',
      '/v1/contexts/ctx_1/live?after=1&ticket=tkt_ctx_1_2',
    ]);
    expect(authorizations).toEqual([undefined, undefined]);
  });

  it('comes back when the network fails to give one, and throws what else goes wrong', async () => {
    script = [closes(4410)];
    let failures = 0;
    const flaky = connect({
      baseUrl,
      getTicket: async () => {
        if (++failures < 3) throw new TypeError('fetch failed');
        return 'tkt_1';
      },
    });
    await take(flaky.watch('ctx_1', FAST));
    expect(handshakes).toHaveLength(1);
    const refused = connect({ baseUrl, getTicket: () => Promise.reject(new RangeError('no more of you')) });
    await expect(take(refused.watch('ctx_1', FAST))).rejects.toThrow('no more of you');
  });
});
