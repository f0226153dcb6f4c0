import { isRefusal, type Moment } from '../../actors/decider.ts';
import type { HistoryPage } from '../../actors/messages.ts';
import { isPlaceIn, offsetsOf } from '../../events/offset.ts';
import { UNAUTHORIZED } from '../auth/authenticate.ts';
import { nextCursor } from '../live/stream-cursor.ts';
import { untilEvent } from '../live/until-event.ts';
import { isNotModified } from './conditions.ts';
import type { AuthenticatedExchange } from './exchange.ts';
import type { FindSource, HistorySource } from './history-source.ts';
import { isProblem, type Problem, problemOf } from './problem.ts';
import { foreignOffset, readOffset } from './query.ts';
import { empty, jsonText } from './respond.ts';
import type { Answer } from './route.ts';
import { treeHeadHeader } from './tree-head.ts';

/** Where a page begins. */
export interface Start extends HistorySource {
  readonly after: number;
  /** The offset after a version. */
  readonly offsetOf: (version: number) => string;
  /** Whether the caller asked for the present: then the answer depends on when it was asked. */
  readonly isNow: boolean;
}

/** Says to caches what an answer depends on besides its address: who asks, and in which form. */
const VARY = 'Authorization, X-API-Key, Cookie, Accept';

/**
 * A page of history as a JSON array. A page behind which there is more never changes, so a shared cache may keep it;
 * but it has to ask each time (`no-cache`), with the credential of whoever asks, so that nobody is given what they may
 * not read, or may not read any more. The answer then is a 304, which costs no transfer.
 */
export async function historyPage(
  exchange: AuthenticatedExchange,
  start: Start,
  limit: number,
  moment: Moment | undefined,
): Promise<Answer> {
  if (exchange.request.method === 'HEAD') return tail(exchange, start, moment);
  // The present has no tag and no past: nothing is behind it (Durable Streams, section 8).
  const history = await start.object.history(exchange.principal, start.after, limit, moment);
  if (isRefusal(history)) return problemOf(history);
  const headers = streamHeaders(start, history);
  if (start.isNow) return jsonText(exchange, 200, bodyOf(history), headers);
  const isEnd = history.isUpToDate && history.isClosed;
  const tag = `${start.id}:${start.after}:${history.lastVersion}${isEnd ? ':c' : ''}`;
  const cached = {
    ...headers,
    ETag: `"${tag}"`,
    'Cache-Control': history.isUpToDate || isTicket(exchange) ? 'private, no-cache' : 'public, no-cache',
    Vary: [exchange.headers.Vary, VARY].filter((names) => names !== undefined).join(', '),
  };
  const notModified = isNotModified(exchange.request.headers, tag);
  if (isProblem(notModified)) return notModified;
  return notModified ? empty(exchange, 304, cached) : jsonText(exchange, 200, bodyOf(history), cached);
}

/** All the rest of a history as NDJSON. */
export async function historyLines(
  exchange: AuthenticatedExchange,
  { object, after, offsetOf }: Start,
  moment: Moment | undefined,
): Promise<Answer> {
  const history = await object.historyStream(exchange.principal, after, moment);
  if ('refused' in history) return problemOf(history);
  return new Response(history.lines, {
    headers: {
      'Content-Type': 'application/x-ndjson',
      'Cache-Control': 'no-store',
      'Stream-Next-Offset': offsetOf(history.lastVersion),
      ...treeHeadHeader(history.treeHead),
      ...exchange.headers,
    },
  });
}

/**
 * The stream and the version after which to read; the stream's end is asked for only when `now` needs it. An offset of
 * another stream is refused: it would pass over events.
 *
 * @param name where the offset stands
 */
export async function locate(
  exchange: AuthenticatedExchange,
  findSource: FindSource,
  name: string,
  offset = '-1',
  moment?: Moment,
): Promise<Start | Problem> {
  const place = readOffset(name, offset);
  if (isProblem(place)) return place;
  const source = await findSource(exchange);
  if (isProblem(source)) return source;
  const found = { ...source, offsetOf: offsetsOf(source.stream) };
  if (place !== 'now' && isPlaceIn(place, source.stream)) return { ...found, after: place.after, isNow: false };
  // Also before an offset is said to be wrong here: who may not read the stream must not find out by one that it is there.
  const view = await source.object.view(exchange.principal, moment);
  if (isRefusal(view)) return problemOf(view);
  return place === 'now' ? { ...found, after: view.version, isNow: true } : foreignOffset(name);
}

/** A page of history as soon as there is something in it; 204 when nothing came in time (Durable Streams, 5.7). */
export async function awaitPage(
  exchange: AuthenticatedExchange,
  start: Start,
  limit: number,
  timeoutMs: number,
  cursor: string | undefined,
): Promise<Answer> {
  const { id, object, after } = start;
  const read = () => object.history(exchange.principal, after, limit);
  let history = await read();
  if (!isRefusal(history) && history.events.length === 0 && !history.isClosed && timeoutMs > 0) {
    if (!(await untilEvent(exchange, id, after, timeoutMs))) return UNAUTHORIZED;
    history = await read();
  }
  if (isRefusal(history)) return problemOf(history);
  const headers = { ...streamHeaders(start, history), 'Stream-Cursor': nextCursor(cursor, Date.now()) };
  return history.events.length > 0 ? jsonText(exchange, 200, bodyOf(history), headers) : empty(exchange, 204, headers);
}

/** What there is to read, for HEAD: where it ends, whichever page is asked about (Durable Streams, 5.5). */
async function tail(exchange: AuthenticatedExchange, start: Start, moment: Moment | undefined): Promise<Answer> {
  const { object } = start;
  const history = await object.history(exchange.principal, start.after, 1, moment);
  if (isRefusal(history)) return problemOf(history);
  const view = await object.view(exchange.principal, moment);
  if (isRefusal(view)) return problemOf(view);
  const { version: lastVersion, isClosed } = view;
  return jsonText(exchange, 200, '', streamHeaders(start, { events: [], lastVersion, isUpToDate: true, isClosed }));
}

function bodyOf({ events }: HistoryPage): string {
  return `[${events.join(',')}]`;
}

/** What the Durable Streams protocol has every answer say about where it ends (5.6). */
function streamHeaders(
  { offsetOf }: Start,
  { lastVersion, isUpToDate, isClosed, treeHead }: Omit<HistoryPage, 'newestVersion'>,
): Readonly<Record<string, string>> {
  return {
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Stream-Next-Offset': offsetOf(lastVersion),
    ...(isUpToDate && { 'Stream-Up-To-Date': 'true' }),
    ...(isUpToDate && isClosed && { 'Stream-Closed': 'true' }),
    ...treeHeadHeader(treeHead),
  };
}

/** Whether the address is good for one request only. */
function isTicket({ request }: AuthenticatedExchange): boolean {
  return request.url.includes('ticket=');
}
