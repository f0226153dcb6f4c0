import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { figure, verdict } from '../report.ts';
import type { Section } from '../section.ts';
import { ROOT } from '../servers.ts';

/** Contexts to search among. */
const SIZES = [10_000, 100_000, 1_000_000];
/** The most that a query may take of what the plain index takes, and its p99 in milliseconds. */
const AIMS = { ratio: 2, p99Ms: 50, mistypedMs: 250, filtered: 1.5 };
/** Below a millisecond the clock tells nothing of a ratio. */
const TELLING_MS = 1;

const figures = z.object({ mean: z.number(), p50: z.number(), p99: z.number() });
const results = z.object({
  loads: z.array(z.object({ contexts: z.number(), contextsPerSecond: z.number(), megabytes: z.number() })),
  lines: z.array(
    z.object({
      contexts: z.number(),
      kind: z.string(),
      ours: figures,
      raw: figures.nullable(),
      unrestricted: figures.nullable(),
    }),
  ),
});

type Line = z.infer<typeof results>['lines'][number];

/** How long search takes, and how that grows. */
export const search: Section = {
  name: 'search',
  title: 'Search',
  method:
    'The product’s own queries from inside a Worker, a page of 20, against the plainest index that finds fragments: an ' +
    'FTS5 trigram index over the same text in the same database, newest first. The contexts are loaded through the ' +
    'projection’s own code. Each kind of query has 300 samples, the two sides in turns; each cell is the mean and the ' +
    'p99 in milliseconds, and in brackets how often the plain index’s mean that is, where it can be asked the same.',
  explanation:
    'What bounds it: the index is asked for the best-fitting way first and left when the page is full, so a common word ' +
    'costs no more than a rare one. What does not fill a page is looked for by its three rarest fragments, and a word ' +
    'that is in no word of the dictionary not at all, which is what most mistyped ones are. Where a filter leaves up to ' +
    '1,000 contexts, each of them is looked at: 4 µs of CPU each.',
  async run({ workspace, shrink, progress }) {
    const sizes = SIZES.filter((size) => shrink === 1 || size === SIZES[0]);
    const file = join(workspace.folder('search'), 'results.json');
    progress(`loading and asking ${sizes.join(', ')}: a million takes an hour`);
    execFileSync(process.execPath, [join(ROOT, 'bench/search/run.ts'), '--sizes', sizes.join(','), '--out', file], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const { loads, lines } = results.parse(JSON.parse(readFileSync(file, 'utf8')));
    const kinds = [...new Set(lines.map(({ kind }) => kind))];
    const of = (kind: string, size: number) => lines.find((line) => line.kind === kind && line.contexts === size);
    const columns = ['query', ...sizes.map((size) => `${size.toLocaleString('en')} contexts`), 'growth', 'aim'];
    const rows = kinds.map((kind) => {
      const all = sizes.map((size) => of(kind, size));
      const [first, last] = [all[0], all.at(-1)];
      const growth = first && last && sizes.length > 1 ? figure(last.ours.mean / first.ours.mean) : '';
      return [kind, ...all.map((line) => (line ? cell(line) : '')), growth, last ? aim(last) : ''];
    });
    const loaded = loads.map(
      ({ contexts, contextsPerSecond, megabytes }) =>
        `${contexts.toLocaleString('en')}: ${contextsPerSecond.toLocaleString('en')} contexts a second, ${megabytes} MB ` +
        'with the plain index',
    );
    const largest = sizes.at(-1) ?? 0;
    const filtered = lines
      .filter(({ contexts }) => contexts === largest)
      .flatMap(({ kind, ours, unrestricted }) => {
        if (unrestricted === null) return [];
        // Two that the clock cannot tell apart are alike.
        const isNear = ours.mean < TELLING_MS || ours.mean <= AIMS.filtered * unrestricted.mean;
        return [`${kind}: ${figure(ours.mean)} ms against ${figure(unrestricted.mean)} ms, ${verdict(isNear)}`];
      });
    const access =
      `What one of 10,000 actors may read against what there is, at ${largest.toLocaleString('en')} contexts (aim: ` +
      `≤ ${AIMS.filtered} times the mean, asked in turns): ${filtered.join('; ')}.`;
    return { table: { columns, rows }, notes: [access, `Loading up to ${loaded.join('; ')}.`] };
  },
};

function cell({ ours, raw }: Line): string {
  const ratio = raw && raw.mean >= TELLING_MS ? ` (${figure(ours.mean / raw.mean)})` : '';
  return `${figure(ours.mean)} / ${ours.p99}${ratio}`;
}

/** Whether the aims were reached at the largest size. The plain index forgives no letter: there it is no measure. */
function aim({ kind, ours, raw }: Line): string {
  const isMistyped = kind.includes('mistyped') || kind.includes('nothing near');
  const p99Ms = isMistyped ? AIMS.mistypedMs : AIMS.p99Ms;
  const compared = isMistyped ? null : raw;
  // A query that takes less than the clock can tell is quick enough, whatever the plain one takes.
  const isNear = compared === null || ours.mean < TELLING_MS || ours.mean <= AIMS.ratio * compared.mean;
  const ratio = compared === null ? '' : `≤ ${AIMS.ratio} ×, `;
  return `${ratio}p99 ≤ ${p99Ms} ms: ${verdict(ours.p99 <= p99Ms && isNear)}`;
}
