import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { API_KEY } from '../api-key.ts';
import { createContexts } from '../contexts.ts';
import { type Download, download } from '../download.ts';
import { ask, startInstrumented } from '../instrumented.ts';
import { quantile } from '../load.ts';
import { figure, median, verdict } from '../report.ts';
import type { Section } from '../section.ts';

/** Events of the stream. */
const EVENTS = 1_000_000;
/** Proofs of each kind, and states of the past. */
const READS = 1_000;
/** How long the audit trail may take to have all events, after which they can be moved, in milliseconds. */
const DELIVERED_MS = 20 * 60_000;
const RATIO_AIM = 0.25;
const READ_AIM_MS = 100;

const archived = z.object({ segments: z.int(), events: z.int(), bytes: z.int(), isComplete: z.boolean() });

/** Section: a long history of which nearly all is cold. */
export const cold: Section = {
  name: 'cold',
  title: 'Cold history: replay, proofs and the past of a million events in segments',
  method:
    `One context with ${EVENTS.toLocaleString('en')} events. Its history as NDJSON while all of it is in its object, then ` +
    'with all that can be moved in segments, and the object woken anew. Then, one after the other, proofs of random events ' +
    'in the present tree, between random sizes, and the context as it was at random versions: ' +
    `${READS.toLocaleString('en')} of each, over HTTP, nearly every one of them from a segment that is not in memory.`,
  explanation:
    'What bounds it, read from the code and not from a profile: a read of the past fetches one segment (a proof of a tree ' +
    'that ends in the middle of a tile, two), decompresses it, hashes it and compares its root with the tree; that is the ' +
    'same however long the history is. A replay does so once for 1,024 events.',
  async run(options) {
    const server = await startInstrumented(options, 'alone');
    try {
      const events = Math.round(EVENTS / options.shrink);
      const reads = Math.max(20, Math.round(READS / options.shrink));
      const [id = ''] = await createContexts(server.url, 1);
      const context = `${server.url}/v1/contexts/${id}`;
      options.progress(`making ${events} events`);
      await ask(server, 'seed', id, String(events));
      options.progress('replaying what is in the object');
      const hot = await downloads(`${context}/events`, options.rounds);
      options.progress('moving');
      const moved = await moveAll(server.url, id, events);
      await ask(server, 'evict', id);
      options.progress('replaying what is in segments');
      const segments = await downloads(`${context}/events`, options.rounds);
      if (hot.bytes !== segments.bytes) throw new Error('A history that was moved is another one');
      options.progress('proving');
      const random = (most: number) => 1 + Math.floor(Math.random() * most);
      const between = () => [random(events), random(events)].sort((a, b) => a - b);
      const timed = {
        'an inclusion proof': await times(reads, () => `${context}/proof?version=${random(events)}`),
        'a consistency proof': await times(reads, () => {
          const [from = 1, to = 1] = between();
          return `${context}/proof?from=${from}&to=${to}`;
        }),
        'the context as it was': await times(reads, () => `${context}?at=${random(events)}`),
      };
      const ratio = hot.ms / segments.ms;
      const perSecond = (ms: number) => `${figure((events * 1000) / ms)} events per s`;
      return {
        table: {
          columns: ['', 'cold', 'hot', 'ratio', 'aim'],
          rows: [
            [
              `replay of ${events.toLocaleString('en')} events`,
              perSecond(segments.ms),
              perSecond(hot.ms),
              `**${figure(ratio)}**`,
              `≥ ${figure(RATIO_AIM)}: ${verdict(ratio >= RATIO_AIM)}`,
            ],
            ...Object.entries(timed).map(([what, ms]) => [
              `${what}, p50 and **p99**`,
              `${figure(quantile(ms, 0.5))} ms, **${figure(quantile(ms, 0.99))} ms**`,
              '',
              '',
              `p99 ≤ ${READ_AIM_MS} ms: ${verdict(quantile(ms, 0.99) <= READ_AIM_MS)}`,
            ]),
          ],
        },
        notes: [
          `${moved.segments.toLocaleString('en')} segments hold ${moved.events.toLocaleString('en')} events in ` +
            `${figure(moved.bytes / 1e6)} MB, which were ${figure(hot.bytes / 1e6)} MB.`,
        ],
      };
    } finally {
      await server.stop();
    }
  },
};

/** Has everything moved that can be. What is not in the audit trail yet stays, so it takes as long as that. */
async function moveAll(url: string, id: string, events: number) {
  const total = { segments: 0, events: 0, bytes: 0 };
  const deadline = performance.now() + DELIVERED_MS;
  const headers = { Authorization: `Bearer ${API_KEY}` };
  while (total.events < Math.floor((events - 1) / 256) * 256) {
    if (performance.now() > deadline) throw new Error('The audit trail does not have all events yet');
    const response = await fetch(`${url}/v1/admin/streams/context/${id}/archive`, { method: 'POST', headers });
    if (!response.ok) throw new Error(`archive: ${response.status} ${await response.text()}`);
    const part = archived.parse(await response.json());
    total.segments += part.segments;
    total.events += part.events;
    total.bytes += part.bytes;
    if (part.isComplete) await pause(500);
  }
  return total;
}

/** The median time of so many downloads, in milliseconds, and the bytes of one. */
async function downloads(url: string, rounds: number): Promise<Download> {
  const all: Download[] = [];
  for (let round = 0; round < rounds; round++) all.push(await download(url));
  return { ms: median(all.map(({ ms }) => ms)), bytes: all[0]?.bytes ?? 0 };
}

/** How long each of so many requests takes, in milliseconds, rising. */
async function times(count: number, url: () => string): Promise<number[]> {
  const all: number[] = [];
  for (let made = 0; made < count; made++) {
    const started = performance.now();
    const response = await fetch(url(), { headers: { Authorization: `Bearer ${API_KEY}` } });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`${response.url} was answered ${response.status}`);
    all.push(performance.now() - started);
  }
  return all.sort((a, b) => a - b);
}
