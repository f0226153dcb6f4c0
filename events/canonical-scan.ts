import type { Fault } from './fault.ts';
import type { Line } from './line.ts';

/** Objects and arrays that may stand inside each other. */
const DEPTH_MAX = 64;
/** Digits that every number of them can be told exactly by. */
const EXACT_DIGITS = 15;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const ZERO = 0x30;
const NINE = 0x39;
const SPACE = 0x20;
/** Bytes from here on are parts of longer characters. */
const BEYOND_ASCII = 0x80;

/** For each byte whether it says nothing but itself within a string. */
const IS_PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= SPACE && byte < BEYOND_ASCII && byte !== QUOTE && byte !== BACKSLASH ? 1 : 0,
);

/** Bytes of the longest number that has a canonical form, -1.7976931348623157e+308, and a few more. */
const NUMBER_BYTES_MAX = 30;

/** The words that are values, by their first letter. */
const WORDS = new Map(['true', 'false', 'null'].map((word) => [word.charCodeAt(0), word]));

/** Numbers that say where a member stands: where its name begins (with its quote), where its value begins and ends. */
const PLACES = 3;

/**
 * Reads a line of JSON and tells whether it is an object in canonical form (RFC 8785), without parsing it, which takes
 * several times as long. A canonical text is the only one of its value: no name stands twice in an object, no white
 * space, no order and no spelling of a number or character is free. So what is proved of the bytes is proved of the
 * value.
 *
 * One scanner reads many lines, each of which makes what it knows of the one before void: nothing is allocated for the
 * usual line.
 */
export class CanonicalScanner {
  #line: Line | null = null;
  #bytes: Uint8Array = new Uint8Array();
  #at = 0;
  /** How many objects and arrays have begun; of each whether it is an object, and its last name. */
  #depth = 0;
  readonly #isObject = new Uint8Array(DEPTH_MAX + 1);
  readonly #lastIsSimple = new Uint8Array(DEPTH_MAX + 1);
  readonly #lastStart = new Int32Array(DEPTH_MAX + 1);
  readonly #lastEnd = new Int32Array(DEPTH_MAX + 1);
  readonly #members: number[] = [];
  #count = 0;
  /** Whether the string that was read last is written as it is: in ASCII and without an escape. */
  #isSimple = true;

