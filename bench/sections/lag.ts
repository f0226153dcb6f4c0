import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { CHANGE_HEADERS, change, createContexts } from '../contexts.ts';
import { ask, delivered, startInstrumented } from '../instrumented.ts';
import { CONNECTIONS, load, quantile } from '../load.ts';
import { figure } from '../report.ts';
import type { RunOptions, Section } from '../section.ts';
import type { WorkerServer } from '../servers.ts';
import { OBJECTS } from './append.ts';

/** Changes whose way is followed in each case. */
const PROBES = 100;
/** Pauses between two looks, in milliseconds: what the figures are exact to. */
const LOOK_MS = 5;
/** The load goes on for so long before anything is followed: by then the intervals have grown to their longest. */
const WARM_UP_MS = 20_000;
/** Longer than this no change takes. */
const LOST_MS = 120_000;

const page = z.object({ items: z.array(z.object({ id: z.string() })) });
const cursors = z.record(z.string(), z.object({ confirmed: z.number() }));

/** How long a change takes to where it is read. */
interface Lag {
  readonly searchMs: number;
  readonly chronicleMs: number;
}

/** How long after a change search shows it, and ChittyChronicle has it. */
export const lag: Section = {
  name: 'lag',
  title: 'From a change to search and to ChittyChronicle',
  method:
    `A tool with a name of its own is added to a context; from sending that change it is looked every ${LOOK_MS} ms ` +
    'whether `GET /v1/contexts/search` finds the context by it, and whether the context’s object has been told that ' +
    'ChittyChronicle has the event. One change is followed at a time. Under load 64 connections change ' +
    `${OBJECTS} contexts, for ${WARM_UP_MS / 1000} s before the first change is followed: ` +
    '“another context” is one that nobody else changes, “a busy context” one of the hundred.',
  explanation:
    'What bounds it, read from the code and not from a profile: a lone change is written to D1 and sent to the queue at ' +
    'once, and the queue waits up to a second for a batch to fill (`max_batch_timeout`). On a busy context changes wait ' +
    'for the next drain, up to 4 s for D1 and 16 s for the queue (`src/delivery/sinks.ts`): that is what the sinks’ ' +
    'price per change is bought with. Whoever has to find a change at once says `Prefer: wait`.',
  async run(options) {
    const server = await startInstrumented(options, 'with ChittyOS');
    try {
      const probes = Math.max(5, Math.round(PROBES / options.shrink));
      const busy = await createContexts(server.url, OBJECTS);
      const quiet = await createContexts(server.url, probes * 2);
      options.progress('waiting until all are provisioned');
      await delivered(server, [...busy, ...quiet]);
      const table = [line('idle', await follow(server, quiet.slice(0, probes), options))];
      const ending = new AbortController();
      options.progress('load');
      const loaded = underLoad(server, busy, ending.signal);
      await pause(WARM_UP_MS / Math.sqrt(options.shrink));
      table.push(line('under load, another context', await follow(server, quiet.slice(probes), options)));
      const some = Array.from({ length: probes }, (_, index) => busy[index % busy.length] ?? '');
      table.push(line('under load, a busy context', await follow(server, some, options)));
      ending.abort();
      const perSecond = await loaded;
      const columns = ['', 'changes followed', 'to search, p50 / p99, ms', 'to ChittyChronicle, p50 / p99, ms'];
      return { table: { columns, rows: table }, notes: [`The load: ${figure(perSecond)} changes a second.`] };
    } finally {
      await server.stop();
    }
  },
};

/** Changes contexts until it is told to stop. @returns changes per second */
async function underLoad(server: WorkerServer, ids: readonly string[], signal: AbortSignal): Promise<number> {
  const started = performance.now();
  let requests = 0;
  while (!signal.aborted) {
    const from = requests;
    const result = await load({
      url: server.url,
      connections: CONNECTIONS,
      maxMs: 1_000,
      request: (index) => change(ids, from + index),
    });
    requests += result.requests;
  }
  return (requests * 1000) / (performance.now() - started);
}

async function follow(server: WorkerServer, ids: readonly string[], { progress }: RunOptions): Promise<Lag[]> {
  const lags: Lag[] = [];
  for (const [index, id] of ids.entries()) {
    if (index % 10 === 0) progress(`${index} of ${ids.length} changes followed`);
    lags.push(await followOne(server, id, `probe${index}x${id.slice(-6).toLowerCase()}`));
  }
  return lags;
}

async function followOne(server: WorkerServer, id: string, tool: string): Promise<Lag> {
  const started = performance.now();
  const response = await fetch(`${server.url}/v1/contexts/${id}`, {
    method: 'PATCH',
    headers: CHANGE_HEADERS,
    body: JSON.stringify({ tools: [tool] }),
  });
  const { version } = z.object({ version: z.number() }).parse(await response.json());
  const until = async (isThere: () => Promise<boolean>): Promise<number> => {
    while (!(await isThere())) {
      if (performance.now() - started > LOST_MS) throw new Error(`A change of ${id} has not arrived`);
      await pause(LOOK_MS);
    }
    return performance.now() - started;
  };
  const [searchMs, chronicleMs] = await Promise.all([
    until(async () => {
      const found = await fetch(`${server.url}/v1/contexts/search?q=${tool}`, { headers: CHANGE_HEADERS });
      return page.parse(await found.json()).items.some((item) => item.id === id);
    }),
    until(async () => (cursors.parse(await ask(server, 'cursors', id)).chronicle?.confirmed ?? 0) >= version),
  ]);
  return { searchMs, chronicleMs };
}

function line(name: string, lags: readonly Lag[]): string[] {
  const cell = (which: keyof Lag) => {
    const sorted = lags.map((each) => each[which]).sort((a, b) => a - b);
    return `**${figure(quantile(sorted, 0.5))}** / ${figure(quantile(sorted, 0.99))}`;
  };
  return [name, String(lags.length), cell('searchMs'), cell('chronicleMs')];
}
