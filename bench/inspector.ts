import { z } from 'zod';
import type { WorkerServer } from './servers.ts';

const targets = z.array(z.object({ webSocketDebuggerUrl: z.string() }));
const reply = z.object({ id: z.number().optional(), result: z.unknown(), error: z.unknown() });
const heapUsage = z.object({ usedSize: z.number() });

/** V8's inspector of a Worker (Chrome DevTools Protocol), as far as the benchmark needs it. */
export class Inspector {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #calls = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const { id, result, error } = reply.parse(JSON.parse(String(data)));
      if (error !== undefined) throw new Error(`The inspector answered ${JSON.stringify(error)}`);
      if (id !== undefined) this.#waiting.get(id)?.(result);
    });
  }

  static async connect({ miniflare }: WorkerServer): Promise<Inspector> {
    const { host } = await miniflare.getInspectorURL();
    const [target] = targets.parse(await (await fetch(`http://${host}/json`)).json());
    if (!target) throw new Error('The inspector lists no Worker');
    const socket = new WebSocket(target.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve, { once: true });
      socket.addEventListener('error', reject, { once: true });
    });
    return new Inspector(socket);
  }

  /** What the heap holds after its garbage was collected, in bytes. */
  async heapBytes(): Promise<number> {
    // Twice: what the first collection finalizes is freed by the second.
    await this.#call('HeapProfiler.collectGarbage');
    await this.#call('HeapProfiler.collectGarbage');
    return heapUsage.parse(await this.#call('Runtime.getHeapUsage')).usedSize;
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
