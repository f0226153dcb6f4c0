import { change } from '../contexts.ts';
import { call, limit, register } from '../identities.ts';
import { type LoadResult, load } from '../load.ts';
import { figure, median, verdict } from '../report.ts';
import type { Section } from '../section.ts';
import { startProduct } from '../servers.ts';

/** Changes in a second that the noisy one may make, and how many times that they send. */
const LIMIT = 50;
const EXCESS = 10;
/** Changes in a second of the quiet one. */
const QUIET = 50;
/** How much longer the quiet one's p99 may be. */
const AIM = 1.5;

/** Whether one caller's excess is another's wait. */
export const neighbour: Section = {
  name: 'neighbour',
  title: 'A quiet caller beside a noisy one',
  method:
    `One actor makes ${QUIET} changes a second on a context of their own, alone and while another sends ${EXCESS} times ` +
    `their limit of ${LIMIT} a second over 16 connections, most of which is answered 429; in turns.`,
  explanation:
    'What bounds it: a request above the limit is refused at the edge, before its body is read or any object asked. What ' +
    'the quiet one waits for is the thread that refuses the others.',
  async run({ workspace, rounds, roundMs, progress }) {
    const server = await startProduct(workspace);
    try {
      const { url } = server;
      const write = { requests: LIMIT, seconds: 1 };
      const [quiet, noisy] = [await register(url, 'Quiet'), await register(url, 'Noisy')];
      const own = async (key: string) =>
        (await call<{ id: string }>(`${url}/v1/contexts`, 'POST', { name: 'x' }, key)).id;
      const [quietId, noisyId] = [await own(quiet.key), await own(noisy.key)];
      const unlimited = { requests: 1_000_000, seconds: 1 };
      await limit(url, {
        classes: { read: unlimited, search: unlimited, manage: unlimited, write },
        actors: { [quiet.actor]: { isExempt: true } },
      });
      const by = (id: string, key: string) => (index: number) => {
        const request = change([id], index);
        return { ...request, headers: { ...request.headers, Authorization: `Bearer ${key}` } };
      };
      const maxMs = 2 * roundMs;
      const quietly = () => load({ url, connections: 2, pace: QUIET, maxMs, request: by(quietId, quiet.key) });
      const noisily = () =>
        load({
          url,
          connections: 16,
          pace: LIMIT * EXCESS,
          maxMs,
          takesRefusals: true,
          request: by(noisyId, noisy.key),
        });
      progress('alone and beside the noisy one');
      const results: { alone: LoadResult; beside: LoadResult; noise: LoadResult }[] = [];
      for (let round = 0; round <= rounds; round++) {
        const alone = await quietly();
        const [beside, noise] = await Promise.all([quietly(), noisily()]);
        results.push({ alone, beside, noise });
      }
      results.shift();
      const ratios = results.map(({ alone, beside }) => beside.p99Ms / alone.p99Ms);
      const middle = (of: (result: (typeof results)[number]) => number) => figure(median(results.map(of)));
      const table = {
        columns: ['', 'alone', 'beside the noisy one', 'ratio', 'aim'],
        rows: [
          ['p50, ms', middle(({ alone }) => alone.p50Ms), middle(({ beside }) => beside.p50Ms), '', ''],
          [
            'p99, ms',
            middle(({ alone }) => alone.p99Ms),
            middle(({ beside }) => beside.p99Ms),
            `**${figure(median(ratios))}** (${figure(Math.min(...ratios))} to ${figure(Math.max(...ratios))})`,
            `≤ ${figure(AIM)}: ${verdict(median(ratios) <= AIM)}`,
          ],
        ],
      };
      const noise = `The noisy one had ${middle((result) => result.noise.perSecond)} answers a second, refusals included.`;
      return { table, notes: [noise] };
    } finally {
      await server.stop();
    }
  },
};
