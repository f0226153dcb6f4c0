import { sha256Hex } from './hash.ts';

/** Digits of the number in an offset: enough for every safe integer, so that offsets sort as the numbers do. */
const DIGITS = 16;
/** Hexadecimal digits of the mark: enough that an offset is not taken for one of another stream by chance. */
const MARK_DIGITS = 8;

const OFFSET = /^(\d{16})_([0-9a-f]{8})$/;

/** A place in a stream, as an offset says it. */
export interface Place {
  /** The version that it is after, 0 at the beginning; in the feed a position. */
  readonly after: number;
  /** The mark of the stream that it is in; null at the beginning, which is the same in all. */
  readonly mark: string | null;
}

/**
 * Writes offsets of a stream (docs/protocol.md, section 5). They end with a mark of the stream, so that one of another
 * is seen to be it: it would pass over events.
 *
 * @param stream its name, `<stream type>/<id>`
 * @returns gives the offset after a version
 */
export function offsetsOf(stream: string): (after: number) => string {
  const mark = markOf(stream);
  return (after) => `${String(after).padStart(DIGITS, '0')}_${mark}`;
}

/** The place that an offset stands for, whichever stream it is of; null when it is none. */
export function parseOffset(text: string): Place | null {
  const [, digits, mark] = OFFSET.exec(text) ?? [];
  const after = Number(digits);
  return mark !== undefined && Number.isSafeInteger(after) ? { after, mark } : null;
}

/** Whether a place is one in this stream. @param stream its name, `<stream type>/<id>` */
export function isPlaceIn({ mark }: Place, stream: string): boolean {
  return mark === null || mark === markOf(stream);
}

function markOf(stream: string): string {
  return sha256Hex(stream).slice(0, MARK_DIGITS);
}
