import { CHANGE_HEADERS, createContexts } from '../contexts.ts';
import { Inspector } from '../inspector.ts';
import { ask, startInstrumented } from '../instrumented.ts';
import { figure, median, verdict } from '../report.ts';
import type { Section } from '../section.ts';
import type { WorkerServer } from '../servers.ts';

/** Events of each context. 99 more than a multiple of 100 is the longest tail behind a snapshot. */
const SIZES = [10, 10_000, 10_099, 100_000, 100_099];
/** Wakings that are timed per size. */
const WAKINGS = 51;
/** Wakings whose memory is measured per size; each costs two full collections of garbage. */
const WEIGHINGS = 7;
const AIM = 2;

/** Section (e): the first request after an eviction. */
export const wake: Section = {
  name: 'wake',
  title: 'Waking up',
  method:
    `The object is evicted (\`abort\`) and the next \`GET\` of its context is timed, ${WAKINGS} times for each length ` +
    'in turn; the same `GET` while it is awake is beside it. The memory is what V8’s heap holds more, after a ' +
    'collection, when the object is awake than when it is not.',
  explanation:
    'What bounds it, read from the code and not from a profile: opening the SQLite file and reading its schema, then the last snapshot and the events behind it, ' +
    'of which there are at most 99. The length of the log only shows as another level or two of the B-tree, so ' +
    'lengths differ by their tails: 10,000 and 100,000 have none, 10,099 and 100,099 the longest. The object keeps ' +
    'its state, the text of it and the identity of the last event, never the log.',
  async run(options) {
    const server = await startInstrumented(options, 'alone');
    try {
      const sizes = SIZES.map((size) => (size > 1000 ? Math.ceil(size / options.shrink) : size));
      const ids = await createContexts(server.url, sizes.length);
      const contexts = sizes.map((events, index) => ({ events, id: ids[index] ?? '' }));
      for (const { id, events } of contexts) {
        options.progress(`making ${events} events`);
        await ask(server, 'seed', id, String(events));
      }
      options.progress('waking');
      const times = new Map<string, { woken: number[]; awake: number[] }>();
      for (let round = 0; round <= WAKINGS; round++) {
        for (const { id } of contexts) {
          await ask(server, 'evict', id);
          const woken = await timeRead(server, id);
          const awake = await timeRead(server, id);
          // The first round does not count: the edge itself is cold.
          if (round === 0) times.set(id, { woken: [], awake: [] });
          else {
            times.get(id)?.woken.push(woken);
            times.get(id)?.awake.push(awake);
          }
        }
      }
      options.progress('weighing');
      const inspector = await Inspector.connect(server);
      const reference = median(times.get(ids[0] ?? '')?.woken ?? []);
      const table: string[][] = [];
      for (const { id, events } of contexts) {
        const { woken, awake } = times.get(id) ?? { woken: [], awake: [] };
        const ratio = median(woken) / reference;
        const bytes = await weigh(server, inspector, id);
        table.push([
          events.toLocaleString('en'),
          figure(median(woken)),
          figure(median(awake)),
          `**${figure(ratio)}**`,
          `≤ ${figure(AIM)}: ${verdict(ratio <= AIM && ratio >= 1 / AIM)}`,
          figure(bytes / 1024),
        ]);
      }
      inspector.close();
      const columns = [
        'events',
        'first read, ms',
        'next read, ms',
        `ratio to ${sizes[0]} events`,
        'aim',
        'V8 heap, KiB',
      ];
      return { table: { columns, rows: table } };
    } finally {
      await server.stop();
    }
  },
};

async function timeRead(server: WorkerServer, id: string): Promise<number> {
  const started = performance.now();
  const response = await fetch(`${server.url}/v1/contexts/${id}`, { headers: CHANGE_HEADERS });
  await response.text();
  if (!response.ok) throw new Error(`Reading ${id} was answered ${response.status}`);
  return performance.now() - started;
}

async function weigh(server: WorkerServer, inspector: Inspector, id: string): Promise<number> {
  const weights: number[] = [];
  for (let round = 0; round < WEIGHINGS; round++) {
    await ask(server, 'evict', id);
    const asleep = await inspector.heapBytes();
    await timeRead(server, id);
    weights.push((await inspector.heapBytes()) - asleep);
  }
  return median(weights);
}
