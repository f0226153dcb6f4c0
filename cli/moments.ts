import { existsSync } from 'node:fs';
import { z } from 'zod';
import type { Context } from '../actors/context.ts';
import { parseHeader } from '../events/bundle.ts';
import { ByteLines } from '../events/byte-lines.ts';
import { isChittyId } from '../events/chitty-id.ts';
import { CONTEXT_PREFIX, contextEvents } from '../events/context.ts';
import { isFault } from '../events/fault.ts';
import { isId } from '../events/id.ts';
import { Line } from '../events/line.ts';
import { openSealed } from '../events/sealed.ts';
import { ContextReplay } from './context-replay.ts';
import { NotVerifiedError, UsageError } from './errors.ts';
import { readInput } from './input.ts';
import { chunksOf, jsonOf, type Server } from './server.ts';

/** A moment of a history: a version, or a time in milliseconds since 1970. */
export type Moment = { readonly version: number } | { readonly time: number };

/** The event that says which ChittyID a context was given. */
const identifiedSchema = z.looseObject({
  type: z.literal('context_identified'),
  data: contextEvents.context_identified,
});

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;

/** Reads a version or a time with its zone. @throws {UsageError} when it is neither */
export function readMoment(text: string): Moment {
  const version = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(version)) return { version };
  const time = TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return { time };
  throw new UsageError(`${text} is neither a version such as 3 nor a time with its zone such as 2026-01-31T12:00:00Z`);
}

/** Whether a word names a context and not a file. */
export function isContextName(word: string): boolean {
  return (isId(CONTEXT_PREFIX, word) || isChittyId(word)) && !existsSync(word);
}

/** Where a history comes from. */
export interface Source {
  /** The id of a context on the server, the name of a file, or `-`. */
  readonly name: string;
  /** Which of the contexts of an export, by its id or its ChittyID; needed when there are several. */
  readonly context: string | undefined;
  readonly server: Server;
}

/**
 * The state of a context as it was at a moment, the latest when there is none: computed from its events, each of which
 * must be what was hashed.
 *
 * @throws {NotVerifiedError} when an event was altered, is missing or another context's, or cannot be replayed
 */
export async function stateAt(source: Source, moment: Moment | null): Promise<Context> {
  const replay = new ContextReplay();
  let stream: string | null = null;
  for await (const text of eventsOf(source)) {
    const facts = openSealed(Line.of(text));
    if (isFault(facts)) throw new NotVerifiedError(`Version ${replay.version + 1} is no sealed event: ${facts.fault}`);
    if (!facts.isIntact)
      throw new NotVerifiedError(`Version ${facts.version} was altered: its content is not what was hashed`);
    stream ??= facts.stream;
    if (facts.stream !== stream) throw new NotVerifiedError(`Among the events of ${stream} is one of ${facts.stream}`);
    if (facts.version !== replay.version + 1) {
      throw new NotVerifiedError(`After version ${replay.version} comes version ${facts.version}`);
    }
    if (moment && isAfter(facts, moment)) break;
    const fault = replay.step(text);
    if (fault) throw new NotVerifiedError(`The history cannot be replayed: ${fault.fault}`);
  }
  const { view } = replay;
  if (view === null) throw new UsageError(moment ? 'It did not exist yet at that moment' : 'There are no events in it');
  return view;
}

function isAfter(event: { readonly version: number; readonly time: string }, moment: Moment): boolean {
  return 'version' in moment ? event.version > moment.version : Date.parse(event.time) > moment.time;
}

/** The texts of the events of one context, oldest first: from the server, a bundle, or bare NDJSON. */
async function* eventsOf({ name, context, server }: Source): AsyncGenerator<string, void> {
  if (isContextName(name)) {
    const path = `v1/contexts/${encodeURIComponent(name)}/events`;
    yield* linesOf(chunksOf(await server.get(path, 'application/x-ndjson')));
    return;
  }
  const wanted = context === undefined ? null : await streamNamed(name, context);
  let ofBundle: string | null = null;
  let first: string | null = null;
  for await (const line of linesOf(readInput(name))) {
    const header = line.startsWith('{"checkpoint":') ? parseHeader(line) : null;
    if (header && isFault(header)) throw new NotVerifiedError(header.fault);
    if (header) ofBundle = header.stream;
    const stream = streamOf(line, ofBundle);
    const isAnother = stream !== null && first !== null && (header !== null || stream !== first);
    if (wanted === null && isAnother) {
      throw new UsageError('There are several contexts in it: say which with --context');
    }
    first ??= stream;
    if (!header && (wanted === null || stream === wanted)) yield line;
  }
}

/** The stream that a context's id or ChittyID names; whose a ChittyID is stands in the events of a file. */
async function streamNamed(file: string, context: string): Promise<string> {
  if (!isChittyId(context)) return `context/${context}`;
  if (file === '-') throw new UsageError('What is piped in is read once: name the context by its id, ctx_…');
  for await (const line of linesOf(readInput(file))) {
    if (!line.includes(context)) continue;
    const facts = openSealed(Line.of(line));
    const event = identifiedSchema.safeParse(jsonOf(line));
    if (!isFault(facts) && event.success && event.data.data.chittyId === context) return facts.stream;
  }
  throw new UsageError(`No context in it has the ChittyID ${context}`);
}

/** The stream of an event: that of the bundle which it is in, or what it says itself. */
function streamOf(line: string, ofBundle: string | null): string | null {
  if (ofBundle !== null) return ofBundle;
  const facts = openSealed(Line.of(line));
  return isFault(facts) ? null : facts.stream;
}

/** The lines of bytes, one chunk's at a time. @throws {NotVerifiedError} for one that is no text or too long */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  let lines: string[] = [];
  const splitter = new ByteLines(({ text, fault }) => {
    if (fault) throw new NotVerifiedError(`A line cannot be read: ${fault.fault}`);
    lines.push(text);
  });
  for await (const chunk of chunks) {
    splitter.push(chunk);
    yield* lines;
    lines = [];
  }
  splitter.end();
  yield* lines;
}
