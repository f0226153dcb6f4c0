import { API_KEY } from '../api-key.ts';
import { type Comparison, compareAll } from '../compare.ts';
import { change, createContexts } from '../contexts.ts';
import { delivered, startInstrumented } from '../instrumented.ts';
import type { Section } from '../section.ts';
import { startWorker, type WorkerServer } from '../servers.ts';
import { OBJECTS } from './append.ts';

/** Turns are so many times as long as elsewhere, after a lead that is as long, and so few at most. */
const TURN = { times: 8, roundsMax: 3 };

/**
 * In turns this long the pause of other sections is too short for 100 contexts: the next request is there before the
 * server has gone through those it serves, it serves the same connections for ever, and one waited for 30 s.
 */
const LOAD = { connections: 128, thinkMs: 20 };

/** What a change costs because its events go on. */
export const sinks: Section = {
  name: 'sinks',
  title: 'A full change with every sink draining and with none',
  method:
    'The same change against the same product whose objects have no sinks. With “every sink” the read models, the queue ' +
    'and its consumer are on, and the embedded ChittyOS services, which on the platform are somebody else’s, run in the ' +
    'same process. 128 connections pause for 20 ms between an answer and the next request. After each turn it is waited until all events are delivered: the other side has the ' +
    'machine to itself, and the last column has the CPU of all deliveries, those after the load included. A turn is 20 s ' +
    'of load that count after 20 s that do not, on both sides: drains begin with the first change and come to their ' +
    'longest pauses, 4 s for the read models and 16 s for the queue, in the course of the lead. So what counts is a load ' +
    'that goes on, in which as much is delivered as comes.',
  explanation:
    'What bounds it: a drain begins with the change but does not hold its answer. What it takes is CPU of the one thread ' +
    'in which, here, everything runs that on the platform is elsewhere: D1 (0.7 ms for the simplest statement through ' +
    'Miniflare, 1.4 ms for a context with its place in the feed, measured apart), the queue, and the ChittyOS services, ' +
    'which check, hash and store each event once each. A context that is changed 14 times a second has some ten of those ' +
    'writes in a turn, half of them in its first three seconds. By `perf` no function stands out in what a change then ' +
    'takes more: it is spread over D1’s, the runtime’s and our code. ' +
    'Of a hot context the deliveries to ChittyOS are left until it is quiet, all but a twenty-fifth of the time for each ' +
    'of the two (`src/delivery/backlog.ts`); of a hundred contexts none is hot, so all of it falls into the turn. To have ' +
    '0.8 of the throughput, all deliveries of a change together would have to take 0.1 ms, a seventh of the simplest call ' +
    'of D1.',
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
      const roundMs = TURN.times * options.roundMs;
      const turns = { ...options, ...LOAD, rounds, roundMs, leadMs: roundMs };
      return { table: await compareAll(comparisons, ['with sinks', 'none'], turns) };
    } finally {
      for (const server of servers) await server.stop();
    }
  },
};
