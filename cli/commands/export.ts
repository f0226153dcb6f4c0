import { existsSync, statSync } from 'node:fs';
import { type FileHandle, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { EXIT, ServerError, UsageError } from '../errors.ts';
import { type Begun, openExport, readBegun } from '../export-file.ts';
import { fetchBundle, fetchEvents, type Sink } from '../fetch-bundle.ts';
import { Progress, paint, tell } from '../io.ts';
import { type Command, onFile, readArguments, SERVER_HELP, SERVER_OPTIONS, serverOf } from '../options.ts';
import type { Server } from '../server.ts';
import { findStreams, isStreamName, type ServedStream, servedStream, streamOfId } from '../streams.ts';
import { counted } from '../verify-report.ts';

const HELP = `chittyconnect export <id …> | --all [--out <file | folder/>] [--resume]

  Writes proof bundles of contexts and actors: all the events that the log vouches for, and what proves them. To one file
  (one bundle after the other), to a folder (one file each), or to standard output.

  --all              all contexts that you may read, the deleted ones included
  --out <name>       the file; a folder when it is one, or when the name ends with /
  --resume           goes on with what is there, after verifying it
  --ndjson           bare events, one a line, without proofs
  --wait <seconds>   how long to wait for the newest events to be logged; 10
${SERVER_HELP}`;

const NDJSON = '.ndjson';
/** What a file of a folder is called until it is whole. */
const PART = '.part';

const contextId = z.string().refine((text) => streamOfId(text)?.type === 'context');
const page = z.object({ items: z.array(z.object({ id: contextId })), nextCursor: z.string().nullable() });

/** How streams are exported. */
interface Plan {
  readonly server: Server;
  readonly streams: readonly ServedStream[];
  readonly isResumed: boolean;
  readonly isBare: boolean;
  readonly waitS: number;
  readonly progress: Progress;
}

/** `chittyconnect export` */
export const ExportCommand: Command = {
  name: 'export',
  summary: 'histories with their proofs, to keep and to verify offline',
  help: HELP,
  async run(args) {
    const { values, positionals } = readArguments(args, {
      ...SERVER_OPTIONS,
      all: { type: 'boolean' },
      out: { type: 'string' },
      resume: { type: 'boolean' },
      ndjson: { type: 'boolean' },
      wait: { type: 'string' },
    });
    const { out, resume: isResumed = false, ndjson: isBare = false } = values;
    if (positionals.length > 0 === (values.all === true)) throw new UsageError('Either ids or --all is wanted');
    const unknown = positionals.find((id) => !isStreamName(id));
    if (unknown !== undefined) throw new UsageError(`${unknown} is not the id of a context or an actor`);
    if (isResumed && (out === undefined || isBare)) throw new UsageError('--resume needs --out, and bundles');
    const waitS = readWait(values.wait ?? '10');
    const server = serverOf(values);
    const streams = values.all ? await listContexts(server) : await findStreams(server, positionals);
    const unproved = streams.find(({ type }) => type === 'connection');
    if (unproved) throw new UsageError(`${unproved.id} is a connection: there are no bundles of those`);
    const plan: Plan = { server, streams, isResumed, isBare, waitS, progress: new Progress() };
    const isFolder = out !== undefined && (out.endsWith('/') || (existsSync(out) && statSync(out).isDirectory()));
    try {
      if (out === undefined) await exportTo(plan, standardOutput, null);
      else if (isFolder) await exportToFolder(plan, out);
      else await exportToFile(plan, out);
    } catch (error) {
      plan.progress.end();
      if (out !== undefined && !isBare && error instanceof ServerError) {
        tell('What was written stays: the same command with --resume goes on from there.');
      }
      throw error;
    }
    plan.progress.end();
    tell(`${paint('green', 'exported')}: ${counts(streams)}`);
    return EXIT.ok;
  },
};

const standardOutput: Sink = (chunk) =>
  new Promise((resolve) => {
    if (process.stdout.write(chunk)) resolve();
    else process.stdout.once('drain', resolve);
  });

/** Where bytes of a file go: after those that are there. */
function fileSink(file: FileHandle, name: string, start: number): Sink {
  let at = start;
  return (chunk) =>
    onFile(name, 'written', async () => {
      // A disk that is nearly full takes a part of it; only the next write fails.
      for (let written = 0; written < chunk.length; ) {
        const { bytesWritten } = await file.write(chunk, written, chunk.length - written, at);
        written += bytesWritten;
        at += bytesWritten;
      }
    });
}

async function exportToFile(plan: Plan, name: string): Promise<void> {
  const begun = plan.isResumed ? await readBegun(name) : null;
  const file = await openExport(name, plan.isResumed, begun?.bytes ?? 0);
  try {
    await exportTo(plan, fileSink(file, name, begun?.bytes ?? 0), begun);
    await onFile(name, 'written', () => file.sync());
  } finally {
    await file.close();
  }
}

/** One file for each stream; one that is not whole has another name. */
async function exportToFolder(plan: Plan, folder: string): Promise<void> {
  await onFile(folder, 'written', () => mkdir(folder, { recursive: true }));
  const { length } = plan.streams;
  for (const [done, stream] of plan.streams.entries()) {
    const name = join(folder, `${stream.id}${NDJSON}`);
    if (existsSync(name)) {
      if (!plan.isResumed) throw new UsageError(`${name} is there already: go on by --resume, or name another folder`);
      const { streams } = await readBegun(name);
      if (streams.size === 1) continue;
      throw new UsageError(`${name} is not whole. Move it away and begin anew.`);
    }
    await exportToFile({ ...plan, streams: [stream] }, name + PART);
    await onFile(name, 'written', () => rename(name + PART, name));
    plan.progress.at((done + 1) / length, `${done + 1} of ${length} streams`);
  }
}

async function exportTo(plan: Plan, sink: Sink, begun: Begun | null): Promise<void> {
  const { server, streams, isBare, waitS, progress } = plan;
  const broken = begun?.broken ?? null;
  let done = begun?.streams.size ?? 0;
  const total = streams.length;
  const onEvents = (events: number, size: number) => {
    progress.at((done + events / size) / total, `${done} of ${total} streams, ${events} of ${size} events`);
  };
  if (broken) {
    const { events, size } = broken;
    const stream = servedStream(broken.stream);
    if (stream === null) throw new UsageError(`${broken.stream} is no stream that can be gone on with`);
    // The events are those of the bundle however they are asked for: its first line says what they have to give.
    await fetchEvents(server, stream, { after: events, size }, sink, onEvents);
    done++;
  }
  for (const stream of streams) {
    if (begun?.streams.has(stream.name) || broken?.stream === stream.name) continue;
    if (isBare) await fetchEvents(server, stream, { after: 0, size: null }, sink, onEvents);
    else await fetchBundle(server, stream, waitS, sink, onEvents);
    done++;
    progress.at(done / total, `${done} of ${total} streams`);
  }
}

/** All contexts that the caller may read, from the lists. One that is deleted or restored meanwhile is in one. */
async function listContexts(server: Server): Promise<ServedStream[]> {
  const ids: string[] = [];
  for (const status of ['active', 'deleted', 'active']) {
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const { items, nextCursor } = await server.json(`v1/contexts?limit=100&status=${status}${query}`, page);
      ids.push(...items.map(({ id }) => id));
      cursor = nextCursor;
    } while (cursor !== null);
  }
  return [...new Set(ids)].flatMap((id) => streamOfId(id) ?? []);
}

/** How many contexts and actors there are, in words. */
function counts(streams: readonly ServedStream[]): string {
  const actors = streams.filter(({ type }) => type === 'actor').length;
  const contexts = counted(streams.length - actors, 'context');
  return actors === 0 ? contexts : `${contexts}, ${counted(actors, 'actor')}`;
}

function readWait(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) <= 60) return Number(text);
  throw new UsageError(`--wait ${text} is no number of seconds from 0 to 60`);
}
