import { createExecutionContext, createMessageBatch, getQueueResult } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { z } from 'zod';
import type { DeliveryReport } from '../../actors/outbox.ts';
import { consumeContextOps } from '../../src/delivery/consumer.ts';
import { consumeDeadLetters } from '../../src/delivery/dead-letters.ts';
import type { Env } from '../../src/env.ts';

/** The queues as wrangler.toml names them. */
const QUEUE = 'chittyconnect-context-ops';
const DEAD_LETTER_QUEUE = `${QUEUE}-dlq`;

const event = z.looseObject({ id: z.string(), type: z.string(), source: z.string(), sequence: z.string() });
const entry = z.looseObject({ id: z.string(), entityId: z.string(), eventType: z.string(), data: z.looseObject({}) });

type Event = z.infer<typeof event>;
type Entry = z.infer<typeof entry>;

/** Answers a request in a service's place, or never; null lets the service answer. */
export type Interference = (service: string, path: string, body: string) => Response | Promise<Response> | null;

/** A refusal for what was sent. */
export const refuse = (detail = 'It is not liked here.') => Response.json({ detail }, { status: 422 });

/** The answer of a service that is down. */
export const down = () => new Response('down', { status: 503 });

/** ChittyChronicle and ChittyDNA in memory, as strict about ids and sequences as the embedded ones. */
export class FakeChittyOs {
  readonly entries: Entry[] = [];
  readonly lineage = new Map<string, Event[]>();
  readonly archived = new Set<string>();
  readonly relationships: unknown[] = [];
  /** Records that ChittyDNA has lost, until they are begun anew. */
  readonly lost = new Set<string>();
  /** What records were begun with. */
  readonly begun: unknown[] = [];
  /** `service path` of each request, in their order. */
  readonly requests: string[] = [];
  /** The traceparent of each, null where there was none. */
  readonly traces: (string | null)[] = [];
  interfere: Interference = () => null;

  async fetch(url: string, init: RequestInit): Promise<Response> {
    const { hostname, pathname } = new URL(url);
    const service = hostname.split('.')[0] ?? '';
    const body = typeof init.body === 'string' ? init.body : '';
    this.requests.push(`${service} ${pathname}`);
    this.traces.push(new Headers(init.headers).get('traceparent'));
    const interference = this.interfere(service, pathname, body);
    if (interference) return interference;
    if (pathname === '/api/entries/batch') {
      return this.#write(z.object({ entries: z.array(entry) }).parse(JSON.parse(body)).entries);
    }
    if (pathname === '/api/relationships') {
      this.relationships.push(JSON.parse(body));
      return Response.json({ id: 'rel_1' });
    }
    if (pathname === '/api/initialize') {
      const request = z.looseObject({ chittyid: z.string() }).parse(JSON.parse(body));
      this.begun.push(request);
      const id = request.chittyid.replace('chitty', 'dna');
      this.lost.delete(id);
      return Response.json({ id });
    }
    const [, dnaId = '', action] = /^\/api\/dna\/([^/]+)\/(evolve|archive)$/.exec(pathname) ?? [];
    if (this.lost.has(dnaId)) return Response.json({ detail: 'There is no such record.' }, { status: 404 });
    if (action === 'evolve') return this.#evolve(dnaId, z.array(event).parse(JSON.parse(body)));
    if (action === 'archive') {
      const { sequence } = z.object({ sequence: z.int() }).parse(JSON.parse(body));
      if (Number(this.lineage.get(dnaId)?.at(-1)?.sequence ?? 0) <= sequence) this.archived.add(dnaId);
      return Response.json({ id: dnaId, status: this.archived.has(dnaId) ? 'archived' : 'active' });
    }
    return new Response(null, { status: 404 });
  }

  /** ChittyDNA loses a whole record. */
  lose(dnaId: string): void {
    this.lost.add(dnaId);
    this.lineage.delete(dnaId);
    this.archived.delete(dnaId);
  }

  /** The sequences that a DNA record has. */
  sequences(dnaId: string): number[] {
    return (this.lineage.get(dnaId) ?? []).map(({ sequence }) => Number(sequence));
  }

  #write(entries: readonly Entry[]): Response {
    let accepted = 0;
    for (const each of entries) {
      const known = this.entries.find(({ id }) => id === each.id);
      if (known && JSON.stringify(known) !== JSON.stringify(each)) return new Response(null, { status: 409 });
      if (known) continue;
      this.entries.push(each);
      accepted += 1;
    }
    return Response.json({ accepted, duplicates: entries.length - accepted });
  }

  #evolve(dnaId: string, events: readonly Event[]): Response {
    const lineage = [...(this.lineage.get(dnaId) ?? [])];
    const before = lineage.length;
    for (const each of events) {
      const known = lineage.find(({ id }) => id === each.id);
      if (known && JSON.stringify(known) !== JSON.stringify(each)) return new Response(null, { status: 409 });
      if (known) continue;
      const expectedSequence = lineage.length + 1;
      if (Number(each.sequence) !== expectedSequence) return Response.json({ expectedSequence }, { status: 409 });
      lineage.push(each);
    }
    if (lineage.length > before) this.archived.delete(dnaId);
    this.lineage.set(dnaId, lineage);
    const accepted = lineage.length - before;
    return Response.json({ accepted, duplicates: events.length - accepted });
  }
}

