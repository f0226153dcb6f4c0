import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inspect, parseArgs } from 'node:util';
import { freePort, type Server, startServer, stopServer, temporaryFolder } from '../test/support/server.ts';
import { type Random, seededRandom } from './fault/random.ts';
import { Auditor, type AuditVerdict } from './tamper/auditor.ts';
import { type Expected, type Scene, TAMPERINGS } from './tamper/tamperings.ts';
import { archive, change, create, whenLogged } from './tamper/writer.ts';

/** Tamperings that are tried on copies of one state of a server; between two such states it goes on. */
const TAMPERINGS_PER_STATE = 5;
/** Changes of the contexts at the beginning: the first gets a snapshot, which is taken every 100 events. */
const FIRST_CHANGES = [130, 12, 7] as const;
/** Changes of the contexts of which a part is moved into a segment: it has 256 events. */
const ARCHIVED_CHANGES = 270;
const TWO_VIEWS = 'two views';

const USAGE = 'Usage: npm run tamper -- [--rounds <1 or more, 100>] [--seed <0 to 4294967295, random>]';

interface Options {
  readonly rounds: number;
  readonly seed: number;
}

/** What became of the whole run. */
interface Totals {
  cleanRuns: number;
  readonly found: Map<string, number>;
  readonly violations: string[];
}

/**
 * The tampering run: a server writes and stops, its files are changed by hand, it starts again, and an auditor who kept
 * nothing but a checkpoint and the log's keys has to say what was done. As often the auditor looks at a server with
 * which nothing was done, and has to say nothing.
 */
async function run({ rounds, seed }: Options): Promise<boolean> {
  const random = seededRandom(seed);
  const folder = temporaryFolder('tamper');
  const totals: Totals = { cleanRuns: 0, found: new Map(), violations: [] };
  const stage = new Stage(folder.path, random);
  try {
    await stage.begin();
    const deck = new Deck(random.fork('deck'));
    for (let round = 0; round < rounds; ) {
      const names = Array.from({ length: Math.min(TAMPERINGS_PER_STATE, rounds - round) }, () => deck.draw());
      await stage.goOn(names.length, totals);
      for (const name of names) {
        round++;
        progress(`round ${round} of ${rounds}: ${name}`);
        const wrong = await stage.tamper(name, random.fork(`round ${round}`));
        if (wrong === null) totals.found.set(name, (totals.found.get(name) ?? 0) + 1);
        else totals.violations.push(`round ${round}, ${name}: ${wrong}`);
      }
    }
  } catch (error) {
    totals.violations.push(`The run could not go on: ${inspect(error)}`);
    await stage.abandon();
  }
  progress('');
  for (const violation of totals.violations) console.error(violation);
  for (const [name, count] of totals.found) console.log(`${count} × ${name}`);
  const found = [...totals.found.values()].reduce((sum, count) => sum + count, 0);
  console.log(
    `tamper: ${found} of ${rounds} tamperings found and named, ${totals.cleanRuns} clean runs, ` +
      `${totals.violations.length} violations, seed ${seed}`,
  );
  if (totals.violations.length > 0) console.error(`The same choices again: npm run tamper -- --seed ${seed}`);
  folder.remove();
  return totals.violations.length === 0 && found === rounds;
}

