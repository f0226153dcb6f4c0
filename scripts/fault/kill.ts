import { setTimeout as pause } from 'node:timers/promises';
import {
  childrenOf,
  isRunning,
  type Server,
  type ServerProcess,
  type StartOptions,
  spawnServer,
  startServer,
  waitFor,
} from '../../test/support/server.ts';
import type { Random } from './random.ts';

/** How a server is killed; each is repeated so often in a draw of this list. */
const WAYS = [
  'node',
  'node',
  'node',
  'node and start at once',
  'node and start at once',
  'node and workerd',
  'workerd, then node',
  'workerd alone',
  'workerd alone',
  'node, and again while it starts',
] as const;

/** One of the ways to kill a server. */
export type Way = (typeof WAYS)[number];

/** Milliseconds for which the guard may take to notice that node is gone: it looks every 500 ms. */
const ORPHAN_MAX_MS = 20_000;
/** Milliseconds after which a start is killed at most; it takes about 2,000 ms. */
const START_KILL_MAX_MS = 2_500;
/** Milliseconds between killing workerd and killing node at most: a new workerd may just be starting. */
const BETWEEN_KILLS_MAX_MS = 400;

/** What a kill showed. */
export interface Killed {
  readonly way: Way;
  /** How long workerd outlived node, in milliseconds. */
  readonly orphanedMs: number;
  /** A server on the same data that answers. */
  readonly server: Server;
  /** How long it took until it answered, in milliseconds. */
  readonly downMs: number;
}

/** Draws a way to kill. */
export function drawWay(random: Random): Way {
  return random.pick([...WAYS]);
}

/**
 * Kills a server with SIGKILL and brings it up again on the same data.
 *
 * @throws when a workerd is left behind or the server does not come up
 */
export async function killAndRestart(server: Server, way: Way, start: StartOptions, random: Random): Promise<Killed> {
  const killedAt = performance.now();
  const workerd = childrenOf(server.pid);
  if (workerd.length === 0) throw new Error('The server has no workerd');
  if (way !== 'node' && way !== 'node and start at once') for (const pid of workerd) kill(pid);
  if (way === 'workerd alone') {
    // Node notices and starts another one: nobody has to.
    await waitFor('node to start another workerd', () => childrenOf(server.pid).some((pid) => !workerd.includes(pid)));
    await waitFor('the server to answer again', () => answers(server.url), 60_000);
    return { way, orphanedMs: 0, server, downMs: performance.now() - killedAt };
  }
  if (way === 'workerd, then node') await pause(random.between(0, BETWEEN_KILLS_MAX_MS));
  const children = childrenOf(server.pid);
  const orphans = [...new Set([...workerd, ...children])];
  server.kill('SIGKILL');
  const gone = untilGone(server, orphans);
  await waitFor('node to be gone', server.isGone);
  if (way !== 'node and start at once') await gone;
  if (way === 'node, and again while it starts') await killWhileStarting(start, random);
  const restarted = await startServer(start);
  return { way, orphanedMs: await gone, server: restarted, downMs: performance.now() - killedAt };
}

async function killWhileStarting(start: StartOptions, random: Random): Promise<void> {
  const starting = spawnServer(start);
  await pause(random.between(0, START_KILL_MAX_MS));
  const children = childrenOf(starting.pid);
  starting.kill('SIGKILL');
  await untilGone(starting, children);
}

/** @returns milliseconds from node's end to the end of the last of its children */
async function untilGone(server: ServerProcess, children: readonly number[]): Promise<number> {
  await waitFor('node to be gone', server.isGone);
  const since = performance.now();
  await waitFor('workerd to follow node', () => !children.some(isRunning), ORPHAN_MAX_MS);
  return performance.now() - since;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

async function answers(url: string): Promise<boolean> {
  const response = await fetch(`${url}/health`, { headers: { Connection: 'close' } }).catch(() => null);
  await response?.text();
  return response?.ok ?? false;
}
