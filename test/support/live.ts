import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { vi } from 'vitest';
import { api, type ContextJson, createContext } from './api.ts';

/** A frame as it came. */
export interface Frame {
  type: string;
  version: number;
  state: ContextJson;
  event: { version: number; type: string; data: Record<string, unknown> };
  sent: number;
}

/** How long a test waits for what must come, in milliseconds; only a failing test waits so long. */
const PATIENCE_MS = 20_000;

const waitFor = <T>(condition: () => T) => vi.waitFor(condition, { timeout: PATIENCE_MS, interval: 5 });

/** A client of the live protocol that does nothing by itself: what it sends and when is the test's. */
export class Watcher {
  readonly socket: WebSocket;
  readonly texts: string[] = [];
  readonly frames: Frame[] = [];
  closed: { code: number; reason: string } | null = null;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.addEventListener('message', ({ data }) => {
      this.texts.push(String(data));
      if (data !== 'pong') this.frames.push(JSON.parse(String(data)));
    });
    socket.addEventListener('close', ({ code, reason }) => {
      this.closed = { code, reason };
    });
    socket.accept();
  }

  /** The versions of the events so far, in the order they came. */
  get versions(): number[] {
    return this.frames.filter((frame) => frame.type === 'event').map((frame) => frame.event.version);
  }

  /** The events' characters so far, frames included. */
  get chars(): number {
    return this.texts.reduce((sum, text) => sum + text.length, 0);
  }

  /** Waits until `count` frames of a type have come, and gives the last of them. */
  async until(type: string, count = 1): Promise<Frame> {
    return waitFor(() => {
      const frame = this.frames.filter((candidate) => candidate.type === type)[count - 1];
      if (!frame) throw new Error(`waiting for ${type} number ${count}; so far ${this.texts.length} frames`);
      return frame;
    });
  }

  async untilVersion(version: number): Promise<void> {
    await waitFor(() => {
      if (this.versions.at(-1) !== version) throw new Error(`waiting for ${version}, at ${this.versions.at(-1)}`);
    });
  }

  async untilClosed(): Promise<{ code: number; reason: string }> {
    return waitFor(() => {
      if (!this.closed) throw new Error(`waiting for the close; so far ${this.texts.length} frames`);
      return this.closed;
    });
  }

  /** Answers "ping" with certainty only after everything sent before it: a fence without a pause. */
  async ping(): Promise<void> {
    const before = this.texts.filter((text) => text === 'pong').length;
    this.socket.send('ping');
    await waitFor(() => {
      if (this.texts.filter((text) => text === 'pong').length <= before) throw new Error('waiting for pong');
    });
  }

  /** Sends every `sync` back as it comes, from now on and for what came before. */
  confirm(): void {
    for (const frame of this.frames) if (frame.type === 'sync') this.socket.send(JSON.stringify(frame));
    this.socket.addEventListener('message', ({ data }) => {
      if (String(data).startsWith('{"type":"sync"')) this.socket.send(data);
    });
  }
}

/**
 * Holds the timers of the tests and of the objects, which share one isolate, still; `pass` moves them on.
 *
 * @param more what is held beside them
 */
export function holdTimers(...more: readonly 'Date'[]): void {
  const { setTimeout: real } = globalThis;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', ...more] });
  const { setTimeout: held } = globalThis;
  // What has no delay waits for its turn and for no time: commands that come within 2 ms of each other are answered by it.
  const holding = (callback: () => void, ms?: number) => (ms ? held(callback, ms) : real(callback, 0));
  Object.assign(globalThis, { setTimeout: holding });
}

/** Lets time pass for the timers of an object; they have to fire inside it. */
export async function pass(id: string, ms: number): Promise<void> {
  await runInDurableObject(objectOf(id), () => {
    vi.advanceTimersByTime(ms);
  });
}

/** Waits without timers, for tests that hold them: each turn is a request's time. */
export async function untilTrue(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2_000; turn++) {
    if (condition()) return;
    await api('/health');
  }
  throw new Error('it did not come true');
}

/** The answer to a WebSocket handshake. */
export function handshake(id: string, query = '', headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${id}/live${query}`, { headers: { Upgrade: 'websocket', ...headers } });
}

/** Begins to watch a context. @param query such as `?after=3` */
export async function watch(id: string, query = '', headers: Record<string, string> = {}): Promise<Watcher> {
  const response = await handshake(id, query, headers);
  if (!response.webSocket) throw new Error(`${response.status}: ${await response.text()}`);
  return new Watcher(response.webSocket);
}

/** The object behind a context. */
export function objectOf(id: string) {
  return env.CONTEXTS.get(env.CONTEXTS.idFromName(id));
}

/** Changes a context over the API. */
export async function change(id: string, patch: object): Promise<void> {
  const response = await api(`/v1/contexts/${id}`, { method: 'PATCH', json: patch });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

/** A context whose history has `count` events with about `chars` characters each. */
export async function contextWith(count: number, chars = 0): Promise<string> {
  const { id } = await createContext();
  for (let version = 2; version <= count; version++) await change(id, bigPatch(version, chars));
  return id;
}

/** A patch that leads to an event of about `chars` characters and differs from those of other numbers. */
export function bigPatch(number: number, chars: number): object {
  return {
    description: `${number} `.padEnd(Math.min(chars, 9_000), 'd'),
    metadata: { filling: filling(number, chars) },
  };
}

function filling(number: number, chars: number): string {
  return `${number} `.padEnd(Math.max(0, chars - 9_000), 'm');
}

/** What the object keeps with a socket. */
export interface Attachment {
  readonly sentChars: number;
  readonly confirmedChars: number;
}

/** How the object sees its sockets. */
export function attachments(id: string): Promise<Attachment[]> {
  return runInDurableObject(objectOf(id), (_object, state) =>
    state.getWebSockets().map((socket): Attachment => socket.deserializeAttachment()),
  );
}

export const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, index) => first + index);
