import { createHash, hash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream, statSync } from 'node:fs';
import { join } from 'node:path';
import { type BundleHeader, formatHeader, headEntry } from '../../events/bundle.ts';
import { formatCheckpoint } from '../../events/checkpoint.ts';
import { sealEvent } from '../../events/envelope.ts';
import { appendLeaf, EMPTY_FRONTIER, frontierRoot, leafHashOf } from '../../events/merkle.ts';
import { formatNote, signText } from '../../events/note.ts';
import { formatVerifierKey, SIGNATURE_TYPE, signingKey } from '../../events/note-keys.ts';
import { verifyExport } from '../../events/verify-export.ts';
import { figure, median, verdict } from '../report.ts';
import type { Section } from '../section.ts';

const EVENTS = 1_000_000;
const AIM = 0.3;
const CHUNK_BYTES = 1024 * 1024;
const KEY = signingKey('bench.example/log', SIGNATURE_TYPE.note, new Uint8Array(32).fill(7));

/** Section: verifying an export. */
export const verify: Section = {
  name: 'verify',
  title: 'Verifying an export',
  method:
    `A proof bundle of ${EVENTS.toLocaleString('en')} changes of a context, read from a file in chunks of 1 MiB: verified ` +
    'as `chittyconnect verify` does it, against bare SHA-256 of the same bytes by the same runtime, once in one piece and ' +
    'once as a tree needs it: each event by itself and one node of two hashes with it. One thread each.',
  explanation:
    'What bounds it: a call of SHA-256 costs about a third of a microsecond before it hashes a byte, and a tree needs two ' +
    'for each event. Where the processor hashes in hardware, these calls alone are about 0.36 of hashing the whole file in ' +
    'one piece, so 0.3 of that would leave no time to look at an event; the second ratio is the one that a verifier can ' +
    'reach. What comes on top of the calls is finding the lines, decoding UTF-8, and a walk through each event’s ' +
    'characters that sees to it that its JSON is canonical. Nothing is parsed.',
  async run({ workspace, rounds, shrink, progress }) {
    const events = Math.round(EVENTS / shrink);
    const file = join(workspace.path, 'bundle.ndjson');
    progress(`making ${events} events`);
    await writeBundle(file, events);
    const bytes = statSync(file).size;
    const sides = { product: verifyFile, whole: hashFile, single: hashLines };
    const order = ['product', 'whole', 'single'] as const;
    const measured: Record<keyof typeof sides, number>[] = [];
    for (let round = 0; round <= rounds; round++) {
      progress(`round ${round} of ${rounds}`);
      const times = { product: 0, whole: 0, single: 0 };
      // The first of them finds the caches as the last left them; so they take turns.
      for (const side of round % 2 === 0 ? order : order.toReversed())
        times[side] = await timed(() => sides[side](file));
      measured.push(times);
    }
    const counted = measured.slice(1);
    const megabytesPerS = (side: keyof typeof sides) =>
      figure(bytes / 1e3 / median(counted.map((round) => round[side])));
    const row = (title: string, side: 'whole' | 'single') => {
      const ratios = counted.map((round) => round[side] / round.product);
      const ratio = median(ratios);
      const spread = `${figure(Math.min(...ratios))} to ${figure(Math.max(...ratios))}`;
      return [
        title,
        megabytesPerS(side),
        `**${figure(ratio)}** (${spread})`,
        `≥ ${figure(AIM)}: ${verdict(ratio >= AIM)}`,
      ];
    };
    return {
      table: {
        columns: ['of the same bytes', 'MB per s', 'ratio', 'aim'],
        rows: [
          [`verify, ${events.toLocaleString('en')} events`, megabytesPerS('product'), '', ''],
          row('SHA-256, event by event, and as many nodes', 'single'),
          row('SHA-256 in one piece', 'whole'),
        ],
      },
    };
  },
};

/** @returns milliseconds */
async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function verifyFile(file: string): Promise<void> {
  const chunks = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  const { isVerified, findings } = await verifyExport(chunks, { keys: [KEY], witnesses: 0, earlier: new Map() });
  if (!isVerified) throw new Error(findings[0]?.message);
}

async function hashFile(file: string): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES })) hash.update(chunk);
  hash.digest();
}

/** The hashes of a tree and nothing else: one of each line, one of two hashes. */
async function hashLines(file: string): Promise<void> {
  const node = new Uint8Array(65);
  let begun = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES })) {
    const bytes = Buffer.concat([begun, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      hash('sha256', bytes.subarray(start, end), 'latin1');
      hash('sha256', node, 'latin1');
      start = end + 1;
    }
    begun = bytes.subarray(start);
  }
}

/** Writes the bundle of a context that was changed so often. */
async function writeBundle(file: string, events: number): Promise<void> {
  const stream = 'context/ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC';
  const frontier = { tree: EMPTY_FRONTIER };
  // Twice over the events: the first line has the root of them all.
  for (const { leafHash } of sealed(stream, events)) {
    frontier.tree = appendLeaf(frontier.tree, Buffer.from(leafHash, 'hex'));
  }
  const head = { size: events, root: frontierRoot(frontier.tree) };
  const root = leafHashOf(headEntry(stream, head));
  const text = formatCheckpoint({ origin: KEY.name, size: 1, root, extensions: [] });
  const checkpoint = formatNote({ text, signatures: [signText(text, KEY, 0)] });
  const header: BundleHeader = {
    stream,
    checkpoint,
    keys: [formatVerifierKey(KEY)],
    heads: [{ ...head, index: 0, proof: [] }],
  };
  const output = createWriteStream(file);
  output.write(`${formatHeader(header)}\n`);
  for (const event of sealed(stream, events)) {
    if (!output.write(`${event.text}\n`)) await once(output, 'drain');
  }
  output.end();
  await once(output, 'finish');
}

/** The same events each time. */
function* sealed(stream: string, events: number) {
  const start = Date.UTC(2026, 0, 1);
  for (let version = 1; version <= events; version++) {
    // A ULID has random digits: this one counts.
    const id = `01JD4Q2W3E${String(version).padStart(16, '0')}`;
    yield sealEvent({
      id,
      stream,
      version,
      type: version === 1 ? 'context_created' : 'context_updated',
      schemaVersion: 1,
      time: new Date(start + version).toISOString(),
      actor: 'act_01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
      credential: 'key_01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
      correlationId: `01JD4Q2W3E${String(version).padStart(16, '1')}`,
      causationId: null,
      commandId: `01JD4Q2W3E${String(version).padStart(16, '1')}`,
      data: { metadata: { priority: version % 7, note: `what was written down at version ${version}` } },
    });
  }
}
