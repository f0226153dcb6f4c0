import type { Socket } from 'node:net';
import { deafSubscriber } from '../../test/support/deaf-subscriber.ts';
import { API_KEY } from '../api-key.ts';
import { type Comparison, compareAll } from '../compare.ts';
import { change, createContexts } from '../contexts.ts';
import { startInstrumented } from '../instrumented.ts';
import type { Section } from '../section.ts';
import { openSockets } from '../socket-clients.ts';
import { OBJECTS } from './append.ts';

/** Sockets of one context that read nothing. */
const DEAF = 40;

/** Section (b): what a live subscriber costs the writers. */
export const subscriber: Section = {
  name: 'subscriber',
  title: 'A full change with one live subscriber and with none',
  method:
    'The same change on contexts that each have one WebSocket subscriber, against contexts of the same server that ' +
    'have none; in the last row one context has 40 that read no byte after their handshake. The subscribers are in a process of their own, which shares the cores with the server and the load. The product has its read models on and no ChittyOS in the process.',
  explanation:
    'What bounds it, read from the code and not from a profile: a subscriber is one more `send` in the object’s turn and one more write to a socket per change, ' +
    'and the process that receives takes its share of the cores.',
  async run(options) {
    const product = await startInstrumented(options, 'alone');
    const clients = openSockets();
    const sockets: Socket[] = [];
    try {
      const watched = await createContexts(product.url, OBJECTS);
      const unwatched = await createContexts(product.url, OBJECTS);
      await clients.open(watched.map((id) => `${product.url}/v1/contexts/${id}/live`));
      const comparisons: Comparison[] = [OBJECTS, 1].map((count) => ({
        name: count === 1 ? 'one hot context' : `${count} contexts`,
        subject: { server: product, request: (index) => change(watched.slice(0, count), index) },
        baseline: { server: product, request: (index) => change(unwatched.slice(0, count), index) },
      }));
      const [deaf = ''] = await createContexts(product.url, 1);
      const live = `${product.url}/v1/contexts/${deaf}/live`;
      for (let count = 0; count < DEAF; count++) sockets.push(await deafSubscriber(live, API_KEY));
      comparisons.push({
        name: `one hot context, ${DEAF} that read nothing`,
        subject: { server: product, request: (index) => change([deaf], index) },
        baseline: { server: product, request: (index) => change(unwatched.slice(0, 1), index) },
      });
      return { table: await compareAll(comparisons, ['one subscriber', 'none'], options) };
    } finally {
      for (const socket of sockets) socket.destroy();
      clients.close();
      await product.stop();
    }
  },
};
