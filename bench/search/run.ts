import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { type QueryKind, queryKinds } from './queries.ts';
import type { Order, Outcome } from './worker.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Contexts that one request to the Worker loads. */
const LOAD_STEP = 5_000;
/** Samples of each kind of query, after as many that only warm the caches up. */
const SAMPLES = 300;
const WARM_UP = 10;
/** One sample in so many is also asked ranked: that takes a second each. */
const RANKED = 30;

interface Figures {
  /** The clock has whole milliseconds; the mean of many is finer than that. */
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
}

interface Line {
  readonly contexts: number;
  readonly kind: string;
  readonly ours: Figures;
  /** The plain trigram index, newest first. */
  readonly raw: Figures | null;
  /** The plain trigram index, ranked by bm25. */
  readonly ranked: Figures | null;
  /** The same, asked by one who may read all: where the query is one of somebody who may not. */
  readonly unrestricted: Figures | null;
  /** Contexts on the first page, on average. */
  readonly found: number;
}

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '10000,100000,1000000' },
    out: { type: 'string', default: join(ROOT, 'bench/search/results.json') },
    data: { type: 'string' },
    /** How many contexts an earlier run left in the folder of --data. */
    loaded: { type: 'string', default: '0' },
    /** A part of the names of the kinds of query that are measured; all when left out. */
    kinds: { type: 'string', default: '' },
  },
});

const data = options.data ?? mkdtempSync(join(tmpdir(), 'chittyconnect-bench-search-'));
const bundle = await build({
  entryPoints: [fileURLToPath(new URL('worker.ts', import.meta.url))],
  bundle: true,
  format: 'esm',
  write: false,
});
const miniflare = new Miniflare({
  modules: true,
  script: bundle.outputFiles[0]?.text ?? '',
  compatibilityDate: '2026-07-01',
  d1Databases: ['DB'],
  d1Persist: data,
});

async function ask(orders: readonly Order[]): Promise<Outcome[]> {
  const response = await miniflare.dispatchFetch('http://bench/', { method: 'POST', body: JSON.stringify(orders) });
  if (response.status !== 200) throw new Error(await response.text());
  const outcomes: unknown = await response.json();
  // The Worker is bundled from the file that says what it answers.
  return outcomes as Outcome[];
}

async function migrate(): Promise<void> {
  const db = await miniflare.getD1Database('DB');
  const folder = join(ROOT, 'projections/migrations');
  for (const file of readdirSync(folder).sort()) {
    const sql = readFileSync(join(folder, file), 'utf8').replaceAll(/--.*$/gm, '');
    for (const statement of sql.split(';')) if (statement.trim() !== '') await db.prepare(statement).run();
  }
}

async function load(from: number, to: number): Promise<number> {
  const start = performance.now();
  for (let n = from; n < to; n += LOAD_STEP) {
    await ask([{ do: 'load', from: n, to: Math.min(to, n + LOAD_STEP) }]);
    const done = Math.min(to, n + LOAD_STEP);
    if (done % 50_000 === 0) console.log(`  ${done} loaded, ${perSecond(done - from, start)} contexts/s`);
  }
  const rate = perSecond(to - from, start);
  for (let n = from; n < to; n += LOAD_STEP) await ask([{ do: 'index-raw', from: n, to: n + LOAD_STEP }]);
  return rate;
}

function perSecond(count: number, start: number): number {
  return Math.round((count * 1000) / (performance.now() - start));
}

function figures(times: readonly number[]): Figures {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { mean: times.reduce((sum, ms) => sum + ms, 0) / times.length, p50: at(0.5), p99: at(0.99) };
}

async function measure(contexts: number, kind: QueryKind): Promise<Line> {
  const ours: number[] = [];
  const raw: number[] = [];
  const ranked: number[] = [];
  const unrestricted: number[] = [];
  let found = 0;
  for (let sample = -WARM_UP; sample < SAMPLES; sample++) {
    const { find, match } = kind.sample(sample + WARM_UP, contexts);
    // Alternating, so that whatever else the machine does falls on all alike.
    const turns: [number[], Order][] = [[ours, { do: 'find', ...find }]];
    if (match !== null) turns.push([raw, { do: 'raw', match, isRanked: false }]);
    if (match !== null && sample % RANKED === 0) turns.push([ranked, { do: 'raw', match, isRanked: true }]);
    if (find.query.readableBy !== null) {
      turns.push([unrestricted, { do: 'find', ...find, query: { ...find.query, readableBy: null } }]);
    }
    // What comes second finds more of the database in memory.
    if (sample % 2 !== 0) turns.reverse();
    const outcomes = await ask(turns.map(([, order]) => order));
    if (sample < 0) continue;
    for (const [index, [times]] of turns.entries()) {
      const outcome = outcomes[index];
      if (!outcome) continue;
      times.push(outcome.ms);
      if (times === ours) found += outcome.count;
    }
  }
  const orNone = (times: number[]) => (times.length > 0 ? figures(times) : null);
  return {
    contexts,
    kind: kind.name,
    ours: figures(ours),
    raw: orNone(raw),
    ranked: orNone(ranked),
    unrestricted: orNone(unrestricted),
    found: found / SAMPLES,
  };
}

function show({ kind, ours, raw, ranked, unrestricted, found }: Line): string {
  const cell = (value: Figures | null) =>
    (value ? `${value.mean.toFixed(1)} / ${value.p50} / ${value.p99}` : '').padStart(20);
  return `${kind.padEnd(44)}${cell(ours)}${cell(raw)}${cell(ranked)}${cell(unrestricted)}${found.toFixed(1).padStart(8)}`;
}

function megabytes(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = entries.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  return Math.round(bytes / 2 ** 20);
}

const lines: Line[] = [];
const loads: { contexts: number; contextsPerSecond: number; megabytes: number }[] = [];
try {
  let loaded = Number(options.loaded);
  if (loaded === 0) await migrate();
  for (const size of options.sizes.split(',').map(Number)) {
    if (loaded < size) {
      const contextsPerSecond = await load(loaded, size);
      loads.push({ contexts: size, contextsPerSecond, megabytes: megabytes(data) });
      console.log(`loaded at ${contextsPerSecond} contexts per second`);
      loaded = size;
    }
    console.log(`\n${size} contexts, ${megabytes(data)} MB with the raw index`);
    console.log(
      `${'ms, mean / p50 / p99'.padEnd(44)}${['ours', 'raw FTS5', 'raw by bm25', 'unrestricted'].map((h) => h.padStart(20)).join('')}${'found'.padStart(8)}`,
    );
    for (const kind of queryKinds.filter(({ name }) => name.includes(options.kinds))) {
      const line = await measure(size, kind);
      lines.push(line);
      console.log(show(line));
    }
    mkdirSync(dirname(options.out), { recursive: true });
    const machine = { cpu: cpus()[0]?.model, cores: cpus().length };
    writeFileSync(
      options.out,
      `${JSON.stringify({ date: new Date().toISOString(), machine, loads, lines }, null, 2)}\n`,
    );
  }
} finally {
  await miniflare.dispose();
  if (options.data === undefined) rmSync(data, { recursive: true, force: true });
}
