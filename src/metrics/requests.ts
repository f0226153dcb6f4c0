import { histogramSamples, type MetricFamily, type Sample } from './openmetrics.ts';

/** Upper bounds of the latency buckets, in milliseconds; the last bucket has none. */
const BUCKETS_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/** Methods that have a label of their own. Callers can send any word, and each would be a series for ever. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE', 'OPTIONS']);

type Outcome = 'accepted' | 'replayed' | 'refused' | 'failed';

/** What was counted of one method of one route. */
interface Measures {
  /** Requests by the first digit of their status, less one. */
  readonly statuses: number[];
  /** Requests by latency bucket, each in one. */
  readonly buckets: number[];
  sumMs: number;
  /** Null when the method is no command. */
  readonly outcomes: Record<Outcome, number> | null;
}

/** Counts the requests of one route, in the memory of the isolate. */
export class RouteMeter {
  readonly route: string;
  readonly measures = new Map<string, Measures>();
  readonly #commands: ReadonlySet<string>;

  constructor(route: string, commands: ReadonlySet<string>) {
    this.route = route;
    this.#commands = commands;
  }

  /** Counts a request that was answered. On the path of every request: a few additions, and nothing is allocated. */
  note(method: string, response: Response, elapsedMs: number): void {
    const measures = this.measures.get(method) ?? this.#measuresOf(METHODS.has(method) ? method : 'other');
    increment(measures.statuses, Math.trunc(response.status / 100) - 1);
    let bucket = 0;
    while (elapsedMs > (BUCKETS_MS[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
    increment(measures.buckets, bucket);
    measures.sumMs += elapsedMs;
    if (measures.outcomes) measures.outcomes[outcomeOf(response)] += 1;
  }

  #measuresOf(method: string): Measures {
    const known = this.measures.get(method);
    if (known) return known;
    const measures: Measures = {
      statuses: [0, 0, 0, 0, 0],
      buckets: new Array(BUCKETS_MS.length + 1).fill(0),
      sumMs: 0,
      outcomes: this.#commands.has(method) ? { accepted: 0, replayed: 0, refused: 0, failed: 0 } : null,
    };
    this.measures.set(method, measures);
    return measures;
  }
}

function increment(counts: number[], index: number): void {
  counts[index] = (counts[index] ?? 0) + 1;
}

function outcomeOf({ status, headers }: Response): Outcome {
  if (status >= 500) return 'failed';
  if (status >= 400) return 'refused';
  return headers.has('Idempotent-Replayed') ? 'replayed' : 'accepted';
}

const meters: RouteMeter[] = [];

/**
 * Makes the meter of a route, whose counts then are part of the metrics.
 *
 * @param route its template, as labels show it: never a path, which has ids in it
 * @param commands the methods that change something
 */
export function meterOf(route: string, commands: ReadonlySet<string> = new Set()): RouteMeter {
  const meter = new RouteMeter(route, commands);
  meters.push(meter);
  return meter;
}

/** What was counted of all routes. */
export function requestFamilies(): MetricFamily[] {
  return familiesOf(meters);
}

/** What some meters counted: requests, latencies, commands. */
export function familiesOf(some: readonly RouteMeter[]): MetricFamily[] {
  const requests: Sample[] = [];
  const latencies: Sample[] = [];
  const commands: Sample[] = [];
  for (const { route, measures } of some) {
    for (const [method, { statuses, buckets, sumMs, outcomes }] of measures) {
      statuses.forEach((value, index) => {
        if (value > 0) requests.push({ suffix: '_total', labels: { method, route, status: `${index + 1}xx` }, value });
      });
      latencies.push(...histogramSamples({ method, route }, BUCKETS_MS, buckets, sumMs));
      if (outcomes === null) continue;
      for (const [outcome, value] of Object.entries(outcomes)) {
        commands.push({ suffix: '_total', labels: { method, route, outcome }, value });
      }
    }
  }
  return [
    {
      name: 'chittyconnect_requests',
      type: 'counter',
      help: 'Requests answered by this isolate, by method, route template and class of the status.',
      samples: requests,
    },
    {
      name: 'chittyconnect_request_duration_seconds',
      type: 'histogram',
      unit: 'seconds',
      help: 'Time from taking up a request to the head of its answer, in this isolate. The clock of the platform moves with input and output only.',
      samples: latencies,
    },
    {
      name: 'chittyconnect_commands',
      type: 'counter',
      help: 'Requests to this isolate that are to change something, by outcome: accepted (also one that changed nothing), replayed (an Idempotency-Key seen before), refused (4xx), failed (5xx: it may have been carried out).',
      samples: commands,
    },
  ];
}
