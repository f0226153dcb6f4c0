import { parseHeader } from '../events/bundle.ts';
import { isFault } from '../events/fault.ts';
import { offsetsOf } from '../events/offset.ts';
import { ServerError } from './errors.ts';
import { chunksOf, type Server } from './server.ts';
import type { ServedStream } from './streams.ts';

/** Takes bytes; resolves when it has room for more. */
export type Sink = (chunk: Uint8Array) => Promise<void>;

/** Told how many of the events are there. */
type OnEvents = (events: number, size: number) => void;

const LINE_FEED = 0x0a;
/** Bytes of a bundle's first line at most. */
const HEADER_MAX = 4 * 1024 * 1024;

/** Which events: those after a version, up to one. */
interface Range {
  readonly after: number;
  /** Null for all there are. */
  readonly size: number | null;
}

/**
 * Hands on the proof bundle of a stream as it comes.
 *
 * @throws {ServerError} when the connection breaks, or what comes is no bundle or is cut
 */
export async function fetchBundle(
  server: Server,
  stream: ServedStream,
  waitS: number,
  sink: Sink,
  onEvents: OnEvents,
): Promise<void> {
  const response = await server.get(`${stream.path}/bundle?wait=${waitS}`, 'application/x-ndjson');
  const chunks = chunksOf(response);
  const [header, rest] = await readFirstLine(chunks, stream.id);
  await sink(header);
  const parsed = parseHeader(new TextDecoder().decode(header.subarray(0, -1)));
  if (isFault(parsed)) throw new ServerError(`${stream.id}: what the server gave is no bundle: ${parsed.fault}`);
  await handOn(rest, stream.id, { after: 0, size: parsed.heads.at(-1)?.size ?? 0 }, sink, onEvents);
}

/** Hands on events as they come. @throws {ServerError} when the connection breaks, or they are fewer than there must be */
export async function fetchEvents(
  server: Server,
  stream: ServedStream,
  range: Range,
  sink: Sink,
  onEvents: OnEvents,
): Promise<void> {
  const offset = range.after === 0 ? '-1' : offsetsOf(stream.name)(range.after);
  const end = range.size === null ? '' : `&at=${range.size}`;
  const response = await server.get(`${stream.path}/events?offset=${offset}${end}`, 'application/x-ndjson');
  await handOn(chunksOf(response), stream.id, range, sink, onEvents);
}

async function handOn(
  chunks: AsyncIterable<Uint8Array>,
  id: string,
  { after, size }: Range,
  sink: Sink,
  onEvents: OnEvents,
): Promise<void> {
  let events = after;
  for await (const chunk of chunks) {
    await sink(chunk);
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1)) events++;
    if (size !== null) onEvents(events, size);
  }
  if (size !== null && events < size) {
    throw new ServerError(`${id}: the server gave ${events} of ${size} events: what was exported does not verify`);
  }
}

/** The first line with its line feed, and the chunks that follow it. */
async function readFirstLine(
  chunks: AsyncGenerator<Uint8Array, void>,
  id: string,
): Promise<[line: Uint8Array, rest: AsyncGenerator<Uint8Array, void>]> {
  let start = Buffer.alloc(0);
  while (!start.includes(LINE_FEED)) {
    const { done, value } = await chunks.next();
    if (done || start.length > HEADER_MAX) throw new ServerError(`${id}: the bundle ends in its first line`);
    start = Buffer.concat([start, value]);
  }
  const end = start.indexOf(LINE_FEED) + 1;
  const rest = async function* () {
    if (end < start.length) yield start.subarray(end);
    yield* chunks;
  };
  return [start.subarray(0, end), rest()];
}
