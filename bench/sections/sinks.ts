import { API_KEY } from '../api-key.ts';
import { type Comparison, compareAll } from '../compare.ts';
import { change, createContexts } from '../contexts.ts';
import { delivered, startInstrumented } from '../instrumented.ts';
import type { Section } from '../section.ts';
import { startWorker, type WorkerServer } from '../servers.ts';
import { OBJECTS } from './append.ts';

/** Turns are so many times as long as elsewhere, and so few at most. */
const TURN = { times: 5, roundsMax: 3 };

/** What a change costs because its events go on. */
export const sinks: Section = {
  name: 'sinks',
  title: 'A full change with every sink draining and with none',
  method:
    'The same change against the same product whose objects have no sinks. With “every sink” the read models, the queue ' +
    'and its consumer are on, and the embedded ChittyOS services, which on the platform are somebody else’s, run in the ' +
    'same process. 64 connections. After each turn it is waited until all events are delivered: the other side has the ' +
    'machine to itself, and the last column has the CPU of all deliveries, those after the load included. The turns are ' +
    'longer than elsewhere, and fewer: drains begin with the first change and come to their longest pauses, 4 s for the ' +
    'read models and 16 s for the queue, in the course of a turn.',
  explanation:
    'What bounds it, read from the code and not from a profile: a drain begins with the change but does not hold its ' +
    'answer. What it takes is CPU of the same thread, once per interval and context, and the longer a context stays ' +
    'busy, the more changes share an interval. What goes to ChittyOS costs each event again, in this thread the services ' +
    'included; while a context is changed all the time, each of the two takes a twenty-fifth of the time ' +
    '(`src/delivery/backlog.ts`) and the rest when that is over.',
  async run(options) {
    const none = await startWorker(options.workspace, {
      name: 'no-sinks',
      entry: 'bench/workers/no-sinks.mjs',
      product: 'alone',
      variables: { BOOTSTRAP_API_KEY: API_KEY },
    });
    const servers: WorkerServer[] = [none];
    try {
      const comparisons: Comparison[] = [];
      const without = await createContexts(none.url, OBJECTS);
      for (const { label, product } of [
        { label: 'read models', product: 'alone' },
        { label: 'every sink', product: 'with ChittyOS' },
      ] as const) {
        const server = await startInstrumented(options, product, { name: product.replaceAll(' ', '-').toLowerCase() });
        servers.push(server);
        const ids = await createContexts(server.url, OBJECTS);
        await delivered(server, ids);
        for (const count of [OBJECTS, 1]) {
          comparisons.push({
            name: count === 1 ? `one hot context, ${label}` : `${count} contexts, ${label}`,
            subject: {
              server,
              request: (index) => change(ids.slice(0, count), index),
              settle: () => delivered(server, ids.slice(0, count)),
            },
            baseline: { server: none, request: (index) => change(without.slice(0, count), index) },
            ...(label === 'every sink' && { aim: 0.8 }),
          });
        }
      }
      const rounds = Math.min(options.rounds, TURN.roundsMax);
      const turns = { ...options, rounds, roundMs: TURN.times * options.roundMs };
      return { table: await compareAll(comparisons, ['with sinks', 'none'], turns) };
    } finally {
      for (const server of servers) await server.stop();
    }
  },
};
