import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  freePort,
  type Server,
  type StartOptions,
  startServer,
  stopServer,
  temporaryFolder,
} from '../test/support/server.ts';
import { checkContext } from './fault/check.ts';
import { drawWay, type Killed, killAndRestart } from './fault/kill.ts';
import { Ledger, type TrackedContext } from './fault/ledger.ts';
import { observe } from './fault/observe.ts';
import { type Random, seededRandom } from './fault/random.ts';
import { Writers } from './fault/round.ts';
import { Client, type Target } from './fault/writers.ts';

/** Milliseconds that writers write before the server is killed. */
const WRITING_MS = { min: 40, max: 1_600 } as const;
/** Contexts that are read at the same time while checking. */
const CHECKERS = 4;
/** Violations that are printed. */
const PRINTED_MAX = 20;

const USAGE = 'Usage: npm run fault -- [--rounds <1 or more, 100>] [--seed <0 to 4294967295, random>]';

interface Options {
  readonly rounds: number;
  readonly seed: number;
}

/** What the whole run has seen. */
interface Totals {
  events: number;
  checks: number;
  readonly kills: Killed[];
}

/**
 * The fault run: kills the real server with SIGKILL while writers write, starts it again on the same data, and compares
 * the logs with everything that was asked and answered. It covers the loss of processes, not the loss of power: what
 * the operating system has taken, it keeps.
 */
async function run({ rounds, seed }: Options): Promise<boolean> {
  const random = seededRandom(seed);
  const ledger = new Ledger();
  const client = new Client(ledger, `f${seed}`);
  const writers = new Writers(client);
  const totals: Totals = { events: 0, checks: 0, kills: [] };
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
    for (let round = 1; round <= rounds && ledger.violations.length === 0; round++) {
      progress(round, rounds, startedAt, client.counts.acknowledged);
      const ofRound = random.fork(`round ${round}`);
      const { unanswered } = client.counts;
      const killed = await killWhileWriting(server, writers, ofRound, start, () => {
        const lost = client.counts.unanswered - unanswered;
        if (lost > 0) ledger.violations.push(`${lost} changes got no answer before anything was killed`);
      });
      totals.kills.push(killed);
      server = killed.server;
      await check(server, ledger, ofRound.fork('check'), totals, (context) => context.touched);
    }
    await client.settle(server);
    if (client.unsettled > 0) ledger.violations.push(`${client.unsettled} changes have no answer on a quiet server`);
    await check(server, ledger, random.fork('end'), totals, () => true);
    totals.events = countEvents(ledger);
    await stopServer(server);
    checkFiles(data.path, ledger);
  } catch (error) {
    ledger.violations.push(`The run could not go on: ${error instanceof Error ? error.message : error}`);
    server.kill('SIGKILL');
    await server.exited;
  }
  progress(0, 0, 0, 0);
  report({ rounds, seed }, startedAt, client, ledger, totals, data.path);
  temporary.remove();
  if (ledger.violations.length > 0) return false;
  data.remove();
  return true;
}

async function killWhileWriting(
  server: Server,
  writers: Writers,
  random: Random,
  start: StartOptions,
  beforeKill: () => void,
): Promise<Killed> {
  const target: Target = server;
  const stop = new AbortController();
  const writing = writers.write(target, random, stop.signal);
  await pause(random.between(WRITING_MS.min, WRITING_MS.max));
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

function countEvents(ledger: Ledger): number {
  return [...ledger.contexts.values()].reduce((sum, context) => sum + context.events, 0);
}

/** The service is a context too. */
const SERVICE_ITSELF = 1;

/**
 * Looks at the files that the server left. A creation without a key that got no answer may have made a context that
 * nobody can name; there may be no other.
 */
function checkFiles(dataFolder: string, ledger: Ledger): void {
  const files = readdirSync(dataFolder, { recursive: true, encoding: 'utf8' });
  const databases = files.filter((file) => /ContextObject[/\\][0-9a-f]{64}\.sqlite$/.test(file));
  const most = ledger.contexts.size + ledger.lostCreations + SERVICE_ITSELF;
  if (databases.length > most) {
    ledger.violations.push(`There are ${databases.length} context databases in ${dataFolder}, for ${most} at most`);
  }
  for (const file of databases) {
    // Not read-only: a server that was killed leaves a write-ahead log, and that is taken in first.
    const database = new DatabaseSync(join(dataFolder, file));
    const [verdict] = Object.values(database.prepare('PRAGMA integrity_check').get() ?? {});
    if (verdict !== 'ok') ledger.violations.push(`${file} is damaged: ${verdict}`);
    database.close();
  }
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
  { kills, events, checks }: Totals,
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
  const orphaned = Math.round(Math.max(0, ...kills.map(({ orphanedMs }) => orphanedMs)));
  const down = kills.map(({ downMs }) => downMs).toSorted((a, b) => a - b);
  const median = Math.round(down[Math.floor(down.length / 2)] ?? 0);
  console.log(
    `fault: ${violations.length} violations, ${kills.length} of ${rounds} rounds, seed ${seed}, ` +
      `${counts.requests} requests, ${counts.acknowledged} acknowledged, ${counts.refused} refused, ` +
      `${counts.unanswered} unanswered, ${counts.settled} settled by a retry, ${counts.repeated} repeated, ` +
      `${ledger.contexts.size} contexts, ${events} events, ${checks} checks; ` +
      `down for ${median} ms (median), workerd outlived node by ${orphaned} ms at most, ` +
      `${Math.round((Date.now() - startedAt) / 1000)} s`,
  );
}

/** @returns null when they make no sense */
function readOptions(): Options | null {
  try {
    const { values } = parseArgs({ options: { rounds: { type: 'string' }, seed: { type: 'string' } } });
    const rounds = Number(values.rounds ?? 100);
    const seed = Number(values.seed ?? Date.now() % 2 ** 32);
    const isSound = Number.isInteger(rounds) && rounds >= 1 && Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32;
    return isSound ? { rounds, seed } : null;
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
