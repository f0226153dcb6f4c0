import { readFileSync } from 'node:fs';
import { childrenOf } from '../test/support/server.ts';

/** Microseconds in a tick of /proc/<pid>/stat: USER_HZ is 100 on every Linux. */
const TICK_US = 10_000;

/** The workerd processes that `parent` has started. Only known on Linux. */
export function workerdsOf(parent: number): number[] {
  return process.platform === 'linux' ? childrenOf(parent).filter(isWorkerd) : [];
}

/** CPU time of a process and all its threads, user and system, in microseconds; not a number where it is not known. */
export function cpuUs(pid: number | undefined): number {
  if (pid === undefined) return Number.NaN;
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name stands in parentheses and may hold anything, so fields are counted from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

function isWorkerd(pid: number): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/workerd\0serve');
}
