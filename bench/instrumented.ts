import { API_KEY } from './api-key.ts';
import type { RunOptions } from './section.ts';
import { startWorker, type WorkerServer } from './servers.ts';

/** Starts the product with the benchmark's methods on its object (workers/instrumented.mjs).
 * Alone it does not send its events on: a history of 100,000 events that is made in seconds takes ChittyOS minutes. */
export function startInstrumented(
  { workspace }: RunOptions,
  product: 'with ChittyOS' | 'alone',
): Promise<WorkerServer> {
  return startWorker(workspace, {
    name: 'instrumented',
    entry: 'bench/workers/instrumented.mjs',
    product,
    variables: { BOOTSTRAP_API_KEY: API_KEY },
    inspector: true,
  });
}

/** Calls one of the benchmark's methods. @returns what it answers, as JSON */
export async function ask(server: WorkerServer, operation: string, id: string, argument = ''): Promise<unknown> {
  const response = await fetch(`${server.url}/bench/${operation}/${id}/${argument}`);
  const text = await response.text();
  if (!response.ok) throw new Error(`${operation} of ${id}: ${text}`);
  return JSON.parse(text);
}
