import type { Fault } from './fault.ts';

/** Where a member of an object stands in its text. */
export interface MemberPlace {
  readonly name: string;
  /** Where its name begins, with its quote. */
  readonly start: number;
  /** Where its value begins. */
  readonly value: number;
  /** Where its value has ended. */
  readonly end: number;
}

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

/** A backslash or a control character. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const NOT_PLAIN = /[\\\0-\x1f]/;

/** The words that are values, by their first letter. */
const WORDS = new Map(['true', 'false', 'null'].map((word) => [word.charCodeAt(0), word]));

/** An object or an array that has begun. */
interface Container {
  readonly isObject: boolean;
  /** The name of its last member. */
  last: string | null;
}

/**
 * Reads the text of a JSON object and tells whether it is canonical (RFC 8785), without parsing it, which takes several
 * times as long. A canonical text is the only one of its value: no name stands twice in an object, no white space, no
 * order and no spelling of a number or character is free. So what is proved of the bytes is proved of the value.
 *
 * @returns the members of the outermost object, or what is not canonical
 */
export function scanCanonical(text: string): MemberPlace[] | Fault {
  if (!text.isWellFormed()) return { fault: 'it holds half of a UTF-16 pair' };
  return new Scanner(text).scan();
}

class Scanner {
  readonly #text: string;
  /** Nothing is escaped and nothing need be: a string ends at the next quote, which the runtime finds fastest. */
  readonly #isPlain: boolean;
  readonly #stack: Container[] = [];
  readonly #members: MemberPlace[] = [];
  #at = 0;
  #name = '';
  #nameStart = 0;
  #valueStart = 0;

  constructor(text: string) {
    this.#text = text;
    this.#isPlain = !NOT_PLAIN.test(text);
  }

  scan(): MemberPlace[] | Fault {
    if (this.#text.charCodeAt(0) !== OPEN_OBJECT) return this.#fault('is no JSON object');
    while (this.#at < this.#text.length) {
      const problem = this.#value() ?? this.#afterValue();
      if (problem !== null) return this.#fault(problem);
      if (this.#stack.length === 0) break;
    }
    if (this.#stack.length > 0) return this.#fault('the text is cut');
    return this.#at === this.#text.length ? this.#members : this.#fault('the text goes on after its end');
  }

  #fault(problem: string): Fault {
    return { fault: `at character ${this.#at}: ${problem}` };
  }

  /** Reads a value; of a container that is not empty, up to its first value. */
  #value(): string | null {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === QUOTE) return this.#string();
      if (code !== OPEN_OBJECT && code !== OPEN_ARRAY) return this.#scalar(code);
      const isObject = code === OPEN_OBJECT;
      if (this.#stack.length === DEPTH_MAX) return 'it is nested too deeply';
      this.#at++;
      if (this.#text.charCodeAt(this.#at) === (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) {
        this.#at++;
        return null;
      }
      this.#stack.push({ isObject, last: null });
      const problem = isObject ? this.#memberName() : null;
      if (problem !== null) return problem;
    }
  }

  /** Reads what follows a value, up to the next one or to the end. */
  #afterValue(): string | null {
    for (;;) {
      const container = this.#stack.at(-1);
      if (!container) return null;
      if (this.#stack.length === 1) this.#endMember();
      const code = this.#text.charCodeAt(this.#at);
      if (code === COMMA) {
        this.#at++;
        return container.isObject ? this.#memberName() : null;
      }
      if (code !== (container.isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) return 'a comma or an end is wanted';
      this.#at++;
      this.#stack.pop();
    }
  }

  #endMember(): void {
    const place = { name: this.#name, start: this.#nameStart, value: this.#valueStart, end: this.#at };
    this.#members.push(place);
  }

  #memberName(): string | null {
    const start = this.#at;
    if (this.#text.charCodeAt(start) !== QUOTE) return 'a name is wanted';
    const problem = this.#string();
    if (problem !== null) return problem;
    const written = this.#text.slice(start + 1, this.#at - 1);
    const name: string = this.#isPlain ? written : JSON.parse(`"${written}"`);
    const container = this.#stack.at(-1);
    if (container) {
      // Names rise by UTF-16 code units, which is how strings compare; so none comes twice.
      if (container.last !== null && name <= container.last)
        return `the name ${written} is there twice or out of order`;
      container.last = name;
    }
    if (this.#text.charCodeAt(this.#at) !== COLON) return 'a colon is wanted';
    this.#at++;
    if (this.#stack.length === 1) [this.#name, this.#nameStart, this.#valueStart] = [name, start, this.#at];
    return null;
  }

  #string(): string | null {
    if (!this.#isPlain) return this.#escapedString();
    const end = this.#text.indexOf('"', this.#at + 1);
    if (end < 0) return 'the text is cut';
    this.#at = end + 1;
    return null;
  }

  #escapedString(): string | null {
    const text = this.#text;
    let at = this.#at + 1;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        const length = escapeLength(text, at);
        if (length === 0) return this.#problemAt(at, 'a character is escaped that need not be, or not in the one way');
        at += length;
      } else if (code >= SPACE) at++;
      else return this.#problemAt(at, Number.isNaN(code) ? 'the text is cut' : 'a control character is not escaped');
    }
    this.#at = at + 1;
    return null;
  }

  #problemAt(at: number, problem: string): string {
    this.#at = at;
    return problem;
  }

  #scalar(code: number): string | null {
    const text = this.#text;
    const start = this.#at;
    const word = WORDS.get(code);
    if (word !== undefined && text.startsWith(word, start)) {
      this.#at += word.length;
      return null;
    }
    let [at, isPlain] = [start, true];
    for (; isNumberCode(text.charCodeAt(at)); at++) isPlain &&= isDigit(text.charCodeAt(at));
    const number = text.slice(start, at);
    // A short whole number is what it says; others are compared with the one form that ECMAScript writes.
    const isShort = isPlain && number.length <= EXACT_DIGITS && (code !== ZERO || number.length === 1);
    if (number === '') return 'a value is wanted';
    if (!isShort && String(Number(number)) !== number)
      return `the number ${number.slice(0, 30)} is not in its one form`;
    this.#at = at;
    return null;
  }
}

/** Characters that an escape takes when RFC 8785 writes it so, 0 when it does not. */
function escapeLength(text: string, at: number): number {
  if ('"\\bfnrt'.includes(text.charAt(at + 1) || ' ')) return 2;
  return /^\\u00(?:0[0-7bef]|1[0-9a-f])$/.test(text.slice(at, at + 6)) ? 6 : 0;
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE;
}

/** Digits, `+`, `-`, `.` and `e`. */
function isNumberCode(code: number): boolean {
  return isDigit(code) || code === 0x2b || code === 0x2d || code === 0x2e || code === 0x65;
}
