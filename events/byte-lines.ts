import { concatBytes } from '@noble/hashes/utils.js';
import { Line } from './line.ts';

/** Bytes of a line at most: of the longest event, if each of its characters took three. */
const LINE_MAX = 6 * 1024 * 1024;

const LINE_FEED = 0x0a;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });

/** Takes a line, whose bytes are good until it returns. */
type TakeLine = (line: Line) => void;

/**
 * Divides bytes that come in chunks into lines of text. One line is held at a time, and no line that is too long: such a
 * one is told with an empty text, and nothing after it is looked at.
 */
export class ByteLines {
  readonly #take: TakeLine;
  #begun: Uint8Array[] = [];
  #length = 0;
  #isOver = false;

  constructor(take: TakeLine) {
    this.#take = take;
  }

  /** Takes more bytes. @returns false once no more are wanted */
  push(chunk: Uint8Array): boolean {
    if (this.#isOver) return false;
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      this.#add(chunk.subarray(start, end));
      this.#finish();
      start = end + 1;
    }
    // A copy: whoever reads may use the chunk's memory again.
    if (start < chunk.length) this.#add(chunk.slice(start));
    if (this.#length > LINE_MAX) {
      this.#isOver = true;
      this.#take(new Line('', new Uint8Array(), { fault: `it is longer than ${LINE_MAX} bytes` }));
    }
    return !this.#isOver;
  }

  /** Takes what is left as the last line. */
  end(): void {
    if (!this.#isOver) this.#finish();
    this.#isOver = true;
  }

  #add(part: Uint8Array): void {
    this.#begun.push(part);
    this.#length += part.length;
  }

  #finish(): void {
    const [only, ...more] = this.#begun;
    if (!only) return;
    const bytes = more.length > 0 ? concatBytes(...this.#begun) : only;
    [this.#begun, this.#length] = [[], 0];
    const text = decoded(bytes);
    this.#take(
      text === null ? new Line(lenient.decode(bytes), bytes, { fault: 'it is not UTF-8' }) : new Line(text, bytes),
    );
  }
}

function decoded(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}
