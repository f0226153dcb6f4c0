import type { Problem } from './problem.ts';

/** Characters of the caller's own input that an error repeats. */
const QUOTED_CHARS = 100;

/** A run of digits long enough that the number may have more of them than a double keeps. */
const LONG_NUMBER = /\d{16}/;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/**
 * Parses the text of a JSON body, unless something in it would be lost without a word: digits that a double does not
 * keep, and all but the last of the members of one name (RFC 7493, I-JSON, has neither).
 *
 * @returns the value by itself, because it may look like a problem; or the problem to answer with: 400
 */
export function parseJson(bytes: Uint8Array): { readonly value: unknown } | Problem {
  if (bytes.byteLength === 0) return malformed('The body is empty. Send a JSON object.');
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return malformed('The body is not UTF-8. JSON is always sent as UTF-8 (RFC 8259).');
  }
  try {
    const value: unknown = JSON.parse(text);
    return (LONG_NUMBER.test(text) ? findLossyNumber(text) : null) ?? findRepeatedName(text) ?? { value };
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : 'it cannot be parsed';
    return malformed(`The body is not JSON: ${reason.slice(0, 200)}.`);
  }
}

/** Input as it may stand in an error: nobody needs a megabyte of their own words back. */
export function shortened(text: string): string {
  return text.length <= QUOTED_CHARS ? text : `${text.slice(0, QUOTED_CHARS)}…`;
}

function malformed(detail: string): Problem {
  return { problem: 'malformed-body', detail };
}

/** The first integer of a JSON text that would come out as another one. */
function findLossyNumber(text: string): Problem | null {
  const withoutStrings = text.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  for (const [number] of withoutStrings.matchAll(/(?<![\w.+-])-?\d{16,}(?![\d.eE])/g)) {
    // One of 309 digits or more is an infinity to a double.
    if (Number.isFinite(Number(number)) && BigInt(number) === BigInt(Number(number))) continue;
    return malformed(
      `The number ${shortened(number)} has more digits than a 64-bit double keeps. Send it as a string.`,
    );
  }
  return null;
}

/** The first name that stands twice in an object of a JSON text. */
function findRepeatedName(text: string): Problem | null {
  const objects: Set<string>[] = [];
  for (const [token, string, colon] of text.matchAll(/[{}]|("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?/g)) {
    if (token === '{') objects.push(new Set());
    else if (token === '}') objects.pop();
    else if (string !== undefined && colon !== undefined) {
      const names = objects.at(-1);
      // Two spellings can be one name.
      const name: string = string.includes('\\') ? JSON.parse(string) : string.slice(1, -1);
      if (names?.has(name)) return malformed(`The name ${shortened(string)} stands twice in an object. Send it once.`);
      names?.add(name);
    }
  }
  return null;
}
