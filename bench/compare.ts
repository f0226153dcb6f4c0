import { cpuUs } from './cpu.ts';
import { CONNECTIONS, type LoadOptions, type LoadRequest, type LoadResult, load, THINK_MS } from './load.ts';
import { figure, median, type Table, verdict } from './report.ts';
import type { RunOptions } from './section.ts';
import type { BenchServer } from './servers.ts';

/** One side of a comparison. */
export interface Side {
  readonly server: BenchServer;
  /** Waits until nothing that the load has begun is still under way, where something may be. */
  settle?(): Promise<void>;
  request(index: number): LoadRequest;
}

/** Two sides and the ratio that is aimed at. */
export interface Comparison {
  readonly name: string;
  readonly subject: Side;
  readonly baseline: Side;
  /** The least ratio of the subject's throughput to the baseline's, where there is an aim. */
  readonly aim?: number;
}

/** One side's part of a round. */
interface Measured extends LoadResult {
  /** Of the server, its background work until it has settled, or else until the end of the load, included. */
  readonly cpuUsPerRequest: number;
}

/** How long the turns are, and how many connections pause how long in them where that is not as elsewhere. */
interface Turns
  extends Pick<RunOptions, 'rounds' | 'roundMs' | 'progress'>,
    Partial<Pick<LoadOptions, 'connections' | 'thinkMs'>> {
  /** Milliseconds of load before those that count, in each turn. */
  readonly leadMs?: number;
}

interface Round {
  readonly subject: Measured;
  readonly baseline: Measured;
}

/** Loads both sides in turns, each first as often as second. The first round does not count where turns have no lead. */
async function compare({ subject, baseline }: Comparison, turns: Turns): Promise<Round[]> {
  const { rounds, roundMs, leadMs = 0, connections = CONNECTIONS, thinkMs = THINK_MS } = turns;
  const results: Round[] = [];
  const counts = new Map<Side, number>();
  const run = async (side: Side): Promise<Measured> => {
    const from = counts.get(side) ?? 0;
    const before = cpuUs(side.server.pid);
    const result = await load({
      url: side.server.url,
      connections,
      thinkMs,
      maxMs: leadMs + roundMs,
      leadMs,
      request: (index) => side.request(from + index),
    });
    counts.set(side, from + result.requests);
    await side.settle?.();
    return { ...result, cpuUsPerRequest: (cpuUs(side.server.pid) - before) / result.requests };
  };
  for (let round = leadMs > 0 ? 1 : 0; round <= rounds; round++) {
    if (round % 2 === 0) results.push({ subject: await run(subject), baseline: await run(baseline) });
    else {
      const first = await run(baseline);
      results.push({ subject: await run(subject), baseline: first });
    }
  }
  return results.slice(-rounds);
}

/** Runs comparisons and sets their figures out in a table. */
export async function compareAll(
  comparisons: readonly Comparison[],
  [subjectName, baselineName]: readonly [string, string],
  options: Turns,
): Promise<Table> {
  const rows: string[][] = [];
  for (const comparison of comparisons) {
    options.progress(comparison.name);
    const results = await compare(comparison, options);
    const ratios = results.map(({ subject, baseline }) => subject.perSecond / baseline.perSecond);
    const ratio = median(ratios);
    const middle = (side: keyof Round, what: keyof Measured) =>
      figure(median(results.map((round) => round[side][what])));
    rows.push([
      comparison.name,
      middle('subject', 'perSecond'),
      middle('baseline', 'perSecond'),
      `**${figure(ratio)}** (${figure(Math.min(...ratios))} to ${figure(Math.max(...ratios))})`,
      comparison.aim === undefined ? 'none' : `≥ ${figure(comparison.aim)}: ${verdict(ratio >= comparison.aim)}`,
      `${middle('subject', 'p50Ms')} / ${middle('subject', 'p99Ms')}`,
      `${middle('subject', 'cpuUsPerRequest')} / ${middle('baseline', 'cpuUsPerRequest')}`,
    ]);
  }
  const columns = [
    '',
    `${subjectName}, per s`,
    `${baselineName}, per s`,
    'ratio',
    'aim',
    'p50 / p99, ms',
    'CPU of the servers per change, µs',
  ];
  return { columns, rows };
}
