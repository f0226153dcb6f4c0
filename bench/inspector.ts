import { z } from 'zod';
import type { WorkerServer } from './servers.ts';

const targets = z.array(z.object({ webSocketDebuggerUrl: z.string() }));
const reply = z.object({ id: z.number().optional(), result: z.unknown().optional(), error: z.unknown().optional() });
const heapUsage = z.object({ usedSize: z.number() });

/** How often an idle isolate is given something to do, in milliseconds. */
const POKE_MS = 10;

/** V8's inspector of a Worker (Chrome DevTools Protocol), as far as the benchmark needs it. */
export class Inspector {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  readonly #url: string;
  #calls = 0;

  constructor(socket: WebSocket, url: string) {
    this.#socket = socket;
    this.#url = url;
    socket.addEventListener('message', ({ data }) => {
      const { id, result, error } = reply.parse(JSON.parse(String(data)));
      if (error !== undefined) throw new Error(`The inspector answered ${JSON.stringify(error)}`);
      if (id !== undefined) this.#waiting.get(id)?.(result);
    });
  }

  static async connect({ miniflare, url }: WorkerServer): Promise<Inspector> {
    const { host } = await miniflare.getInspectorURL();
    const [target] = targets.parse(await (await fetch(`http://${host}/json`)).json());
    if (!target) throw new Error('The inspector lists no Worker');
    const socket = new WebSocket(target.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve, { once: true });
      socket.addEventListener('error', reject, { once: true });
    });
    return new Inspector(socket, url);
  }

  /** What the heap holds after its garbage was collected, in bytes. */
  async heapBytes(): Promise<number> {
    // Twice: what the first collection finalizes is freed by the second.
    await this.#collect();
    await this.#collect();
    return heapUsage.parse(await this.#call('Runtime.getHeapUsage')).usedSize;
  }

  /** Collects garbage. It is a task of the isolate, which only runs its tasks while it has a request. */
  async #collect(): Promise<void> {
    let isDone = false;
    const done = this.#call('HeapProfiler.collectGarbage').then(() => {
      isDone = true;
    });
    while (!isDone) {
      await (await fetch(`${this.#url}/health`)).text();
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, POKE_MS))]);
    }
  }

  close(): void {
    this.#socket.close();
  }

  #call(method: string): Promise<unknown> {
    const id = ++this.#calls;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method }));
    });
  }
}
