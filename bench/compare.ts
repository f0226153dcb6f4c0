import { type LoadRequest, load } from './load.ts';
import { figure, median, type Table, verdict } from './report.ts';
import type { RunOptions } from './section.ts';

/** Requests under way at a time. */
const CONNECTIONS = 32;

/** One side of a comparison. */
export interface Side {
  readonly url: string;
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

/** What a comparison led to. */
export interface Compared {
  readonly subjectPerSecond: number;
  readonly baselinePerSecond: number;
  readonly subjectP50Ms: number;
  readonly subjectP99Ms: number;
  readonly ratios: readonly number[];
}

/** Loads both sides in turns, each first as often as second, after one round of each that does not count. */
export async function compare({ subject, baseline }: Comparison, { rounds, roundMs }: RunOptions): Promise<Compared> {
  const results: { subject: Awaited<ReturnType<typeof load>>; baseline: Awaited<ReturnType<typeof load>> }[] = [];
  const counts = new Map<Side, number>();
  const run = async (side: Side) => {
    const from = counts.get(side) ?? 0;
    const result = await load({
      url: side.url,
      connections: CONNECTIONS,
      maxMs: roundMs,
      request: (index) => side.request(from + index),
    });
    counts.set(side, from + result.requests);
    return result;
  };
  for (let round = 0; round <= rounds; round++) {
    if (round % 2 === 0) results.push({ subject: await run(subject), baseline: await run(baseline) });
    else {
      const first = await run(baseline);
      results.push({ subject: await run(subject), baseline: first });
    }
  }
  const counted = results.slice(1);
  return {
    subjectPerSecond: median(counted.map((round) => round.subject.perSecond)),
    baselinePerSecond: median(counted.map((round) => round.baseline.perSecond)),
    subjectP50Ms: median(counted.map((round) => round.subject.p50Ms)),
    subjectP99Ms: median(counted.map((round) => round.subject.p99Ms)),
    ratios: counted.map((round) => round.subject.perSecond / round.baseline.perSecond),
  };
}

/** Runs comparisons and sets their figures out in a table. */
export async function compareAll(
  comparisons: readonly Comparison[],
  [subjectName, baselineName]: readonly [string, string],
  options: RunOptions,
): Promise<Table> {
  const rows: string[][] = [];
  for (const comparison of comparisons) {
    options.progress(comparison.name);
    const result = await compare(comparison, options);
    const ratio = median(result.ratios);
    rows.push([
      comparison.name,
      figure(result.subjectPerSecond),
      `${figure(result.subjectP50Ms)} / ${figure(result.subjectP99Ms)}`,
      figure(result.baselinePerSecond),
      `**${figure(ratio)}** (${figure(Math.min(...result.ratios))} to ${figure(Math.max(...result.ratios))})`,
      comparison.aim === undefined ? 'none' : `≥ ${figure(comparison.aim)}: ${verdict(ratio >= comparison.aim)}`,
    ]);
  }
  const columns = ['', `${subjectName}, per s`, 'p50 / p99, ms', `${baselineName}, per s`, 'ratio', 'aim'];
  return { columns, rows };
}