/** The kinds of tampering, each once before any comes again. */
class Deck {
  readonly #random: Random;
  #cards: string[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  draw(): string {
    if (this.#cards.length === 0) {
      const kinds = [...Object.keys(TAMPERINGS), TWO_VIEWS];
      this.#cards = kinds
        .map((name) => ({ name, at: this.#random.next() }))
        .sort((a, b) => a.at - b.at)
        .map(({ name }) => name);
    }
    return this.#cards.pop() ?? TWO_VIEWS;
  }
}

/** A server that goes on from state to state, and the copies that are tampered with. */
class Stage {
  readonly #folder: string;
  readonly #random: Random;
  readonly #auditor: Auditor;
  #contexts: [string, string, ...string[]] = ['', ''];
  #archived: [string, string] = ['', ''];
  #states = 0;
  #server: Server | null = null;

  constructor(folder: string, random: Random) {
    this.#folder = folder;
    this.#random = random;
    this.#auditor = new Auditor(folder);
  }

  /** Makes the first state. */
  async begin(): Promise<void> {
    const random = this.#random.fork('begin');
    const target = await this.#start(this.#state(0));
    const ids: string[] = [];
    for (const [place, times] of FIRST_CHANGES.entries()) {
      progress(`making context ${place + 1}`);
      const id = await create(target, `context ${place}`);
      await change(target, id, times, random);
      ids.push(id);
    }
    const [first = '', second = '', ...more] = ids;
    this.#contexts = [first, second, ...more];
    this.#archived = [await this.#makeArchived(target, random), await this.#makeArchived(target, random)];
    await whenLogged(target, [...ids, ...this.#archived]);
    await this.#auditor.meet(target);
    await this.#auditor.keep(target);
    await this.#stop();
  }

  /** Makes a context whose history begins in a segment. */
  async #makeArchived(target: Server, random: Random): Promise<string> {
    progress('making a context with a segment');
    const id = await create(target, 'long ago');
    await change(target, id, ARCHIVED_CHANGES, random);
    await archive(target, id);
    return id;
  }

  /** Goes on to the next state: changes things and has the auditor look, `times` times. */
  async goOn(times: number, totals: Totals): Promise<void> {
    const earlier = this.#state(this.#states);
    this.#states++;
    const random = this.#random.fork(`state ${this.#states}`);
    const now = this.#state(this.#states);
    cpSync(earlier, now, { recursive: true });
    const target = await this.#start(now);
    for (let time = 0; time < times; time++) {
      progress(`clean run ${totals.cleanRuns + 1}`);
      const id = random.pick(this.#contexts);
      await change(target, id, random.between(1, 6), random);
      await whenLogged(target, [id]);
      const verdict = await this.#auditor.verify(target);
      if (verdict.verified) totals.cleanRuns++;
      else totals.violations.push(`in a clean run the auditor says: ${told(verdict)}`);
      await this.#auditor.keep(target);
    }
    await this.#stop();
  }

  /** Tampers with a copy of the state. @returns what the auditor does not say that has to be said, null when all is well */
  async tamper(name: string, random: Random): Promise<string | null> {
    if (name === TWO_VIEWS) return this.#twoViews(random);
    const dataFolder = this.#copy();
    const scene: Scene = {
      dataFolder,
      earlierFolder: this.#state(this.#states - 1),
      contexts: this.#contexts,
      archived: this.#archived,
      random,
    };
    const expected = TAMPERINGS[name]?.(scene);
    if (!expected) throw new Error(`There is no tampering ${name}`);
    const verdict = await this.#auditor.verify(await this.#start(dataFolder));
    await this.#stop();
    return judge(verdict, expected);
  }

  /** Two copies go on differently; one auditor saw the one, and looks at the other. */
  async #twoViews(random: Random): Promise<string | null> {
    const [first, second] = this.#contexts;
    const auditor = new Auditor(this.#folder, 'one-view');
    const one = await this.#start(this.#copy());
    await change(one, first, random.between(1, 3), random);
    await whenLogged(one, [first]);
    await auditor.keep(one);
    await this.#stop();
    const other = await this.#start(this.#copy());
    await change(other, second, random.between(1, 3), random);
    await whenLogged(other, [second]);
    const verdict = await auditor.verify(other);
    await this.#stop();
    // How many entries the other has is chance.
    return judge(verdict, { codes: ['log-split', 'log-rewritten', 'log-truncated'], stream: null, version: null });
  }

  /** Ends what still runs. */
  async abandon(): Promise<void> {
    this.#server?.kill('SIGKILL');
    await this.#server?.exited;
  }

  #state(number: number): string {
    return join(this.#folder, `state-${number}`);
  }

  #copy(): string {
    const copy = join(this.#folder, 'copy');
    rmSync(copy, { recursive: true, force: true });
    cpSync(this.#state(this.#states), copy, { recursive: true });
    return copy;
  }

  async #start(dataFolder: string): Promise<Server> {
    const apiKey = 'the-key-of-the-tampering-run';
    this.#server = await startServer({ port: await freePort(), dataFolder, apiKey });
    return this.#server;
  }

  async #stop(): Promise<void> {
    if (this.#server) await stopServer(this.#server);
    this.#server = null;
  }
}

/** @returns what is missing in a verdict, null when nothing is */
function judge(verdict: AuditVerdict, { codes, stream, version }: Expected): string | null {
  const isNamed = verdict.findings.some((finding) => {
    const last = finding.through ?? finding.version ?? Number.POSITIVE_INFINITY;
    const isThere = version === null || ((finding.version ?? 0) <= version && version <= last);
    return codes.some((code) => code === finding.code) && (stream === null || finding.stream === stream) && isThere;
  });
  // Whoever is told of another stream looks in the wrong place.
  const isMisled = verdict.findings.some((finding) => finding.stream !== null && finding.stream !== stream);
  if (isNamed && !isMisled) return null;
  const wanted = `${codes.join(' or ')}${stream === null ? '' : ` in ${stream}`}${version === null ? '' : ` version ${version}`}`;
  return `wanted was ${wanted}; the auditor says: ${told(verdict)}`;
}

function told({ findings }: AuditVerdict): string {
  return findings.length === 0 ? 'verified' : findings.map(({ code, message }) => `${code}: ${message}`).join('; ');
}

/** On a terminal, one line that is written over. */
function progress(text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${text}`);
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
console.log(`tamper: ${options.rounds} rounds, seed ${options.seed}`);
process.exitCode = (await run(options)) ? 0 : 1;
