import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** How long a start may take before it counts as hung: it takes about 2 s on two idle cores, and ten times that on busy ones. */
const START_TIMEOUT_MS = 120_000;
/** Where ports are taken from: Linux gives out those from 32768 on by itself, others from 49152 on. */
const [LOWEST_PORT, HIGHEST_PORT] = [20_000, 32_768];
/** How often a condition is looked at again. */
const POLL_MS = 15;

/** What of this process's environment the product sees; none of its own settings among it. */
const INHERITED = ['PATH', 'HOME', 'TMPDIR'];

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How to start the product. */
export interface StartOptions {
  readonly port: number | string;
  readonly dataFolder: string;
  /** BOOTSTRAP_API_KEY; left out, the product makes one or uses the one it kept. */
  readonly apiKey?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The folder it is started in: the repository's root, unless a test wants another. */
  readonly cwd?: string;
}

/** The product as a child process; it may not be ready, or never become so. */
export interface ServerProcess {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  /** When and how it ended. */
  readonly exited: Promise<Exit>;
  hasExited(): boolean;
  /** Whether the process is gone with all it held, also while its children still have its output open. */
  isGone(): boolean;
  kill(signal: NodeJS.Signals): void;
}

/** The product when it answers. */
export interface Server extends ServerProcess {
  readonly url: string;
  /** The key that was given or printed; empty when it was neither. */
  readonly apiKey: string;
}

/** Starts `node scripts/start.ts`, which is what `npm start` runs, and does not wait for anything. */
export function spawnServer(options: StartOptions): ServerProcess {
  const inherited = INHERITED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  });
  const child = spawn(process.execPath, [join(ROOT, 'scripts', 'start.ts')], {
    cwd: options.cwd ?? ROOT,
    env: {
      ...Object.fromEntries(inherited),
      PORT: String(options.port),
      DATA_DIR: options.dataFolder,
      ...(options.apiKey !== undefined && { BOOTSTRAP_API_KEY: options.apiKey }),
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.pid === undefined) throw new Error('node could not be started');
  const [out, err] = [collect(child.stdout), collect(child.stderr)];
  let ended = false;
  return {
    pid: child.pid,
    stdout: out,
    stderr: err,
    exited: exitOf(child).finally(() => {
      ended = true;
    }),
    hasExited: () => ended,
    isGone: () => child.exitCode !== null || child.signalCode !== null,
    kill: (signal) => child.kill(signal),
  };
}

/**
 * Starts the product and waits until /health answers.
 *
 * @throws with what the product printed when it ends first or takes too long
 */
export async function startServer(options: StartOptions): Promise<Server> {
  const server = spawnServer(options);
  const url = `http://127.0.0.1:${options.port}`;
  const isReady = async () => {
    if (server.hasExited()) throw new Error(`The server ended: ${server.stdout()}${server.stderr()}`);
    // Its last printed line, so that the examples are there too, and not another server's health.
    return server.stdout().includes('/events') && (await isHealthy(url));
  };
  try {
    await waitFor('the server to answer', isReady, START_TIMEOUT_MS);
  } catch (error) {
    server.kill('SIGKILL');
    throw error;
  }
  const printed = /API key[^:]*: (\S+)/.exec(server.stdout())?.[1];
  return { ...server, url, apiKey: options.apiKey ?? printed ?? '' };
}

/** Asks a server to stop and waits until it and its workerd are gone. */
export async function stopServer(server: ServerProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
  const workerd = childrenOf(server.pid);
  server.kill(signal);
  const exit = await server.exited;
  await waitFor('workerd to be gone', () => !workerd.some(isRunning));
  return exit;
}

/**
 * A port that nobody takes until a server does, which is seconds later: below those that systems give out by themselves,
 * to whoever listens on port 0 or connects. Kept from other calls, also of other processes, by a UDP socket of the same
 * number, for as long as this process runs.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(LOWEST_PORT, HIGHEST_PORT);
    if ((await isKept(port)) && (await isFree(port))) return port;
  }
}

function isKept(port: number): Promise<boolean> {
  const claim = createSocket('udp4');
  return new Promise((resolve) => {
    claim.once('error', () => {
      claim.close();
      resolve(false);
    });
    claim.bind({ port, address: '127.0.0.1', exclusive: true }, () => {
      claim.unref();
      resolve(true);
    });
  });
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** A new folder for one test's data; `remove` deletes it. */
export function temporaryFolder(name: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `chittyconnect-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }) };
}

/**
 * Waits until `condition` is true.
 *
 * @throws when it is not after `timeoutMs`, naming `what` it waited for
 */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs} ms in vain for ${what}`);
    await pause(POLL_MS);
  }
}

/** The processes that `pid` started and that still run: of a server that answers, its workerd. */
export function childrenOf(pid: number): number[] {
  return processes()
    .filter((candidate) => candidate.parent === pid && candidate.runs)
    .map((candidate) => candidate.pid);
}

/** Whether a process runs; one that ended and was not waited for (a zombie) does not. */
export function isRunning(pid: number): boolean {
  return processes().some((candidate) => candidate.pid === pid && candidate.runs);
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly runs: boolean;
}

/** From /proc where there is one, because `ps` is missing on many a small Linux image. */
function processes(): Process[] {
  if (process.platform === 'linux') {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => readProcess(name));
  }
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat='], { encoding: 'utf8' }).trim().split('\n');
  return lines.map((line) => {
    const [pid, parent, state = ''] = line.trim().split(/\s+/);
    return { pid: Number(pid), parent: Number(parent), runs: !state.startsWith('Z') };
  });
}

function readProcess(pid: string): Process[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name stands in parentheses and may hold anything, so fields are counted from the last one.
    const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return [{ pid: Number(pid), parent: Number(parent), runs: !'ZX'.includes(state) }];
  } catch {
    return [];
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    text += chunk;
  });
  return () => text;
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    // 'close' and not 'exit': all that it printed has been read then.
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    // Not kept: the server may close an idle connection just when somebody uses it again.
    const response = await fetch(`${url}/health`, { headers: { Connection: 'close' } });
    await response.text();
    return response.ok;
  } catch {
    return false;
  }
}
