import { type Comparison, compareAll, type Side } from '../compare.ts';
import { change, changeBody, createContexts } from '../contexts.ts';
import { startInstrumented } from '../instrumented.ts';
import type { Section } from '../section.ts';
import { BARE, type BenchServer, startProduct, startWorker } from '../servers.ts';

/** Objects that the wide load is spread over. */
export const OBJECTS = 100;

/** Section (a): what a full change costs over a bare row. */
export const append: Section = {
  name: 'append',
  title: 'A full change and a bare append',
  method:
    `A \`PATCH\` that changes name and description each time, over ${OBJECTS} contexts and on one, with authentication, ` +
    'validation, event, hash, snapshot, subscribers and cursors on, against a Worker that reads the body and calls a ' +
    'method of a Durable Object which inserts it as one row and returns the version. 64 connections. The product runs ' +
    'once with its read models alone, and once as `npm start` has it, with the queue and the embedded ChittyOS services ' +
    'in the same process; what those do with the events then counts as part of the change.',
  explanation:
    'What bounds it: each side keeps one thread busy, and the engine’s own work for a request (HTTP, the RPC to the ' +
    'object, one SQLite transaction with its `fsync`) is the same on both. The last column leaves the disk out. By ' +
    '`perf` (taken before there were sinks, data in memory) about half of what a change adds to the bare form is at the edge after the body ' +
    'has arrived (reading and validating it, checking the key and the id, the headers of the answer), about a fifth ' +
    'each is the object’s turn and garbage collection, the rest routing. Under 5 % of the samples are in compiled ' +
    'JavaScript: most goes to the runtime’s objects behind requests, headers, RPC arguments and promises. Events go on ' +
    'to the read models and to ChittyOS in batches, the later the busier a context is; what is still under way when ' +
    'the load ends is not counted. A turn is mostly the beginning of a load, in which each context is written to D1 and ' +
    'to the audit trail twice within half a second. On one hot context commands that arrive together share a commit, which the bare ' +
    'form does not do: the slower the disk, the more that is worth.',
  async run(options) {
    const whole = await startProduct(options.workspace);
    const alone = await startInstrumented(options, 'alone');
    const bare = await startWorker(options.workspace, BARE);
    const compareWithBare = async (server: BenchServer, label: string): Promise<Comparison[]> => {
      const ids = await createContexts(server.url, OBJECTS);
      return [
        { name: `${OBJECTS} contexts, ${label}`, count: OBJECTS, aim: 0.85 },
        { name: `one hot context, ${label}`, count: 1, aim: 0.8 },
      ].map(({ name, count, aim }) => {
        const contexts = ids.slice(0, count);
        const baseline: Side = {
          server: bare,
          request: (index) => ({
            method: 'PATCH',
            path: `/append/${contexts[index % count]}`,
            headers: { 'Content-Type': 'application/json' },
            body: changeBody(index),
          }),
        };
        return { name, subject: { server, request: (index) => change(contexts, index) }, baseline, aim };
      });
    };
    try {
      const comparisons = [
        ...(await compareWithBare(alone, 'read models')),
        ...(await compareWithBare(whole, 'and ChittyOS')),
      ];
      return { table: await compareAll(comparisons, ['full change', 'bare append'], options) };
    } finally {
      await whole.stop();
      await alone.stop();
      await bare.stop();
    }
  },
};
