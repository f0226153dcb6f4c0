import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { parseArgs } from 'node:util';
import type { D1Database } from '@cloudflare/workers-types';
import { listContexts, searchContexts } from '../../projections/context-query.ts';
import { queryKinds } from './queries.ts';

/*
 * The CPU time of the same queries in Node's SQLite, on a database that run.ts has loaded. Nothing crosses a process, and
 * what else the machine does counts for little: for telling one version of a query from another on a busy machine.
 */

const { values: options } = parseArgs({
  options: {
    /** The SQLite file in the folder that run.ts was given as --data. */
    file: { type: 'string' },
    contexts: { type: 'string', default: '1000000' },
    samples: { type: 'string', default: '200' },
    /** Only the kinds of query whose names contain this. */
    kind: { type: 'string', default: '' },
  },
});
if (options.file === undefined) throw new Error('--file is missing: the database that bench/search/run.ts has loaded');

const WARM_UP = 10;

const database = new DatabaseSync(options.file, { readOnly: true });
const contexts = Number(options.contexts);

interface Statement {
  bind(...values: SQLInputValue[]): Statement;
  all(): { results: unknown[] };
}

function statement(sql: string, values: SQLInputValue[]): Statement {
  return {
    bind: (...given) => statement(sql, given),
    all: () => ({ results: database.prepare(sql).all(...values) }),
  };
}

// What the queries need of D1, no more.
const d1 = {
  prepare: (sql: string) => statement(sql, []),
  batch: async (statements: Statement[]) => statements.map((each) => each.all()),
} as unknown as D1Database;

const raw = database.prepare(
  `SELECT c.body FROM (SELECT rowid FROM raw WHERE raw MATCH ?1 ORDER BY raw.rowid DESC LIMIT 20) r
   CROSS JOIN contexts c ON c.rowid = r.rowid`,
);

async function cpuMs(run: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function figures(times: number[]): string {
  if (times.length === 0) return ''.padStart(24);
  times.sort((a, b) => a - b);
  const mean = times.reduce((sum, ms) => sum + ms, 0) / times.length;
  const at = (share: number) => (times[Math.floor(times.length * share)] ?? Number.NaN).toFixed(1);
  return `${mean.toFixed(2)} / ${at(0.5)} / ${at(0.99)}`.padStart(24);
}

console.log(`${'CPU, ms: mean / p50 / p99'.padEnd(44)}${'ours'.padStart(24)}${'raw FTS5'.padStart(24)}`);
for (const kind of queryKinds.filter(({ name }) => name.includes(options.kind))) {
  const [ours, plain]: [number[], number[]] = [[], []];
  for (let n = 0; n < WARM_UP + Number(options.samples); n++) {
    const { find, match } = kind.sample(n, contexts);
    const { text, query } = find;
    const ms = await cpuMs(() => (text === null ? listContexts(d1, query) : searchContexts(d1, text, query)));
    if (n < WARM_UP) continue;
    ours.push(ms);
    if (match !== null) plain.push(await cpuMs(() => raw.all(match)));
  }
  console.log(`${kind.name.padEnd(44)}${figures(ours)}${figures(plain)}`);
}
