import type { D1Database } from '@cloudflare/workers-types';
import { type ContextQuery, listContexts, searchContexts } from '../../projections/context-query.ts';
import { projectContexts } from '../../projections/contexts.ts';
import { corpusContext } from './corpus.ts';

/** Contexts given to the projection at once. */
const LOAD_BATCH = 500;

/** What the benchmark asks this Worker, which stands where the product's would: a database away from D1. */
export type Order =
  | { readonly do: 'load'; readonly from: number; readonly to: number }
  | { readonly do: 'index-raw'; readonly from: number; readonly to: number }
  | { readonly do: 'find'; readonly text: string | null; readonly query: ContextQuery }
  | { readonly do: 'raw'; readonly match: string; readonly isRanked: boolean };

/** How long it took, and how much there was. */
export interface Outcome {
  readonly ms: number;
  readonly count: number;
}

async function carryOut(db: D1Database, order: Order): Promise<number> {
  switch (order.do) {
    case 'load':
      for (let n = order.from; n < order.to; n += LOAD_BATCH) {
        const length = Math.min(LOAD_BATCH, order.to - n);
        await projectContexts(
          db,
          Array.from({ length }, (_, index) => corpusContext(n + index)),
        );
      }
      return order.to - order.from;
    case 'index-raw':
      // The plainest index that finds fragments, over the same text, to compare with.
      await db.batch([
        db.prepare("CREATE VIRTUAL TABLE IF NOT EXISTS raw USING fts5 (text, tokenize = 'trigram', content = '')"),
        db
          .prepare(
            `INSERT INTO raw (rowid, text) SELECT rowid, search FROM contexts
             WHERE rowid > (SELECT coalesce(max(rowid), 0) FROM raw) ORDER BY rowid LIMIT ?1`,
          )
          .bind(order.to - order.from),
      ]);
      return order.to - order.from;
    case 'find': {
      const { text, query } = order;
      const page = text === null ? await listContexts(db, query) : await searchContexts(db, text, query);
      return page.bodies.length;
    }
    case 'raw': {
      const by = order.isRanked ? 'raw.rank' : 'raw.rowid DESC';
      const { results } = await db
        .prepare(
          `SELECT c.body FROM (SELECT rowid FROM raw WHERE raw MATCH ?1 ORDER BY ${by} LIMIT 20) r
           CROSS JOIN contexts c ON c.rowid = r.rowid`,
        )
        .bind(order.match)
        .all();
      return results.length;
    }
    default:
      return order satisfies never;
  }
}

export default {
  async fetch(request: Request, env: { DB: D1Database }): Promise<Response> {
    const orders: Order[] = await request.json();
    const outcomes: Outcome[] = [];
    for (const order of orders) {
      // The clock of a Worker stands still while it computes; after the database has answered, it is right.
      const start = performance.now();
      const count = await carryOut(env.DB, order);
      outcomes.push({ ms: performance.now() - start, count });
    }
    return Response.json(outcomes);
  },
};