  /** Reads a line. @returns what is not canonical, or null */
  scan(line: Line): Fault | null {
    [this.#line, this.#bytes, this.#at, this.#depth, this.#count] = [line, line.bytes, 0, 0, 0];
    if (line.fault) return line.fault;
    if (this.#bytes[0] !== OPEN_OBJECT) return this.#fault('is no JSON object');
    do {
      const problem = this.#value() ?? this.#afterValue();
      if (problem !== null) return this.#fault(problem);
    } while (this.#depth > 0);
    return this.#at === this.#bytes.length ? null : this.#fault('the text goes on after its end');
  }

  /** How many members the outermost object has. */
  get count(): number {
    return this.#count;
  }

  /** Where a member begins, with the quote of its name. */
  start(member: number): number {
    return this.#members[member * PLACES] ?? 0;
  }

  /** Where its value begins. */
  value(member: number): number {
    return this.#members[member * PLACES + 1] ?? 0;
  }

  /** Where its value has ended. */
  end(member: number): number {
    return this.#members[member * PLACES + 2] ?? 0;
  }

  /** Whether a member has that name, which is one in ASCII without anything to escape. */
  isNamed(member: number, name: string): boolean {
    const start = this.start(member) + 1;
    // A colon and two quotes stand between where the name and where the value begin.
    return this.value(member) - start - 2 === name.length && this.#says(name, start);
  }

  #fault(problem: string): Fault {
    return { fault: `at byte ${this.#at}: ${problem}` };
  }

  /** Reads a value; of a container that is not empty, up to its first value. */
  #value(): string | null {
    for (;;) {
      const code = this.#bytes[this.#at];
      if (code === QUOTE) return this.#string();
      if (code !== OPEN_OBJECT && code !== OPEN_ARRAY) return this.#scalar(code);
      const isObject = code === OPEN_OBJECT;
      if (this.#depth === DEPTH_MAX) return 'it is nested too deeply';
      this.#at++;
      if (this.#bytes[this.#at] === (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) {
        this.#at++;
        return null;
      }
      this.#depth++;
      this.#isObject[this.#depth] = isObject ? 1 : 0;
      // No name begins where the text does.
      this.#lastEnd[this.#depth] = 0;
      const problem = isObject ? this.#memberName() : null;
      if (problem !== null) return problem;
    }
  }

  /** Reads what follows a value, up to the next one or to the end. */
  #afterValue(): string | null {
    for (;;) {
      if (this.#depth === 0) return null;
      if (this.#depth === 1) this.#endMember();
      const isObject = this.#isObject[this.#depth] === 1;
      const code = this.#bytes[this.#at];
      if (code === COMMA) {
        this.#at++;
        return isObject ? this.#memberName() : null;
      }
      if (code !== (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) return 'a comma or an end is wanted';
      this.#at++;
      this.#depth--;
    }
  }

  #endMember(): void {
    this.#members[this.#count * PLACES + 2] = this.#at;
    this.#count++;
  }

  #memberName(): string | null {
    const quote = this.#at;
    if (this.#bytes[quote] !== QUOTE) return 'a name is wanted';
    const problem = this.#string();
    if (problem !== null) return problem;
    const depth = this.#depth;
    const [start, end] = [quote + 1, this.#at - 1];
    if (this.#lastEnd[depth] !== 0 && !this.#comesAfterLast(start, end)) {
      return `the name ${this.#line?.slice(start, end)} is there twice or out of order`;
    }
    this.#lastStart[depth] = start;
    this.#lastEnd[depth] = end;
    this.#lastIsSimple[depth] = this.#isSimple ? 1 : 0;
    if (this.#bytes[this.#at] !== COLON) return 'a colon is wanted';
    this.#at++;
    if (depth === 1) {
      this.#members[this.#count * PLACES] = quote;
      this.#members[this.#count * PLACES + 1] = this.#at;
    }
    return null;
  }

  /** Whether a name sorts after the last one of its object: by UTF-16 code units, so that none comes twice. */
  #comesAfterLast(start: number, end: number): boolean {
    const bytes = this.#bytes;
    const lastStart = this.#lastStart[this.#depth] ?? 0;
    const lastEnd = this.#lastEnd[this.#depth] ?? 0;
    const areSimple = this.#isSimple && this.#lastIsSimple[this.#depth] === 1;
    if (!areSimple) return this.#name(lastStart, lastEnd) < this.#name(start, end);
    const common = Math.min(lastEnd - lastStart, end - start);
    for (let at = 0; at < common; at++) {
      const difference = (bytes[start + at] ?? 0) - (bytes[lastStart + at] ?? 0);
      if (difference !== 0) return difference > 0;
    }
    return end - start > lastEnd - lastStart;
  }

  /** A name whose string has been read. */
  #name(start: number, end: number): string {
    return JSON.parse(`"${this.#line?.slice(start, end)}"`);
  }

  #string(): string | null {
    const bytes = this.#bytes;
    this.#isSimple = true;
    let at = this.#at + 1;
    for (;;) {
      // Past the end there is undefined, which is plain no more than a quote is.
      while (IS_PLAIN[bytes[at] ?? QUOTE] === 1) at++;
      const byte = bytes[at];
      if (byte === QUOTE) break;
      if (byte === undefined) return this.#problemAt(at, 'the text is cut');
      if (byte < SPACE) return this.#problemAt(at, 'a control character is not escaped');
      this.#isSimple = false;
      if (byte !== BACKSLASH) at++;
      else {
        const length = escapeLength(this.#ascii(at, at + 6));
        if (length === 0) return this.#problemAt(at, 'a character is escaped that need not be, or not in the one way');
        at += length;
      }
    }
    this.#at = at + 1;
    return null;
  }

  #problemAt(at: number, problem: string): string {
    this.#at = at;
    return problem;
  }

  #scalar(code: number | undefined): string | null {
    const bytes = this.#bytes;
    const start = this.#at;
    const word = code === undefined ? undefined : WORDS.get(code);
    if (word !== undefined && this.#says(word, start)) {
      this.#at += word.length;
      return null;
    }
    let [at, isWhole] = [start, true];
    for (; isNumberCode(bytes[at]); at++) isWhole &&= isDigit(bytes[at]);
    const length = at - start;
    if (length === 0) return 'a value is wanted';
    if (length > NUMBER_BYTES_MAX) return 'a number is longer than any in its one form';
    // A short whole number is what it says; others are compared with the one form that ECMAScript writes.
    const isShort = isWhole && length <= EXACT_DIGITS && (code !== ZERO || length === 1);
    const number = isShort ? '' : this.#ascii(start, at);
    if (!isShort && String(Number(number)) !== number) {
      return `the number ${number} is not in its one form`;
    }
    this.#at = at;
    return null;
  }

  /** Whether these characters, all of them ASCII, are written there. */
  #says(characters: string, start: number): boolean {
    for (let at = 0; at < characters.length; at++) {
      if (this.#bytes[start + at] !== characters.charCodeAt(at)) return false;
    }
    return true;
  }

  /** What is written there, if it is ASCII; anything else if it is not. */
  #ascii(start: number, end: number): string {
    return String.fromCharCode(...this.#bytes.subarray(start, end));
  }
}

/** Characters that an escape takes when RFC 8785 writes it so, 0 when it does not. @param text six characters of it */
function escapeLength(text: string): number {
  if ('"\\bfnrt'.includes(text.charAt(1) || ' ')) return 2;
  return /^\\u00(?:0[0-7bef]|1[0-9a-f])$/.test(text) ? 6 : 0;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

/** Digits, `+`, `-`, `.` and `e`. */
function isNumberCode(byte: number | undefined): boolean {
  return isDigit(byte) || byte === 0x2b || byte === 0x2d || byte === 0x2e || byte === 0x65;
}
