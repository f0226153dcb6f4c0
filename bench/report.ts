import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { THINK_MS } from './load.ts';
import { ROOT } from './servers.ts';

/** Taken before anything was measured. */
const loadBefore = loadavg()[0] ?? Number.NaN;

/** A table of the document: a row of headings, then rows of as many cells. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What a section of the benchmark found. */
export interface Findings {
  readonly table: Table;
  /** Paragraphs after the table; the explanation of the section comes after them. */
  readonly notes?: readonly string[];
}

/** A section of the document. */
export interface WrittenSection {
  readonly title: string;
  /** What is measured and how. */
  readonly method: string;
  /** What bounds the figures, from a profile. */
  readonly explanation: string;
  readonly findings: Findings;
}

/** The middle of some numbers; of an even count the upper one of the two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** A number as people read it: no more than three digits after those that matter. */
export function figure(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Whether an aim was reached, in the words of the tables. */
export function verdict(isReached: boolean): string {
  return isReached ? 'reached' : 'not reached';
}

/** The whole document. */
export function writeDocument(sections: readonly WrittenSection[]): string {
  const head = [
    '# Performance',
    '',
    'Written by `npm run bench`; change the text in `bench/`, not here. Each ratio is of two sides that were measured ' +
      'side by side in one run: the same load tool, the same engine, the same disk, in turns. The figures are medians ' +
      'of the rounds, the ratio is the median of the ratios of each round, and the range is that of the rounds. Each ' +
      `connection of a load waits ${THINK_MS} ms between an answer and its next request (\`bench/load.ts\` says why).`,
    '',
    ...machine().map((line) => `- ${line}`),
  ];
  return `${[head.join('\n'), ...sections.map(writeSection)].join('\n\n')}\n`;
}

/**
 * Puts sections into a document that was written before, each with when and on what it was measured.
 *
 * @param titles the titles of all sections in their order
 */
export function updateDocument(
  document: string,
  sections: readonly WrittenSection[],
  titles: readonly string[],
  isQuick: boolean,
): string {
  const [head = '', ...parts] = document.trimEnd().split('\n\n## ');
  const known = new Map(parts.map((part) => [part.slice(0, part.indexOf('\n')), `## ${part}`]));
  const kind = isQuick ? 'in a short run (`--quick`), to show that it works and not for the figures' : 'by itself';
  const measured = `Measured ${kind}. ${machine().join('. ')}.`;
  for (const section of sections) {
    const [heading, ...rest] = writeSection(section).split('\n\n');
    known.set(section.title, [heading, measured, ...rest].join('\n\n'));
  }
  const ordered = titles.flatMap((title) => known.get(title) ?? []);
  return `${[head, ...ordered].join('\n\n')}\n`;
}

function writeSection({ title, method, explanation, findings }: WrittenSection): string {
  const { table, notes = [] } = findings;
  return [`## ${title}`, method, writeTable(table), ...notes, explanation].join('\n\n');
}

/** A table in Markdown. */
export function writeTable({ columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n');
}

/** What the figures were measured on. */
export function machine(): string[] {
  const [first] = cpus();
  return [
    `Date: ${new Date().toISOString().slice(0, 10)}`,
    `Machine: ${cpus().length} cores (${first?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB of memory`,
    `System: ${type()} ${release()}`,
    `Node ${process.versions.node}, workerd ${version('workerd')}, Miniflare ${version('miniflare')}`,
    `Commit: ${commit()}`,
    `Load of the machine over the minute before: ${figure(loadBefore)}; above 0.5 others were at work on it, and the wide ranges below are theirs`,
  ];
}

/** The installed version of a package. */
export function version(name: string, root = ROOT): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'),
  );
  return manifest.version;
}

function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes');
  } catch {
    return 'not a git repository';
  }
}
