import { setTimeout as pause } from 'node:timers/promises';
import { inspect, parseArgs } from 'node:util';
import {
  freePort,
  type Server,
  type StartOptions,
  startServer,
  stopServer,
  temporaryFolder,
} from '../test/support/server.ts';
import { type Arrival, arrive } from './fault/arrive.ts';
import { checkContext } from './fault/check.ts';
import { checkBundle, LogReader } from './fault/check-log.ts';
import { Company } from './fault/company.ts';
import { Deck, type Disturbance, disturb, mend } from './fault/disturb.ts';
import { checkFiles } from './fault/files.ts';
import { drawWay, type Killed, killAndRestart } from './fault/kill.ts';
import { Ledger, type TrackedContext } from './fault/ledger.ts';
import { observe } from './fault/observe.ts';
import { type Random, seededRandom } from './fault/random.ts';
import { Writers } from './fault/round.ts';
import { Client, type Target } from './fault/writers.ts';

/** Milliseconds that writers write before the server is killed. */
const WRITING_MS = { min: 40, max: 1_600 } as const;
/** Changes to be acknowledged for each round, in all: on a slow machine the last one goes on until they are. */
const ACKNOWLEDGED_MIN = 40;
const LOOK_MS = 20;
/** Contexts that are read at the same time while checking. */
const CHECKERS = 4;
/** Violations that are printed. */
const PRINTED_MAX = 20;

/** The service is a context too. */
const SERVICE_ITSELF = 1;

const USAGE = `Usage: npm run fault -- [--rounds <1 or more, 100>] [--seed <0 to 4294967295, random>] [--patient]
  --patient: at the end, wait for all that comes by itself, up to 25 minutes, instead of hurrying what is late`;

interface Options {
  readonly rounds: number;
  readonly seed: number;
  readonly patient: boolean;
}

/** What the whole run has seen. */
interface Totals {
  events: number;
  checks: number;
  /** Acknowledged changes of who may do what: of members, roles and keys. */
  shared: number;
  /** Heads in the log of logs. */
  logged: number;
  readonly kills: Killed[];
  readonly disturbances: Disturbance[];
  arrival: Arrival | null;
}

/**
 * The fault run: kills the real server with SIGKILL while writers write and the services around it fail, starts it again
 * on the same data, and compares the logs with everything that was asked and answered. At the end, with nothing wrong
 * any more, all that is in a log has to arrive downstream, once and in order, and the log of logs has to vouch for it; what
 * that once has shown it never takes back. It covers the loss of processes, with the
 * queue messages they hold, not the loss of power: what the operating system has taken, it keeps.
 */
async function run({ rounds, seed, patient }: Options): Promise<boolean> {
  const random = seededRandom(seed);
  const ledger = new Ledger();
  const client = new Client(ledger, `f${seed}`);
  const writers = new Writers(client);
  const deck = new Deck();
  const reader = new LogReader();
  const totals: Totals = { events: 0, checks: 0, shared: 0, logged: 0, kills: [], disturbances: [], arrival: null };
  const data = temporaryFolder('fault-data');
  const temporary = temporaryFolder('fault-tmp');
  const start = {
    port: await freePort(),
    dataFolder: data.path,
    apiKey: 'the key of the fault run'.replaceAll(' ', '-'),
    environment: { TMPDIR: temporary.path },
  };
  const startedAt = Date.now();
  let server = await startServer(start);
  const abandon = () => {
    server.kill('SIGKILL');
    process.exit(130);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, abandon);
  try {
    const company = await Company.found(server);
    for (let round = 1; round <= rounds && ledger.violations.length === 0; round++) {
      progress(round, rounds, startedAt, client.counts.acknowledged);
      const ofRound = random.fork(`round ${round}`);
      const { unanswered } = client.counts;
      const disturbances = deck.draw(ofRound.fork('disturbances'));
      totals.disturbances.push(...disturbances);
      const isEnough = () => round < rounds || client.counts.acknowledged >= ACKNOWLEDGED_MIN * rounds;
      const killed = await killWhileWriting(server, writers, company, disturbances, ofRound, start, isEnough, () => {
        const lost = client.counts.unanswered - unanswered;
        if (lost > 0) ledger.violations.push(`${lost} changes got no answer before anything was killed`);
      });
      totals.kills.push(killed);
      server = killed.server;
      await check(server, ledger, ofRound.fork('check'), totals, (context) => context.touched);
      ledger.violations.push(...(await company.check(server)), ...(await reader.look(server)));
    }
    await client.settle(server);
    if (client.unsettled > 0) ledger.violations.push(`${client.unsettled} changes have no answer on a quiet server`);
    await mend(server);
    totals.arrival = await arrive(
      server,
      [...namesOf(ledger), company.context],
      ledger.lostCreations + SERVICE_ITSELF,
      patient,
    );
    ledger.violations.push(...totals.arrival.violations);
    await check(server, ledger, random.fork('end'), totals, () => true);
    ledger.violations.push(...(await company.check(server)));
    totals.shared = company.done;
    ledger.violations.push(...(await verify(server, reader, totals.arrival.contexts)));
    totals.logged = reader.size;
    totals.events = countEvents(ledger);
    await stopServer(server);
    ledger.violations.push(...checkFiles(data.path, totals.arrival.contexts.size));
  } catch (error) {
    ledger.violations.push(`The run could not go on: ${inspect(error)}; the server said: ${server.stderr()}`);
    server.kill('SIGKILL');
    await server.exited;
  }
  progress(0, 0, 0, 0);
  report({ rounds, seed, patient }, startedAt, client, ledger, totals, data.path);
  temporary.remove();
  if (ledger.violations.length > 0) return false;
  data.remove();
  return true;
}

