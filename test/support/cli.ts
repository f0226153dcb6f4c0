import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from './server.ts';

/** How a run of the command line tool ended, and what it printed. */
export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run it. */
export interface RunOptions {
  /** What it is given on standard input. */
  readonly input?: Uint8Array | string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Called with what it has printed so far; true ends it with Ctrl-C. */
  readonly isEnough?: (stdout: string) => boolean;
  /** Called with what it has said on standard error so far. */
  readonly onStderr?: (stderr: string) => void;
}

/** Runs `chittyconnect` as a process of its own, with none of this process's settings. */
export function runCli(
  args: readonly string[],
  { input, environment, isEnough, onStderr }: RunOptions = {},
): Promise<Ran> {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, [join(ROOT, 'cli', 'chittyconnect.js'), ...args], {
    env: { PATH, HOME, ...environment },
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
      if (name === 'stderr') onStderr?.(printed.stderr);
      if (isEnough?.(printed.stdout)) child.kill('SIGINT');
    });
  }
  // It may have had enough before it has read all of it.
  child.stdin.on('error', () => undefined).end(input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, ...printed }));
  });
}
