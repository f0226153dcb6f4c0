/** What the objects of this isolate have done, counted in its memory since it began. */

/** Upper bounds of the buckets of lags, in milliseconds; the last bucket has none. */
export const LAG_BUCKETS_MS = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000];

/** The lags of one destination. */
interface Lags {
  /** By bucket, each in one. */
  readonly buckets: number[];
  sumMs: number;
}

const appended = new Map<string, number>();
const lags = new Map<string, Lags>();

/** Counts events that were appended to a stream of some type. */
export function noteAppended(type: string, events: number): void {
  appended.set(type, (appended.get(type) ?? 0) + events);
}

/** Counts an event that a destination has confirmed so long after its append. */
export function noteLag(destination: string, ms: number): void {
  const known = lags.get(destination);
  const of = known ?? { buckets: new Array<number>(LAG_BUCKETS_MS.length + 1).fill(0), sumMs: 0 };
  if (!known) lags.set(destination, of);
  const bucket = LAG_BUCKETS_MS.findIndex((bound) => ms <= bound);
  const index = bucket === -1 ? LAG_BUCKETS_MS.length : bucket;
  of.buckets[index] = (of.buckets[index] ?? 0) + 1;
  of.sumMs += ms;
}

/** How many events were appended, by the type of the stream. */
export function appendedEvents(): ReadonlyMap<string, number> {
  return appended;
}

/** The lags that were counted, by destination. */
export function drainLags(): ReadonlyMap<string, Readonly<Lags>> {
  return lags;
}
