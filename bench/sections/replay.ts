import { createContexts } from '../contexts.ts';
import { type Download, download } from '../download.ts';
import { ask, startInstrumented } from '../instrumented.ts';
import { figure, median, verdict } from '../report.ts';
import type { Section } from '../section.ts';

const EVENTS = 100_000;
const AIM = 0.5;

/** Section (f): a whole history as NDJSON. */
export const replay: Section = {
  name: 'replay',
  title: 'Replaying a history',
  method:
    `\`GET …/events\` of a context with ${EVENTS.toLocaleString('en')} events as NDJSON, against one SELECT over the ` +
    'same rows of the same object, streamed through the same RPC in chunks of the same size. The client counts bytes.',
  explanation:
    'What bounds it, read from the code and not from a profile: both sides read text from SQLite, join and encode it and hand it through the RPC stream to the ' +
    'edge and the socket, all on one thread. The events are stored as the text that is sent, so a replay parses ' +
    'nothing; what it adds is a new statement for each page, without which the history could not be read while it ' +
    'grows.',
  async run(options) {
    const server = await startInstrumented(options, 'alone');
    try {
      const events = Math.round(EVENTS / options.shrink);
      const [id = ''] = await createContexts(server.url, 1);
      options.progress(`making ${events} events`);
      await ask(server, 'seed', id, String(events));
      const sides = {
        product: () => download(`${server.url}/v1/contexts/${id}/events`),
        raw: () => download(`${server.url}/bench/raw/${id}`),
      };
      options.progress('replaying');
      const rounds: { product: Download; raw: Download }[] = [];
      for (let round = 0; round <= options.rounds; round++) {
        if (round % 2 === 0) rounds.push({ product: await sides.product(), raw: await sides.raw() });
        else {
          const raw = await sides.raw();
          rounds.push({ product: await sides.product(), raw });
        }
      }
      const counted = rounds.slice(1);
      const [first] = counted;
      if (first?.product.bytes !== first?.raw.bytes) throw new Error('The two sides did not send the same bytes');
      const ratios = counted.map(({ product, raw }) => raw.ms / product.ms);
      const ratio = median(ratios);
      const perSecond = (side: 'product' | 'raw') => median(counted.map((round) => (events * 1000) / round[side].ms));
      const megabytes = (first?.product.bytes ?? 0) / 1e6;
      return {
        table: {
          columns: ['events', 'MB', 'product, events per s', 'raw rows, events per s', 'ratio', 'aim'],
          rows: [
            [
              events.toLocaleString('en'),
              figure(megabytes),
              figure(perSecond('product')),
              figure(perSecond('raw')),
              `**${figure(ratio)}** (${figure(Math.min(...ratios))} to ${figure(Math.max(...ratios))})`,
              `≥ ${figure(AIM)}: ${verdict(ratio >= AIM)}`,
            ],
          ],
        },
      };
    } finally {
      await server.stop();
    }
  },
};
