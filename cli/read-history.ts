import { z } from 'zod';
import { ByteLines } from '../events/byte-lines.ts';
import { Line } from '../events/line.ts';
import { ServerError } from './errors.ts';
import { chunksOf, type Server, textOf } from './server.ts';
import type { ServedStream } from './streams.ts';

/** Events in one page. */
const PAGE_EVENTS = 100;

/**
 * Reads the events of a stream up to a version, oldest first, each as the text that it has in the log.
 *
 * @param take given one event after the other
 * @throws {ServerError} when the connection breaks, or the server refuses
 */
export async function readHistory(
  server: Server,
  stream: ServedStream,
  size: number,
  take: (line: Line) => void,
): Promise<void> {
  // The history of a connection comes in pages alone.
  if (stream.type === 'connection') return readPages(server, stream, size, take);
  const response = await server.get(`${stream.path}/events?at=${size}`, 'application/x-ndjson');
  const lines = new ByteLines(take);
  for await (const chunk of chunksOf(response)) if (!lines.push(chunk)) break;
  lines.end();
}

async function readPages(
  server: Server,
  { name, path }: ServedStream,
  size: number,
  take: (line: Line) => void,
): Promise<void> {
  let offset: string | null = '-1';
  for (let read = 0; read < size && offset !== null; ) {
    const response = await server.get(`${path}/events?offset=${offset}&limit=${PAGE_EVENTS}`, 'application/json');
    const page = elementsOf(await textOf(response));
    if (page === null) throw new ServerError(`${name}: what the server gave is no page of events`);
    for (const text of page.slice(0, size - read)) take(Line.of(text));
    read += page.length;
    offset = page.length === 0 ? null : response.headers.get('Stream-Next-Offset');
  }
}

/** The texts of the elements of a JSON array, as they stand in it; null when the text is no such array. */
function elementsOf(text: string): string[] | null {
  if (!isArrayText(text)) return null;
  const elements: string[] = [];
  let depth = 0;
  let start = 1;
  // What stands in strings is passed over: brackets and commas in them divide nothing.
  for (const { 0: token, index } of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{},]/g)) {
    if (token === '[' || token === '{') depth++;
    else if (token === ']' || token === '}') depth--;
    const isEnd = depth === 0 || (depth === 1 && token === ',');
    if (!isEnd) continue;
    if (index > start) elements.push(text.slice(start, index));
    start = index + 1;
  }
  return elements;
}

function isArrayText(text: string): boolean {
  try {
    return text.startsWith('[') && z.array(z.unknown()).safeParse(JSON.parse(text)).success;
  } catch {
    return false;
  }
}
