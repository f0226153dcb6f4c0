import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { change, changeBody, createContexts } from './contexts.ts';
import { cpuUs } from './cpu.ts';
import { ask, delivered, startInstrumented } from './instrumented.ts';
import { CONNECTIONS, load } from './load.ts';
import type { RunOptions } from './section.ts';
import { startWorker, type WorkerServer } from './servers.ts';

/** Contexts that the wide load is spread over, unless others are asked for. */
export const CONTEXTS = 100;
/** Changes a second on each of many contexts, and on a hot one: what the queue can follow, one message at a time, for good. */
const PER_SECOND = { wide: 10, hot: 60 };
/** Seconds of load: the time between two drains grows to its longest in half a minute. */
const LOAD_S = 60;
/** Contexts that are changed once, alone. */
const LONE = 20;
/** An object that has been idle for so long is evicted, and a change of it comes alone. */
const IDLE_MS = 12_000;
/** Longer than this no alarm is left behind a change. */
const QUIET_MS = 40_000;
const LOOK_MS = 100;

const counts = z.object({
  requests: z.number(),
  batches: z.number(),
  objectCalls: z.number(),
  alarms: z.number(),
  objectMs: z.number(),
  objectRowsRead: z.number(),
  logCalls: z.number(),
  logMs: z.number(),
  logRowsWritten: z.number(),
  bucketWrites: z.number(),
  bucketReads: z.number(),
  d1RowsRead: z.number(),
  d1RowsWritten: z.number(),
  d1Calls: z.number(),
  messages: z.number(),
  messageParts: z.number(),
});

type Counts = z.infer<typeof counts>;

/** What some changes have used of what the platform bills (bench/workers/counting.mjs has the units). */
export interface Use extends Counts {
  readonly name: string;
  readonly changes: number;
  /** How many were made a second. */
  readonly perSecond: number;
  readonly objectRowsWritten: number;
  /** Of the Worker, its objects, its database and, in the product’s case, the embedded services. */
  readonly cpuMs: number;
}

/** What a server says that it has used. */
export function usedBy(answer: unknown): Counts {
  return counts.parse(answer);
}

/**
 * Has changes made and counts all that they have used, until everything they lead to is done: over a hundred contexts
 * and on one at a steady pace, and one by one on contexts that have long been idle.
 *
 * @param contexts fewer than a hundred for a machine that cannot make a thousand changes a second
 */
export async function measureUse(options: RunOptions, contexts = CONTEXTS): Promise<Use[]> {
  const server = await startInstrumented(options, 'with ChittyOS', { isCounting: true });
  try {
    const wide = await createContexts(server.url, contexts);
    const [hot = ''] = await createContexts(server.url, 1);
    const lone = await createContexts(server.url, Math.max(5, Math.round(LONE / options.shrink)));
    options.progress('waiting until all are provisioned');
    await settled(server, [...wide, hot, ...lone]);
    const uses: Use[] = [];
    for (const { name, ids, perSecond } of [
      { name: `${contexts} busy contexts`, ids: wide, perSecond: contexts * PER_SECOND.wide },
      { name: 'one hot context', ids: [hot], perSecond: PER_SECOND.hot },
    ]) {
      options.progress(name);
      uses.push(await count(server, name, ids, () => loadAt(server, ids, perSecond, options)));
    }
    await pause(IDLE_MS);
    options.progress('lone changes');
    uses.push(
      await count(server, 'lone changes', lone, async () => {
        for (const [index, id] of lone.entries()) await changeOnce(server, id, index);
        return lone.length;
      }),
    );
    return uses;
  } finally {
    await server.stop();
  }
}

