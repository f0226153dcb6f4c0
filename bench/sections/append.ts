import { type Comparison, compareAll, type Side } from '../compare.ts';
import { change, changeBody, createContexts } from '../contexts.ts';
import type { Section } from '../section.ts';
import { BARE, startProduct, startWorker } from '../servers.ts';

/** Objects that the wide load is spread over. */
export const OBJECTS = 100;

/** Section (a): what a full change costs over a bare row. */
export const append: Section = {
  name: 'append',
  title: 'A full change and a bare append',
  method:
    `A \`PATCH\` that changes name and description each time, over ${OBJECTS} contexts and on one, with authentication, ` +
    'validation, event, hash, snapshot, subscribers and every sink on (read models in D1, the queue and ChittyOS in the ' +
    'same process, as npm start has them), against a Worker that reads the body and calls a method of a ' +
    'Durable Object which inserts it as one row and returns the version. 32 connections.',
  explanation:
    'What bounds it: both sides keep one thread busy, and the engine’s own work for a request (HTTP, the RPC to the ' +
    'object, one SQLite transaction with its `fsync`) is the same on both. `perf` over 100 contexts puts about half of ' +
    'what the product adds at the edge after the body has arrived (reading and validating it, the checks of the key ' +
    'and the id, the headers of the answer), a fifth each in the object’s turn (event, hash, evolve) and in collecting ' +
    'the garbage of both, and the rest in routing. Only a twentieth of the samples are in compiled JavaScript: most of ' +
    'the time goes to the runtime’s objects behind requests, responses, headers and promises, so fewer of those is ' +
    'what helps. On one hot context commands that arrive together share one commit, which the bare form does not do: ' +
    'the slower the disk, the more that is worth.',
  async run(options) {
    const product = await startProduct(options.workspace);
    const bare = await startWorker(options.workspace, BARE);
    try {
      const ids = await createContexts(product.url, OBJECTS);
      const comparisons: Comparison[] = [
        { name: `${OBJECTS} contexts`, count: OBJECTS, aim: 0.85 },
        { name: 'one hot context', count: 1, aim: 0.8 },
      ].map(({ name, count, aim }) => {
        const contexts = ids.slice(0, count);
        const subject: Side = { url: product.url, request: (index) => change(contexts, index) };
        const baseline: Side = {
          url: bare.url,
          request: (index) => ({
            method: 'PATCH',
            path: `/append/${contexts[index % count]}`,
            headers: { 'Content-Type': 'application/json' },
            body: changeBody(index),
          }),
        };
        return { name, subject, baseline, aim };
      });
      return { table: await compareAll(comparisons, ['full change', 'bare append'], options) };
    } finally {
      await product.stop();
      await bare.stop();
    }
  },
};
