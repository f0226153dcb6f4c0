import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { updateDocument, type WrittenSection, writeDocument } from './report.ts';
import type { RunOptions, Section } from './section.ts';
import { agents } from './sections/agents.ts';
import { append } from './sections/append.ts';
import { broadcast } from './sections/broadcast.ts';
import { cold } from './sections/cold.ts';
import { credentials } from './sections/credentials.ts';
import { d1 } from './sections/d1.ts';
import { lag } from './sections/lag.ts';
import { neighbour } from './sections/neighbour.ts';
import { proofs } from './sections/proofs.ts';
import { rebuild } from './sections/rebuild.ts';
import { replay } from './sections/replay.ts';
import { rows } from './sections/rows.ts';
import { sealed } from './sections/sealed.ts';
import { search } from './sections/search.ts';
import { sinks } from './sections/sinks.ts';
import { subscriber } from './sections/subscriber.ts';
import { verify } from './sections/verify.ts';
import { wake } from './sections/wake.ts';
import { ROOT, Workspace } from './servers.ts';

const SECTIONS: readonly Section[] = [
  append,
  subscriber,
  agents,
  credentials,
  sealed,
  neighbour,
  sinks,
  rows,
  d1,
  lag,
  search,
  rebuild,
  wake,
  verify,
  replay,
  cold,
  proofs,
  broadcast,
];
const NAMES = SECTIONS.map((section) => section.name);

/** Where a full run puts its document. */
const DOCUMENT = join(ROOT, 'docs', 'performance.md');

/** Rounds are short and many: on a disk that others use too, a ratio only holds between neighbours in time. */
const FULL = { rounds: 7, roundMs: 2_500, shrink: 1 };
const QUICK = { rounds: 3, roundMs: 500, shrink: 100 };

const USAGE = `npm run bench -- [--quick] [--update] [--out <file>] [section …]

A full run of all sections writes docs/performance.md; any other prints its document, or writes it to --out.
  --quick   short rounds and a hundredth of the events and sockets: to see that it works, not for the figures
  --update  puts the sections into docs/performance.md in place of what it has of them
  sections  ${NAMES.join(', ')}`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean' },
      update: { type: 'boolean' },
      out: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const unknown = positionals.filter((name) => !NAMES.includes(name));
  if (values.help || unknown.length > 0) {
    console.error(unknown.length > 0 ? `There is no section ${unknown.join(', ')}.\n\n${USAGE}` : USAGE);
    return unknown.length > 0 ? 1 : 0;
  }
  const chosen = SECTIONS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const written: WrittenSection[] = [];
  for (const section of chosen) written.push(await measure(section, values.quick ? QUICK : FULL));
  if (values.update) {
    const titles = SECTIONS.map(({ title }) => title);
    writeFileSync(DOCUMENT, updateDocument(readFileSync(DOCUMENT, 'utf8'), written, titles, Boolean(values.quick)));
    console.error(`Updated in ${DOCUMENT}`);
    return 0;
  }
  const document = writeDocument(written);
  const isWhole = !values.quick && chosen.length === SECTIONS.length;
  const file = values.out ?? (isWhole ? DOCUMENT : null);
  if (file === null) console.log(document);
  else {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, document);
    console.error(`Written to ${file}`);
  }
  return 0;
}

/** Runs a section on data of its own, so that none depends on what another left behind. */
async function measure(
  section: Section,
  size: Pick<RunOptions, 'rounds' | 'roundMs' | 'shrink'>,
): Promise<WrittenSection> {
  const workspace = new Workspace();
  const progress = (text: string) => console.error(`${section.name}: ${text}`);
  try {
    const { title, method, explanation } = section;
    try {
      return { title, method, explanation, findings: await section.run({ ...size, workspace, progress }) };
    } catch (error) {
      // The others still have their figures; the document and the exit status say that this one has none.
      console.error(error);
      process.exitCode = 1;
      const table = { columns: ['result'], rows: [[`**failed**: ${String(error).split('\n')[0]}`]] };
      return { title, method, explanation, findings: { table } };
    }
  } finally {
    workspace.remove();
  }
}

// What the servers leave open must not keep the process.
process.exit((await main()) || process.exitCode);
