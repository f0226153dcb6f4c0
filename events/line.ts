import { utf8ToBytes } from '@noble/hashes/utils.js';
import type { Fault } from './fault.ts';

/**
 * A line of text beside its UTF-8 bytes, without its line feed: it is hashed as bytes and told as text, and neither has
 * to be made from the other. Places in it are those of bytes. The bytes may belong to a buffer that is used again: they
 * are good until the next line is taken.
 */
export class Line {
  readonly text: string;
  readonly bytes: Uint8Array;
  /** What is known to be wrong with it already. */
  readonly fault: Fault | null;

  constructor(text: string, bytes: Uint8Array, fault: Fault | null = null) {
    this.text = text;
    this.bytes = bytes;
    this.fault = fault;
  }

  /** The line of a text. One that UTF-8 cannot write has a fault. */
  static of(text: string): Line {
    const fault = text.isWellFormed() ? null : { fault: 'it holds half of a UTF-16 pair' };
    return new Line(text, utf8ToBytes(text), fault);
  }

  /** The text between two places. */
  slice(start: number, end: number): string {
    // All of it is ASCII: places of bytes are those of characters.
    if (this.text.length === this.bytes.length) return this.text.slice(start, end);
    return decoder.decode(this.bytes.subarray(start, end));
  }
}

const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });
