import type { Close, EventMessage, Hello, Sync } from './wire.ts';

/** How a connection ended. */
export interface End {
  readonly type: 'end';
  readonly code: number;
  readonly reason: string;
  /** Whether the handshake had succeeded. When not, nobody is told why: the WebSocket API hides the HTTP status. */
  readonly wasOpen: boolean;
}

/** The close code that stands for "the connection broke" (RFC 6455, section 7.1.5). */
const ABNORMAL = 1006;

/**
 * One live WebSocket, pulled frame by frame. A WebSocket delivers whether or not anybody reads, so the bound on memory
 * is the protocol's: `sync` frames wait in the queue with the events and are sent back when the reader gets to them,
 * and the server sends no more than its window (1 MiB) beyond the last one it got back.
 */
export class Connection {
  readonly #socket: WebSocket;
  readonly #queue: (Hello | EventMessage | Sync)[] = [];
  readonly #heartbeat: ReturnType<typeof setInterval>;
  readonly #signal: AbortSignal | undefined;
  #end: End | null = null;
  #wake: (() => void) | null = null;
  #isAlive = false;
  #isOpen = false;
  #isProven = false;

  /** @param pingEveryMs how often a "ping" is sent; no frame in that time means that the connection is dead */
  constructor(socket: WebSocket, pingEveryMs: number, signal: AbortSignal | undefined) {
    this.#socket = socket;
    this.#signal = signal;
    socket.addEventListener('open', () => {
      this.#isOpen = true;
    });
    socket.addEventListener('message', ({ data }) => this.#receive(String(data)));
    socket.addEventListener('close', ({ code, reason }) => this.#finish(code, reason));
    socket.addEventListener('error', () => this.#finish(ABNORMAL, 'the connection failed'));
    signal?.addEventListener('abort', this.close);
    this.#heartbeat = setInterval(() => this.#beat(), pingEveryMs);
    if (signal?.aborted) this.close();
  }

  /** Whether the connection has carried more than its greeting, so that the next one need not wait long. */
  get isProven(): boolean {
    return this.#isProven;
  }

  /** The next frame, or how the connection ended once all the frames before that were taken. */
  async next(): Promise<Hello | EventMessage | End> {
    for (;;) {
      const frame = this.#queue.shift();
      if (frame?.type === 'sync') this.#send(JSON.stringify(frame));
      else if (frame) return frame;
      else if (this.#end) return this.#end;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Lets go of the connection. */
  readonly close = (): void => {
    this.#finish(ABNORMAL, 'closed here');
  };

  #receive(text: string): void {
    if (this.#end) return;
    this.#isAlive = true;
    if (text === 'pong') {
      this.#isProven = true;
      return;
    }
    let frame: Hello | EventMessage | Sync | Close | { type: 'of a later version' };
    try {
      frame = JSON.parse(text);
    } catch {
      this.#finish(ABNORMAL, 'a frame was not JSON');
      return;
    }
    if (frame.type === 'close') {
      // The close event may be long in coming: until then a WebSocket keeps the code to itself.
      this.#finish(frame.code, frame.reason);
      return;
    }
    // Frames of types that this code does not know are of a later version of the protocol and can be passed over.
    if (frame.type !== 'hello' && frame.type !== 'event' && frame.type !== 'sync') return;
    if (frame.type === 'event') this.#isProven = true;
    this.#queue.push(frame);
    this.#wakeUp();
  }

  #beat(): void {
    if (!this.#isAlive) {
      this.#finish(ABNORMAL, 'the server has gone silent');
      return;
    }
    this.#isAlive = false;
    this.#send('ping');
  }

  #send(text: string): void {
    // A browser's WebSocket drops what is sent after the close without a word, and throws before the open.
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  #finish(code: number, reason: string): void {
    if (this.#end) return;
    this.#end = { type: 'end', code, reason, wasOpen: this.#isOpen };
    clearInterval(this.#heartbeat);
    this.#signal?.removeEventListener('abort', this.close);
    // Not waited for: on a dead connection the closing handshake is never answered.
    this.#socket.close();
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