/** The same of the plain design (bench/workers/plain.mjs): what a change uses there does not depend on the load. */
export async function measurePlain(options: RunOptions): Promise<Use> {
  const server = await startWorker(options.workspace, {
    name: 'plain',
    entry: 'bench/workers/plain.mjs',
    variables: {},
    bindings: {
      bindings: { BENCH_COUNT: '1' },
      d1Databases: ['DB'],
      queueProducers: { CONTEXT_OPS_QUEUE: 'plain' },
      queueConsumers: { plain: { maxBatchSize: 100, maxBatchTimeout: 1 } },
    },
  });
  try {
    const post = async (path: string) => (await fetch(server.url + path, { method: 'POST' })).text();
    await post('/setup');
    const ids = Array.from({ length: CONTEXTS }, (_, index) => `context-${index}`);
    for (const id of ids) await post(`/create/${id}`);
    options.progress('the plain design');
    const used = async () => usedBy(await (await fetch(`${server.url}/bench`)).json());
    const [before, cpuBefore] = [await used(), cpuUs(server.pid)];
    const { requests, perSecond } = await load({
      url: server.url,
      connections: CONNECTIONS,
      maxRequests: Math.max(100, Math.round(2_000 / options.shrink)),
      maxMs: 300_000,
      request: (index) => ({ method: 'PATCH', path: `/change/${ids[index % ids.length]}`, body: changeBody(index) }),
    });
    // The last batch of the queue.
    await pause(3_000);
    const cpuMs = (cpuUs(server.pid) - cpuBefore) / 1000;
    return {
      ...difference(await used(), before),
      name: 'plain',
      changes: requests,
      perSecond,
      objectRowsWritten: 0,
      cpuMs,
    };
  } finally {
    await server.stop();
  }
}

async function count(
  server: WorkerServer,
  name: string,
  ids: readonly string[],
  work: () => Promise<number>,
): Promise<Use> {
  const before = usedBy(await ask(server, 'used', ''));
  const [rowsBefore, cpuBefore] = [await rowsOf(server, ids), cpuUs(server.pid)];
  const started = performance.now();
  const changes = await work();
  const perSecond = (changes * 1000) / (performance.now() - started);
  await settled(server, ids);
  const cpuMs = (cpuUs(server.pid) - cpuBefore) / 1000;
  const objectRowsWritten = (await rowsOf(server, ids)) - rowsBefore;
  const used = difference(usedBy(await ask(server, 'used', '')), before);
  return { ...used, name, changes, perSecond, objectRowsWritten, cpuMs };
}

function difference(after: Counts, before: Counts): Counts {
  return counts.parse(Object.fromEntries(counts.keyof().options.map((name) => [name, after[name] - before[name]])));
}

/** Makes so many changes each second, as long as the server keeps up. @returns how many were made */
async function loadAt(
  server: WorkerServer,
  ids: readonly string[],
  perSecond: number,
  { shrink }: RunOptions,
): Promise<number> {
  let changes = 0;
  for (let second = 0; second < LOAD_S / shrink; second++) {
    const [first, next] = [changes, pause(1_000)];
    const { requests } = await load({
      url: server.url,
      connections: Math.min(CONNECTIONS, perSecond),
      maxRequests: perSecond,
      maxMs: 10_000,
      request: (index) => change(ids, first + index),
    });
    changes += requests;
    await next;
  }
  return changes;
}

async function changeOnce(server: WorkerServer, id: string, index: number): Promise<void> {
  const { method, path, headers = {}, body = '' } = change([id], index);
  const response = await fetch(server.url + path, { method, headers, body });
  if (!response.ok) throw new Error(await response.text());
  await response.text();
}

/**
 * Waits until these contexts have nothing under way: everything is delivered, and no alarm is due soon. An alarm that
 * does not come is not waited for without end: it would be one use more or less.
 */
async function settled(server: WorkerServer, ids: readonly string[]): Promise<void> {
  await delivered(server, ids);
  const latest = performance.now() + QUIET_MS;
  for (const id of ids) {
    while (performance.now() < latest && (await ask(server, 'quiet', id)) !== true) await pause(LOOK_MS);
  }
}

async function rowsOf(server: WorkerServer, ids: readonly string[]): Promise<number> {
  const all = await Promise.all(ids.map((id) => ask(server, 'rows', id)));
  return all.reduce<number>((sum, each) => sum + Number(each), 0);
}
