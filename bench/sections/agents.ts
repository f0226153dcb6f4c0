import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Comparison, compareAll } from '../compare.ts';
import { change, changeBody, createContexts } from '../contexts.ts';
import { startInstrumented } from '../instrumented.ts';
import { version } from '../report.ts';
import type { Section } from '../section.ts';
import { ROOT, startWorker } from '../servers.ts';
import { OBJECTS } from './append.ts';

/** A package of its own, so that its dependencies stay out of ours. */
const PEER = 'bench/peers/agents';

/** Section (c): the same change kept by the `agents` SDK. */
export const agents: Section = {
  name: 'agents',
  title: 'A full change and setState of the agents SDK',
  method:
    'The same `PATCH` against an `Agent` that merges the body into its state with `setState`: stored, and sent to ' +
    'whoever is connected, but without authentication, validation, history or hash. The product has its read models on and no ChittyOS in the process. 64 connections.',
  explanation:
    'What bounds it, read from the code and not from a profile: as above for the product. `setState` writes its row in a commit of its own for each change and ' +
    'keeps only the last state; over many objects both are bound by the thread that runs them and by the commit, on a ' +
    'hot one the product’s changes share commits.',
  async run(options) {
    if (!existsSync(join(ROOT, PEER, 'node_modules', 'agents'))) {
      const how = `Not measured: the SDK is not installed. \`npm ci --ignore-scripts --prefix ${PEER}\` installs it.`;
      options.progress(how);
      return { table: { columns: ['result'], rows: [['not measured']] }, notes: [how] };
    }
    const product = await startInstrumented(options, 'alone');
    const peer = await startWorker(options.workspace, {
      name: 'agents',
      entry: `${PEER}/worker.mjs`,
      objects: { AGENTS: 'ContextAgent' },
    });
    try {
      const ids = await createContexts(product.url, OBJECTS);
      const comparisons: Comparison[] = [OBJECTS, 1].map((count) => {
        const contexts = ids.slice(0, count);
        return {
          name: count === 1 ? 'one hot context' : `${count} contexts`,
          subject: { server: product, request: (index) => change(contexts, index) },
          baseline: {
            server: peer,
            request: (index) => ({
              method: 'PATCH',
              path: `/agents/${contexts[index % count]}`,
              headers: { 'Content-Type': 'application/json' },
              body: changeBody(index),
            }),
          },
          aim: 1,
        };
      });
      const installed = version('agents', join(ROOT, PEER));
      return { table: await compareAll(comparisons, ['full change', `agents ${installed}`], options) };
    } finally {
      await product.stop();
      await peer.stop();
    }
  },
};