async function killWhileWriting(
  server: Server,
  writers: Writers,
  company: Company,
  disturbances: readonly Disturbance[],
  random: Random,
  start: StartOptions,
  isEnough: () => boolean,
  beforeKill: () => void,
): Promise<Killed> {
  const target: Target = server;
  const stop = new AbortController();
  const writing = Promise.all([
    writers.write(target, random, stop.signal),
    company.work(target, random.fork('company'), stop.signal),
  ]);
  let isWriting = true;
  const over = () => {
    isWriting = false;
  };
  writing.then(over, over);
  // They stay switched on as they are when it is killed: it comes up again with them.
  const disturbed = await disturb(target, disturbances, random.fork('disturb'));
  await pause(random.between(WRITING_MS.min, WRITING_MS.max));
  while (isWriting && !isEnough()) await pause(LOOK_MS);
  await disturbed.end();
  beforeKill();
  const killing = killAndRestart(server, drawWay(random), start, random);
  // They end when nobody answers any more, and must not take the restarted server for the one they wrote to.
  const [killed] = await Promise.all([killing, writing]).finally(() => stop.abort());
  return killed;
}

/** Compares the contexts that `which` chooses with the ledger; what contradicts it is noted there. */
async function check(
  target: Target,
  ledger: Ledger,
  random: Random,
  totals: Totals,
  which: (context: TrackedContext) => boolean,
): Promise<void> {
  const queue = [...ledger.contexts.values()].filter(which);
  const checker = async () => {
    for (let context = queue.pop(); context; context = queue.pop()) {
      ledger.violations.push(...(await checkOne(target, context, random)));
      totals.checks += 1;
    }
  };
  await Promise.all(Array.from({ length: CHECKERS }, checker));
}

async function checkOne(target: Target, context: TrackedContext, random: Random): Promise<string[]> {
  const observed = await observe(target, context, random);
  context.touched = false;
  if (observed) {
    context.events = observed.lines.length;
    return checkContext(context, observed);
  }
  const isKnown = context.changes.some((change) => change.outcome === 'acknowledged');
  return isKnown ? [`${context.id}: its creation was acknowledged, and it does not exist`] : [];
}

/** Verifies all contexts by their bundles, and the log that these are in. @returns what is wrong, in words */
async function verify(target: Target, reader: LogReader, contexts: ReadonlySet<string>): Promise<string[]> {
  const faults: string[] = [];
  const queue = [...contexts];
  const verifier = async () => {
    for (let id = queue.pop(); id; id = queue.pop()) faults.push(...(await checkBundle(target, id)));
  };
  await Promise.all(Array.from({ length: CHECKERS }, verifier));
  return [...faults, ...(await reader.look(target)), ...(await reader.readAll(target))];
}

