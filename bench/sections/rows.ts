import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '../../test/support/server.ts';
import { CHANGE_HEADERS, change, createContexts } from '../contexts.ts';
import { ask, startInstrumented } from '../instrumented.ts';
import { CONNECTIONS, load } from '../load.ts';
import { figure, verdict } from '../report.ts';
import type { Section } from '../section.ts';
import type { WorkerServer } from '../servers.ts';
import { OBJECTS } from './append.ts';

/** Changes under load, in all. */
const CHANGES = 20_000;
/** Contexts that are changed once, alone. */
const LONE = 5;
/** An object that has been idle for so long is evicted, and nothing of what it did before is under way. */
const IDLE_MS = 12_000;
/** Longer than this no alarm is left behind a lone change. */
const QUIET_MS = 120_000;

/** Section (d): rows written per change, which is what the platform bills. */
export const rows: Section = {
  name: 'rows',
  title: 'Rows written per change',
  method:
    'Counted inside the object: the `rowsWritten` of every statement of the product, and one row each time the alarm ' +
    'is set. A lone change is counted until the object is quiet: no alarm is due within a minute. All sinks are on.',
  explanation:
    'What bounds it, read from the code and not from a profile: the event’s own row, a snapshot for every hundredth event, the answer that is kept for an ' +
    'Idempotency-Key, and the alarm and the row of the cursors wherever a destination is behind. The alarm is set ' +
    'once for all the changes until it fires, so the busier an object is, the less of it falls on each.',
  async run(options) {
    const server = await startInstrumented(options, 'with ChittyOS');
    try {
      const changes = Math.max(OBJECTS, Math.round(CHANGES / options.shrink));
      options.progress('a lone change');
      const lone = await createContexts(server.url, LONE);
      for (const id of lone) await quiet(server, id);
      // A lone change is one that comes long after the last.
      await pause(IDLE_MS);
      const beforeLone = await total(server, lone);
      for (const id of lone) await changeOnce(server, id);
      for (const id of lone) await quiet(server, id);
      const alone = line('a lone change', LONE, (await total(server, lone)) - beforeLone, 4);
      const wide = await createContexts(server.url, OBJECTS);
      const [hot = '', keyed = ''] = await createContexts(server.url, 2);
      const cases = [
        { name: `under load, ${OBJECTS} contexts`, ids: wide, aim: 1.1, key: false },
        { name: 'under load, one hot context', ids: [hot], aim: 1.1, key: false },
        { name: 'under load, one hot context, with an Idempotency-Key', ids: [keyed], aim: 2.1, key: true },
      ];
      const table = [];
      for (const { name, ids, aim, key } of cases) {
        options.progress(name);
        const before = await total(server, ids);
        const { requests } = await load({
          url: server.url,
          connections: CONNECTIONS,
          maxRequests: changes,
          maxMs: 300_000,
          request(index) {
            const request = change(ids, index);
            return key ? { ...request, headers: { ...CHANGE_HEADERS, 'Idempotency-Key': `key-${index}` } } : request;
          },
        });
        table.push(line(name, requests, (await total(server, ids)) - before, aim));
      }
      table.push(alone);
      return { table: { columns: ['', 'changes', 'rows written', 'rows per change', 'aim'], rows: table } };
    } finally {
      await server.stop();
    }
  },
};

async function changeOnce(server: WorkerServer, id: string): Promise<void> {
  const { method, path, headers = {}, body = '' } = change([id], 0);
  const response = await fetch(server.url + path, { method, headers, body });
  if (!response.ok) throw new Error(await response.text());
  await response.text();
}

function line(name: string, changes: number, written: number, aim: number): string[] {
  // Each change is at least its event's row: less than that is a fault of the counting, and must not pass for a good figure.
  if (written < changes) throw new Error(`${name}: ${written} rows for ${changes} changes`);
  const perChange = written / changes;
  const count = (value: number) => value.toLocaleString('en');
  return [
    name,
    count(changes),
    count(written),
    `**${figure(perChange)}**`,
    `≤ ${figure(aim)}: ${verdict(perChange <= aim)}`,
  ];
}

async function total(server: WorkerServer, ids: readonly string[]): Promise<number> {
  const counts = await Promise.all(ids.map((id) => ask(server, 'rows', id)));
  return counts.reduce<number>((sum, count) => sum + Number(count), 0);
}

function quiet(server: WorkerServer, id: string): Promise<void> {
  return waitFor('the object to be quiet', async () => (await ask(server, 'quiet', id)) === true, QUIET_MS);
}
