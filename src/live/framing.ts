import { nextCursor } from './stream-cursor.ts';

/** How long an EventSource waits before it reconnects, in milliseconds. */
const RETRY_MS = 2_000;

/** How long a stream of the Durable Streams protocol is kept open, so that caches can collapse readers into one (10.2). */
const DURABLE_MS = 60_000;

/** Gives the offset after a version of the stream that is read. */
type OffsetOf = (version: number) => string;

/** How live events are written as server-sent events. Every method gives the text to send, which can be empty. */
export interface Framing {
  /** The offset after a version. */
  readonly offsetOf: OffsetOf;
  readonly headers: Readonly<Record<string, string>>;
  /** After how many milliseconds the reader has to come back; null for never. */
  readonly durationMs: number | null;
  /** Before anything is known but where the reader stands. */
  opening(after: number): string;
  /** When it is known where the stream ends. @param after where the reader stands, the end of the stream being `tail` */
  greeting(after: number, tail: number): string;
  /** @param envelope its canonical text @param tail the end of the stream when the reader came */
  event(event: { readonly type: string; readonly version: number }, envelope: string, tail: number): string;
  /** Who watches, to a reader who asked for it. It is no event: it must leave the reader where it stands. */
  presence(present: { readonly actors: readonly string[]; readonly count: number }): string;
  /** When nothing will follow. @param last where the reader stands */
  closing(last: number): string;
}

/** For an EventSource (WHATWG HTML, section 9.2): `id` is the offset after the event. */
export function eventSource(offsetOf: OffsetOf): Framing {
  return {
    offsetOf,
    headers: { 'Cache-Control': 'no-store' },
    durationMs: null,
    // It begins with an id, so that a reader that loses the connection before the first event comes back to this place.
    opening: (after) => `retry: ${RETRY_MS}\nid: ${offsetOf(after)}\n\n`,
    greeting: () => '',
    event: ({ type, version }, envelope) => `id: ${offsetOf(version)}\nevent: ${type}\ndata: ${envelope}\n\n`,
    // Without an id, so that a reader who comes back resumes after the last event.
    presence: ({ actors, count }) => `event: presence\ndata: ${JSON.stringify({ actors, count })}\n\n`,
    closing: () => '',
  };
}

/** Of the Durable Streams protocol (5.8): `data` events with arrays, each followed by a `control` event with its offset. */
export function durableFraming(offsetOf: OffsetOf, cursor: string | undefined): Framing {
  const control = (version: number, rest: object) =>
    `event: control\ndata:${JSON.stringify({ streamNextOffset: offsetOf(version), ...rest })}\n\n`;
  const open = (version: number, tail: number) =>
    control(version, { streamCursor: nextCursor(cursor, Date.now()), ...(version >= tail && { upToDate: true }) });
  return {
    offsetOf,
    headers: { 'Cache-Control': 'no-cache, no-store' },
    durationMs: DURABLE_MS,
    opening: () => '',
    greeting: (after, tail) => (after >= tail ? open(after, tail) : ''),
    event: ({ version }, envelope, tail) => `event: data\ndata: [${envelope}]\n\n${open(version, tail)}`,
    // The protocol has no such event, so nobody can ask for it.
    presence: () => '',
    closing: (last) => control(last, { upToDate: true, streamClosed: true }),
  };
}
