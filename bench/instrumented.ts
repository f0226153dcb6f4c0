import { waitFor } from '../test/support/server.ts';
import { API_KEY } from './api-key.ts';
import type { RunOptions } from './section.ts';
import { startWorker, type WorkerServer } from './servers.ts';

/** Longer than this no event of a load is on its way. */
const DELIVERY_MS = 300_000;
/** What the platform has lost is sent again after a minute at most: so long is not waited for. */
const REMIND_MS = 10_000;

interface InstrumentedOptions {
  /** Names the folder of its data, where more than one is started. */
  readonly name?: string;
  /** Counts what is billed, which costs time. */
  readonly isCounting?: boolean;
}

/** Starts the product with the benchmark's methods on its object (workers/instrumented.mjs).
 * Alone it does not send its events on: a history of 100,000 events that is made in seconds takes ChittyOS minutes. */
export function startInstrumented(
  { workspace }: RunOptions,
  product: 'with ChittyOS' | 'alone',
  { name = 'instrumented', isCounting = false }: InstrumentedOptions = {},
): Promise<WorkerServer> {
  return startWorker(workspace, {
    name,
    entry: 'bench/workers/instrumented.mjs',
    product,
    variables: {
      BOOTSTRAP_API_KEY: API_KEY,
      // With it there is a transparency log, which is billed too.
      ...(isCounting && { BENCH_COUNT: '1', KEY_ENCRYPTION_KEY: Buffer.alloc(32, 'key').toString('base64url') }),
    },
    inspector: true,
  });
}

/** Waits until every destination has all the events of these contexts; what takes long is asked for once more. */
export async function delivered(server: WorkerServer, ids: readonly string[]): Promise<void> {
  const headers = { Authorization: `Bearer ${API_KEY}` };
  for (const id of ids) {
    let remindAt = performance.now() + REMIND_MS;
    await waitFor(
      'everything to be delivered',
      async () => {
        if ((await ask(server, 'delivered', id)) === true) return true;
        if (performance.now() > remindAt) {
          remindAt = performance.now() + REMIND_MS;
          await fetch(`${server.url}/v1/admin/outbox/context/${id}/retry`, { method: 'POST', headers });
        }
        return false;
      },
      DELIVERY_MS,
    );
  }
}

/** Calls one of the benchmark's methods. @returns what it answers, as JSON */
export async function ask(server: WorkerServer, operation: string, id: string, argument = ''): Promise<unknown> {
  const response = await fetch(`${server.url}/bench/${operation}/${id}/${argument}`);
  const text = await response.text();
  if (!response.ok) throw new Error(`${operation} of ${id}: ${text}`);
  return JSON.parse(text);
}
