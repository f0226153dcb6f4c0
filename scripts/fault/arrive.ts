import { setTimeout as pause } from 'node:timers/promises';
import { ask } from './ask.ts';
import { checkDownstream, type Downstream } from './check-downstream.ts';
import { type Listings, readDownstream, readListings, readLog } from './downstream.ts';
import type { Target } from './writers.ts';

/** How long everything is waited for when nothing is hurried: longer than the longest pause between two attempts. */
const PATIENT_MS = 25 * 60_000;
/** How long it is waited for when what is late is hurried. */
const ARRIVAL_MS = 5 * 60_000;
/** After this what is late is hurried: most of it comes by itself before. */
const HURRY_AFTER_MS = 12_000;
/** The shortest time between two attempts to hurry the same stream. */
const HURRY_EVERY_MS = 5_000;
/** How long to wait at least: a context that was made just before the last kill is first seen when its alarm has fired. */
const QUIET_MS = 6_000;
/** How often it is looked whether everything is there. */
const LOOK_MS = 500;
/** Contexts that are read at the same time. */
const READERS = 4;

/** What arrived, when all is over. */
export interface Arrival {
  readonly violations: readonly string[];
  /** Every context that there is, whether its id was known or not. */
  readonly contexts: ReadonlySet<string>;
  /** Entries in ChittyChronicle, and events in the lineages of ChittyDNA. */
  readonly entries: number;
  readonly lineage: number;
  /** ChittyIDs that were minted for contexts, and certificates of them. */
  readonly chittyIds: number;
  readonly certificates: number;
  /** Contexts in the read model. */
  readonly listed: number;
  /** Streams that were hurried: those whose next attempt was still far away. */
  readonly hurried: number;
  readonly waitedMs: number;
}

/** What is wrong with one context so far, and what stands of it. */
interface Look {
  readonly missing: readonly string[];
  readonly faults: readonly string[];
  readonly downstream: Downstream;
  readonly exists: boolean;
}

/**
 * Waits until everything that is in a log is downstream as well, and looks that it is there once, in order and as it is
 * in the log, and nothing else beside it. Nobody may write any more, and nothing may be wrong any more.
 *
 * @param known the contexts whose ids the writers know; there may be more
 * @param unknownMax how many more there may be
 * @param isPatient whether to wait for everything that comes by itself, instead of hurrying what is late
 */
export async function arrive(
  target: Target,
  known: readonly string[],
  unknownMax: number,
  isPatient: boolean,
): Promise<Arrival> {
  const startedAt = performance.now();
  const waitedMs = () => performance.now() - startedAt;
  const looks = new Map<string, Look>();
  const hurriedAt = new Map<string, number>();
  for (;;) {
    const listings = await readListings(target);
    const ids = [...new Set([...known, ...listings.contexts])];
    const isLate = (id: string) => looks.get(id)?.missing.length !== 0;
    // What is all there stays so: nobody writes any more.
    await inParallel(ids.filter(isLate), async (id) => {
      looks.set(id, await look(target, id, listings));
    });
    const late = ids.filter(isLate);
    const faults = [...faultsOf(listings), ...faultsOfAll(looks, known, unknownMax)];
    const isComplete = late.length === 0 && listings.behind.length === 0 && waitedMs() > QUIET_MS;
    const isTooLate = waitedMs() > (isPatient ? PATIENT_MS : ARRIVAL_MS);
    if (isComplete || faults.length > 0) return arrivalOf(looks, faults, hurriedAt.size, waitedMs());
    if (isTooLate) {
      const missing = late.flatMap((id) => looks.get(id)?.missing ?? []);
      const behind = listings.behind.map((stream) => `${stream} is behind, says the outbox`);
      return arrivalOf(looks, [...missing, ...behind], hurriedAt.size, waitedMs());
    }
    if (!isPatient && waitedMs() > HURRY_AFTER_MS) {
      const isDue = (stream: string) => waitedMs() - (hurriedAt.get(stream) ?? -HURRY_EVERY_MS) >= HURRY_EVERY_MS;
      const streams = late.map((id) => `context/${id}`);
      const due = [...new Set([...streams, ...listings.behind])].filter(isDue);
      await inParallel(due, (stream) => hurry(target, stream));
      for (const stream of due) hurriedAt.set(stream, waitedMs());
    }
    await pause(LOOK_MS);
  }
}

async function look(target: Target, id: string, listings: Listings): Promise<Look> {
  const downstream = await readDownstream(target, id, listings);
  // Last: it has at least what the others have.
  const lines = await readLog(target, id);
  return { ...checkDownstream(id, lines, downstream), downstream, exists: lines.length > 0 };
}

function contextsOf(looks: ReadonlyMap<string, Look>): Set<string> {
  return new Set([...looks].flatMap(([id, { exists }]) => (exists ? id : [])));
}

function arrivalOf(
  looks: ReadonlyMap<string, Look>,
  violations: readonly string[],
  hurried: number,
  waitedMs: number,
): Arrival {
  const all = [...looks.values()].map(({ downstream }) => downstream);
  return {
    violations,
    contexts: contextsOf(looks),
    entries: sum(all, ({ chronicle }) => chronicle.length),
    lineage: sum(all, ({ dna }) => dna?.lineage.length ?? 0),
    chittyIds: sum(all, ({ chittyIds }) => chittyIds.length),
    certificates: sum(all, ({ certificateIds }) => certificateIds.length),
    listed: sum(all, ({ listed }) => listed.length),
    hurried,
    waitedMs,
  };
}

function faultsOfAll(looks: ReadonlyMap<string, Look>, known: readonly string[], unknownMax: number): string[] {
  const faults = [...looks.values()].flatMap((each) => each.faults);
  const asked = new Set(known);
  const unknown = [...contextsOf(looks)].filter((id) => !asked.has(id));
  if (unknown.length <= unknownMax) return faults;
  return [...faults, `There are ${unknown.length} contexts that nobody asked for: ${unknown.join(', ')}`];
}

function faultsOf({ strays, deadLetters }: Listings): string[] {
  return [
    ...strays.map((stray) => `There is ${stray} of no context`),
    ...deadLetters.map((id) => `${id} is a dead letter, and nothing was refused`),
  ];
}

/** What an administrator does who does not want to wait. */
async function hurry(target: Target, stream: string): Promise<void> {
  const paths = [`/v1/admin/outbox/${stream}/retry`];
  if (stream.startsWith('context/')) paths.push(`/v1/contexts/${stream.slice('context/'.length)}/provisioning/retry`);
  for (const path of paths) {
    const response = await ask(target, path, { method: 'POST' });
    const text = await response.text();
    // A deleted context does not go on with its provisioning, and one that was never made has none.
    if (response.status >= 500) throw new Error(`${path} answered ${response.status}: ${text}`);
  }
}

async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async () => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: READERS }, worker));
}

function sum<Item>(items: readonly Item[], count: (item: Item) => number): number {
  return items.reduce((total, item) => total + count(item), 0);
}