/** Events in a page of a log; real objects give more. */
const PAGE_EVENTS = 2;

/** A page of a log, as the consumer reads it. */
export function pageOf(log: readonly string[], after: number, limit: number) {
  const events = log.slice(after, after + Math.min(limit, PAGE_EVENTS));
  const isUpToDate = after + events.length === log.length;
  const isClosed = log.at(-1)?.includes('"context_deleted"') ?? false;
  return { events, lastVersion: after + events.length, newestVersion: log.length, isUpToDate, isClosed };
}

/** A context's object as the consumer sees it: it takes reports, and gives what its log holds. */
export class FakeContexts {
  /** What was reported, in its order. */
  readonly reports: { subject: string; reports: Readonly<Record<string, DeliveryReport>> }[] = [];
  readonly log = new Map<string, string[]>();
  isDown = false;
  /** Pages that can be read before the objects are not there any more. */
  pagesLeft = Number.POSITIVE_INFINITY;

  idFromName(name: string): string {
    return name;
  }

  get(subject: string) {
    return {
      reportDelivery: async (reports: Readonly<Record<string, DeliveryReport>>) => {
        if (this.isDown) throw new Error('the object cannot be reached');
        this.reports.push({ subject, reports });
      },
      view: async () => ({
        version: this.log.get(subject)?.length ?? 0,
        body: JSON.stringify({ id: subject, chittyId: `chitty_${subject}`, createdAt: '2026-02-01T12:00:00.000Z' }),
        isClosed: false,
      }),
      history: async (_principal: unknown, after: number, limit: number) => {
        if (this.isDown || --this.pagesLeft < 0) throw new Error('the object cannot be reached');
        return pageOf(this.log.get(subject) ?? [], after, limit);
      },
    };
  }
}

/** A queue that keeps what is sent. */
export class FakeQueue {
  readonly sent: unknown[] = [];

  async send(body: unknown): Promise<void> {
    this.sent.push(body);
  }
}

/** An environment whose surroundings are the test's own. */
export function surrounded(changes: Partial<Record<keyof Env, unknown>>): Env {
  // The doubles have what is used of the bindings, which is less than their types ask for.
  return { ...env, ...changes } as Env;
}

/** Events of a stream as they stand in a message, from sequence `first` on. */
export function events(subject: string, first: number, types: readonly string[], more: object = {}) {
  return types.map((type, index) => ({
    specversion: '1.0',
    id: `${subject}-${first + index}`,
    source: `/v1/contexts/${subject}`,
    type: `cc.chitty.connect.${type}`,
    subject,
    time: '2026-02-01T12:00:00.000Z',
    datacontenttype: 'application/json',
    sequence: String(first + index),
    actor: 'act_1',
    correlationid: 'r',
    commandid: 'c',
    schemaversion: 1,
    leafhash: '0'.repeat(64),
    dnaid: `dna_${subject}`,
    data: {},
    ...more,
  }));
}

/** The log of a stream that has these events, as `events` has them in a message. */
export function logOf(subject: string, types: readonly string[]): string[] {
  return types.map((type, index) =>
    JSON.stringify({
      id: `${subject}-${index + 1}`,
      stream: `context/${subject}`,
      version: index + 1,
      type,
      schemaVersion: 1,
      time: '2026-02-01T12:00:00.000Z',
      actor: 'act_1',
      correlationId: 'r',
      causationId: null,
      commandId: 'c',
      leafHash: '0'.repeat(64),
      data: {},
    }),
  );
}

/** What a consumer did with its messages, by their ids. */
export interface Settled {
  readonly acked: readonly string[];
  readonly retried: readonly string[];
}

/** Hands messages to the consumer of the queue, by their ids. */
export function consume(bindings: Env, messages: Readonly<Record<string, unknown>>): Promise<Settled> {
  return hand(QUEUE, messages, (batch, execution) => consumeContextOps(batch, bindings, execution));
}

/** Hands messages to the consumer of the dead-letter queue. */
export function consumeDead(bindings: Env, messages: Readonly<Record<string, unknown>>): Promise<Settled> {
  return hand(DEAD_LETTER_QUEUE, messages, (batch) => consumeDeadLetters(batch, bindings));
}

async function hand(
  queue: string,
  messages: Readonly<Record<string, unknown>>,
  consumer: (batch: MessageBatch, execution: ExecutionContext) => Promise<void>,
): Promise<Settled> {
  const timestamp = new Date();
  const batch = createMessageBatch(
    queue,
    Object.entries(messages).map(([id, body]) => ({ id, body, timestamp, attempts: 1 })),
  );
  const execution = createExecutionContext();
  await consumer(batch, execution);
  const { explicitAcks, retryMessages } = await getQueueResult(batch, execution);
  return { acked: explicitAcks.toSorted(), retried: retryMessages.map(({ msgId }) => msgId).toSorted() };
}
