import { z } from 'zod';
import { API_KEY } from '../api-key.ts';
import { change } from '../contexts.ts';
import { ask, startInstrumented } from '../instrumented.ts';
import { CONNECTIONS, load } from '../load.ts';
import { figure, median } from '../report.ts';
import type { Section } from '../section.ts';
import type { WorkerServer } from '../servers.ts';
import { usedBy } from '../use.ts';

/** Streams that are rebuilt. */
const STREAMS = 10_000;
/** Rebuilds that count. */
const REBUILDS = 3;

const part = z.object({ rebuilt: z.number(), nextCursor: z.string().nullable() });

/** What came of a rebuild. */
interface Rebuild {
  readonly streams: number;
  readonly ms: number;
  readonly rows: number;
}

/** How quickly the read models come back from the logs. */
export const rebuild: Section = {
  name: 'rebuild',
  title: 'Rebuilding the read models',
  method:
    `\`npm run rebuild\` on ${STREAMS.toLocaleString('en')} contexts: the read models are emptied and filled from the ` +
    'objects, page by page. Rows are what D1 says that it has written, those of the emptying included. “While changes ' +
    'go on” has 64 connections change contexts meanwhile.',
  explanation:
    'What bounds it, read from the code and not from a profile: each stream is a few calls to its object, which has to ' +
    'wake up first (see “Waking up”); the states of 50, their first 200 events in the feed and in the audit trail are a ' +
    'few transactions of D1 together, so it goes by the disk’s commit. What is longer is delivered by the stream itself.',
  async run(options) {
    const server = await startInstrumented(options, 'alone', { isCounting: true });
    try {
      const streams = Math.max(300, Math.round(STREAMS / options.shrink));
      options.progress(`creating ${streams} contexts`);
      const ids = await createMany(server, streams);
      const table: string[][] = [];
      for (const isBusy of [false, true]) {
        const name = isBusy ? 'while changes go on' : 'alone';
        options.progress(name);
        const rebuilds: Rebuild[] = [];
        for (let round = 0; round <= Math.min(REBUILDS, options.rounds); round++) {
          const ending = new AbortController();
          const loaded = isBusy ? changeUntil(server, ids, ending.signal) : Promise.resolve();
          rebuilds.push(await rebuildOnce(server));
          ending.abort();
          await loaded;
        }
        const counted = rebuilds.slice(1);
        const rate = (what: 'streams' | 'rows') => figure(median(counted.map((each) => (each[what] * 1000) / each.ms)));
        const seconds = figure(median(counted.map(({ ms }) => ms / 1000)));
        table.push([
          name,
          String(counted[0]?.streams ?? 0),
          seconds,
          `**${rate('streams')}**`,
          isBusy ? '' : rate('rows'),
        ]);
      }
      return { table: { columns: ['', 'streams', 's', 'streams per s', 'D1 rows per s'], rows: table } };
    } finally {
      await server.stop();
    }
  },
};

async function createMany(server: WorkerServer, count: number): Promise<string[]> {
  await load({
    url: server.url,
    connections: CONNECTIONS,
    maxRequests: count,
    maxMs: 600_000,
    request: (index) => ({
      method: 'POST',
      path: '/v1/contexts',
      headers: { Authorization: `Bearer ${API_KEY}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: `Quarterly planning ${index}`, description: `What team ${index} does` }),
    }),
  });
  const answer = await fetch(`${server.url}/v1/contexts?limit=100`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
  });
  const { items } = z.object({ items: z.array(z.object({ id: z.string() })) }).parse(await answer.json());
  return items.map(({ id }) => id);
}

async function rebuildOnce(server: WorkerServer): Promise<Rebuild> {
  const before = usedBy(await ask(server, 'used', ''));
  const started = performance.now();
  let streams = 0;
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const query = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`;
    const headers = { Authorization: `Bearer ${API_KEY}` };
    const response = await fetch(`${server.url}/v1/admin/rebuild${query}`, { method: 'POST', headers });
    const { rebuilt, nextCursor } = part.parse(await response.json());
    streams += rebuilt;
    cursor = nextCursor;
  }
  const ms = performance.now() - started;
  return { streams, ms, rows: usedBy(await ask(server, 'used', '')).d1RowsWritten - before.d1RowsWritten };
}

async function changeUntil(server: WorkerServer, ids: readonly string[], signal: AbortSignal): Promise<void> {
  for (let from = 0; !signal.aborted; ) {
    const { requests } = await load({
      url: server.url,
      connections: CONNECTIONS,
      maxMs: 500,
      request: (index) => change(ids, from + index),
    });
    from += requests;
  }
}
