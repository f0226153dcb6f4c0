import type { Findings } from './report.ts';
import type { Workspace } from './servers.ts';

/** How long and on what to measure. */
export interface RunOptions {
  readonly workspace: Workspace;
  /** Rounds that count. */
  readonly rounds: number;
  /** Milliseconds of load per side and round. */
  readonly roundMs: number;
  /** Divides the sizes of what is measured (events, sockets): 1 for the full sizes. */
  readonly shrink: number;
  /** Tells whoever waits what is being measured now. */
  progress(text: string): void;
}

/** A section of the benchmark. */
export interface Section {
  /** Its name on the command line. */
  readonly name: string;
  readonly title: string;
  /** What is measured and how. */
  readonly method: string;
  /** What bounds the figures and how that is known. It says nothing that another run's figures could contradict. */
  readonly explanation: string;
  run(options: RunOptions): Promise<Findings>;
}
