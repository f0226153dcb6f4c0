import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { isRefusal } from '../../actors/decider.ts';
import { CounterObject, RecordingSink } from './counter.ts';
import { deliverAll } from './delivered.ts';
import { hotLog } from './hot-log.ts';
import { ADMINISTRATOR } from './principals.ts';

/** What all that is done here came of. */
export const CAUSE = { correlationId: 'r', causationId: null, commandId: 'c' };

/** Events of a history that are read at once. */
const PAGE = 1_000;

/** A counter, whose history can be cut. */
export function cuttable(id: string) {
  const stub = env.COUNTERS.get(env.COUNTERS.idFromName(id));
  const sql = <Row extends Record<string, SqlStorageValue>>(query: string, ...bindings: SqlStorageValue[]) =>
    runInDurableObject(stub, (_object, { storage }) => storage.sql.exec<Row>(query, ...bindings).toArray());
  return {
    id,
    stub,
    stream: `counter/${id}`,
    sql,
    /** Appends so many events, a hundred in a turn, and delivers them. */
    async grow(events: number, amount = 1): Promise<void> {
      for (let left = events; left > 0; left -= 100) {
        const amounts = Array.from({ length: Math.min(left, 100) }, (_, index) => amount + (index % 7));
        const command = { type: 'addEach' as const, amounts };
        const reply = await stub.execute({ id, command, principal: ADMINISTRATOR, cause: CAUSE });
        if (isRefusal(reply)) throw new Error(reply.detail);
      }
      await stub.flushOutbox();
    },
    archive: (segments = 1_000) => stub.archive(segments),
    async evict(): Promise<void> {
      // Only one that is there can be lost.
      await stub.outboxCursors();
      await evictDurableObject(stub);
    },
    /** All events, in pages. */
    async texts(): Promise<string[]> {
      const all: string[] = [];
      for (;;) {
        const page = await stub.history(ADMINISTRATOR, all.length, PAGE);
        if (isRefusal(page)) throw new Error(page.detail);
        all.push(...page.events);
        if (page.isUpToDate) return all;
      }
    },
    /** The segments by their first and last version. */
    segments: () => sql<{ first: number; last: number }>('SELECT first, last FROM segments ORDER BY first'),
    hot: async () => (await sql<{ n: number }>('SELECT count(*) AS n FROM events'))[0]?.n ?? 0,
    /** The names of the files in which its segments are. */
    files: () => [...CounterObject.segments.files.keys()].filter((name) => name.startsWith(`counter/${id}/`)),
  };
}

export type Cuttable = ReturnType<typeof cuttable>;

/** A counter with the same events, of which nothing was ever moved, and no snapshot ever made. */
export async function twinOf(texts: readonly string[], name: string): Promise<Cuttable> {
  const twin = cuttable(name);
  await runInDurableObject(twin.stub, (_object, { storage }) => {
    const { log } = hotLog(storage.sql);
    log.create();
    for (const [index, text] of texts.entries()) log.append(index + 1, text);
  });
  await twin.evict();
  await twin.stub.flushOutbox();
  return twin;
}

/** One question about a stream, whatever it is. */
export type Question =
  | { readonly ask: 'page'; readonly after: number; readonly limit: number; readonly at: number | null }
  | { readonly ask: 'lines'; readonly after: number; readonly at: number | null }
  | { readonly ask: 'view'; readonly at: number }
  | { readonly ask: 'viewAt'; readonly time: string }
  | { readonly ask: 'field'; readonly after: number; readonly limit: number; readonly at: number | null }
  | { readonly ask: 'inclusion'; readonly version: number; readonly size: number }
  | { readonly ask: 'consistency'; readonly from: number; readonly to: number }
  | { readonly ask: 'head' }
  | { readonly ask: 'sink'; readonly from: number };

/** The answer to a question, in a form that can be compared. */
export async function answerTo({ stub, stream }: Cuttable, question: Question): Promise<unknown> {
  const moment = 'at' in question && question.at !== null ? { version: question.at } : undefined;
  switch (question.ask) {
    case 'page':
      return stub.history(ADMINISTRATOR, question.after, question.limit, moment);
    case 'lines': {
      const history = await stub.historyStream(ADMINISTRATOR, question.after, moment);
      if ('refused' in history) return history;
      return { ...history, lines: await new Response(history.lines).text() };
    }
    case 'view':
      return stub.view(ADMINISTRATOR, moment);
    case 'viewAt':
      return stub.view(ADMINISTRATOR, { time: question.time });
    case 'field':
      return stub.fieldHistory(ADMINISTRATOR, ['total'], question.after, question.limit, moment);
    case 'inclusion':
      return stub.prove(ADMINISTRATOR, { version: question.version }, question.size);
    case 'consistency':
      return stub.prove(ADMINISTRATOR, { from: question.from }, question.to);
    case 'head':
      return stub.treeHead(ADMINISTRATOR);
    case 'sink': {
      RecordingSink.received.set(stream, []);
      await stub.resend('recording', question.from);
      // Also when a timer from before began to bring it in between.
      await deliverAll(stub, 'recording');
      // Keeps how far it came: what comes next may be after an eviction.
      await stub.flushOutbox();
      return RecordingSink.received.get(stream);
    }
    default:
      return question satisfies never;
  }
}
