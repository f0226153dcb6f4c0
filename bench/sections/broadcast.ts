import { CHANGE_HEADERS, createContexts } from '../contexts.ts';
import { figure, median, verdict } from '../report.ts';
import type { Section } from '../section.ts';
import { BARE, startProduct, startWorker } from '../servers.ts';
import { openSockets } from '../socket-clients.ts';

const SIZES = [1_000, 10_000];
const AIM = 1.3;

/** Section (g): one change to many sockets. */
export const broadcast: Section = {
  name: 'broadcast',
  title: 'One change to many sockets',
  method:
    'The time from sending a change to the last of the sockets having its event, against an object that hands a posted ' +
    'message of the same bytes to all of its hibernating sockets and stores nothing. Each side has its clients in a ' +
    'process of its own; all sockets of both sides stay open while the sides are measured in turns.',
  explanation:
    'What bounds it, read from the code and not from a profile: one `send` and one write to a socket per subscriber, on the object’s thread, while the clients read ' +
    'on the other core. What the product adds per socket is a look-up of where the subscriber stands, and once per ' +
    'change its commit; the frame is built once for all.',
  async run(options) {
    const [product, bare] = [await startProduct(options.workspace), await startWorker(options.workspace, BARE)];
    const [productClients, bareClients] = [openSockets(), openSockets()];
    try {
      const table: string[][] = [];
      for (const size of SIZES.map((full) => Math.round(full / options.shrink))) {
        options.progress(`opening 2 × ${size} sockets`);
        const [id = ''] = await createContexts(product.url, 1);
        const [live, bareUrl] = [`${product.url}/v1/contexts/${id}/live`, `${bare.url}/broadcast/${id}`];
        await productClients.open(Array.from({ length: size }, () => live));
        await bareClients.open(Array.from({ length: size }, () => bareUrl));
        const timeProduct = (marker: string) => {
          const body = `{"name":"${marker}","description":"What the team does"}`;
          const init = { method: 'PATCH', headers: CHANGE_HEADERS, body };
          return productClients.time({
            group: live,
            marker,
            request: { url: `${product.url}/v1/contexts/${id}`, init },
          });
        };
        const timeBare = (marker: string, body: string) =>
          bareClients.time({ group: bareUrl, marker, request: { url: bareUrl, init: { method: 'POST', body } } });
        options.progress(`broadcasting to ${size} sockets`);
        const rounds: { product: number; bare: number }[] = [];
        // The first gives the frame whose bytes the bare side sends, and does not count.
        const { frame } = await timeProduct('marker-00');
        await timeBare('marker-00', frame);
        for (let round = 1; round <= options.rounds; round++) {
          const marker = `marker-${String(round).padStart(2, '0')}`;
          const message = frame.replaceAll('marker-00', marker);
          if (round % 2 === 0) {
            rounds.push({ product: (await timeProduct(marker)).ms, bare: (await timeBare(marker, message)).ms });
          } else {
            const first = await timeBare(marker, message);
            rounds.push({ product: (await timeProduct(marker)).ms, bare: first.ms });
          }
        }
        const ratios = rounds.map((round) => round.product / round.bare);
        const ratio = median(ratios);
        table.push([
          size.toLocaleString('en'),
          String(Buffer.byteLength(frame)),
          figure(median(rounds.map((round) => round.product))),
          figure(median(rounds.map((round) => round.bare))),
          `**${figure(ratio)}** (${figure(Math.min(...ratios))} to ${figure(Math.max(...ratios))})`,
          `≤ ${figure(AIM)}: ${verdict(ratio <= AIM)}`,
        ]);
      }
      const columns = ['sockets', 'bytes each', 'change, ms', 'bare broadcast, ms', 'ratio', 'aim'];
      return { table: { columns, rows: table } };
    } finally {
      productClients.close();
      bareClients.close();
      await product.stop();
      await bare.stop();
    }
  },
};
