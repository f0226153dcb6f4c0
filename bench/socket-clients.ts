import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Order, Outcome } from './socket-client.ts';

/** WebSocket clients in a process of their own. */
export interface SocketClients {
  /** Opens a socket for each address, and waits until all were greeted. */
  open(urls: readonly string[]): Promise<void>;
  /** Sends a request and waits until the last socket of `group` has a frame with `marker` in it. */
  time(order: Omit<Extract<Order, { kind: 'time' }>, 'kind'>): Promise<{ readonly ms: number; readonly frame: string }>;
  close(): void;
}

/** Starts the process; it opens nothing yet. */
export function openSockets(): SocketClients {
  const child = fork(fileURLToPath(new URL('socket-client.ts', import.meta.url)), { stdio: 'inherit' });
  const order = (message: Order) =>
    new Promise<Outcome>((resolve, reject) => {
      const ended = () => reject(new Error('The process of the socket clients has ended'));
      child.once('exit', ended);
      child.once('message', (outcome: Outcome) => {
        child.off('exit', ended);
        resolve(outcome);
      });
      child.send(message);
    });
  return {
    open: async (urls) => {
      await order({ kind: 'open', urls });
    },
    time: async (request) => {
      const outcome = await order({ kind: 'time', ...request });
      if (outcome.kind !== 'timed') throw new Error(`The socket clients answered ${outcome.kind}`);
      return outcome;
    },
    close: () => {
      child.kill();
    },
  };
}