/** The ids of all contexts that the writers know. */
function namesOf(ledger: Ledger): string[] {
  return [...ledger.contexts.keys()];
}

function countEvents(ledger: Ledger): number {
  return [...ledger.contexts.values()].reduce((sum, context) => sum + context.events, 0);
}

/** On a terminal, one line that is written over; with no rounds, wipes it. */
function progress(round: number, rounds: number, startedAt: number, acknowledged: number): void {
  if (!process.stdout.isTTY) return;
  const left = round > 1 ? ((Date.now() - startedAt) / (round - 1)) * (rounds - round + 1) : Number.NaN;
  const estimate = Number.isNaN(left) ? '' : `, about ${Math.ceil(left / 1000)} s left`;
  const line = rounds === 0 ? '' : `round ${round} of ${rounds}, ${acknowledged} changes acknowledged${estimate}`;
  process.stdout.write(`\r\x1b[K${line}`);
}

function report(
  { rounds, seed }: Options,
  startedAt: number,
  { counts }: Client,
  ledger: Ledger,
  { kills, events, checks, shared, logged, disturbances, arrival }: Totals,
  dataFolder: string,
): void {
  for (const violation of ledger.violations.slice(0, PRINTED_MAX)) console.error(violation);
  const { violations } = ledger;
  if (violations.length > PRINTED_MAX) console.error(`… and ${violations.length - PRINTED_MAX} more`);
  if (violations.length > 0) {
    console.error(`The data is kept in ${dataFolder}. The same choices again: npm run fault -- --seed ${seed}`);
  }
  const ways = Object.entries(Object.groupBy(kills, ({ way }) => way));
  console.log(`kills: ${ways.map(([way, those]) => `${those.length} × ${way}`).join(', ')}`);
  const kinds = Object.entries(Object.groupBy(disturbances, (kind) => kind));
  console.log(`downstream: ${kinds.map(([kind, those]) => `${those.length} × ${kind}`).join(', ')}`);
  if (arrival) {
    console.log(
      `arrived: ${arrival.entries} entries in Chronicle, ${arrival.lineage} events in DNA, ${arrival.chittyIds} ` +
        `ChittyIDs, ${arrival.certificates} certificates, ${arrival.listed} contexts in lists, of ` +
        `${arrival.contexts.size} contexts, ${Math.round(arrival.waitedMs / 1000)} s after the last kill, ` +
        `${arrival.hurried} streams hurried`,
    );
  }
  const orphaned = Math.round(Math.max(0, ...kills.map(({ orphanedMs }) => orphanedMs)));
  const down = kills.map(({ downMs }) => downMs).toSorted((a, b) => a - b);
  const median = Math.round(down[Math.floor(down.length / 2)] ?? 0);
  console.log(
    `fault: ${violations.length} violations, ${kills.length} of ${rounds} rounds, seed ${seed}, ` +
      `${counts.requests} requests, ${counts.acknowledged} acknowledged, ${counts.refused} refused, ` +
      `${counts.unanswered} unanswered, ${counts.settled} settled by a retry, ${counts.repeated} repeated, ${counts.moved} segments moved, ` +
      `${ledger.contexts.size} contexts, ${events} events, ${shared} changes of access, ${logged} logged heads, ${checks} checks; ` +
      `down for ${median} ms (median), workerd outlived node by ${orphaned} ms at most, ` +
      `${Math.round((Date.now() - startedAt) / 1000)} s`,
  );
}

/** @returns null when they make no sense */
function readOptions(): Options | null {
  try {
    const { values } = parseArgs({
      options: { rounds: { type: 'string' }, seed: { type: 'string' }, patient: { type: 'boolean', default: false } },
    });
    const rounds = Number(values.rounds ?? 100);
    const seed = Number(values.seed ?? Date.now() % 2 ** 32);
    const isSound = Number.isInteger(rounds) && rounds >= 1 && Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32;
    return isSound ? { rounds, seed, patient: values.patient } : null;
  } catch {
    return null;
  }
}

const options = readOptions();
if (options === null) {
  console.error(USAGE);
  process.exit(2);
}
console.log(`fault: ${options.rounds} rounds, seed ${options.seed}`);
process.exitCode = (await run(options)) ? 0 : 1;
