/** Any value that JSON can carry (RFC 8259). */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json };

/** Keys that reach into an object's prototype when they are assigned carelessly. No event carries them. */
const PROTOTYPE_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** What is wrong with a JSON value, and where (an RFC 6901 pointer). */
export interface JsonFault {
  readonly pointer: string;
  readonly message: string;
}

/** Tells a JSON object from the other JSON values. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Escapes one reference token of a JSON Pointer (RFC 6901, section 3). */
export function pointerToken(key: string | number): string {
  return String(key).replaceAll('~', '~0').replaceAll('/', '~1');
}

/** Reads one reference token of a JSON Pointer. */
export function unescapeToken(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~');
}

/**
 * Finds the first thing in a parsed JSON value that an event must not carry: nesting beyond `maxDepth` levels,
 * prototype keys, numbers that are not finite doubles, NUL characters and lone surrogates (RFC 7493, I-JSON).
 * Recursion ends at `maxDepth`, so a value nested 50,000 deep is refused without exhausting the stack.
 *
 * @param maxDepth how many objects and arrays may stand inside each other, at least 1
 * @returns the fault, or null when the value is clean
 */
export function findJsonFault(value: unknown, maxDepth: number, pointer = ''): JsonFault | null {
  switch (typeof value) {
    case 'string':
      return textFault(value, pointer);
    case 'number':
      return Number.isFinite(value) ? null : { pointer, message: 'must be a number that a 64-bit double can hold' };
    case 'boolean':
      return null;
    case 'object':
      return value === null ? null : containerFault(value, maxDepth, pointer);
    default:
      return { pointer, message: 'must be a JSON value' };
  }
}

function textFault(text: string, pointer: string): JsonFault | null {
  if (!text.isWellFormed()) return { pointer, message: 'must not hold a lone surrogate (half of a UTF-16 pair)' };
  if (text.includes('\0')) return { pointer, message: 'must not hold a NUL character (U+0000)' };
  return null;
}

function containerFault(value: object, maxDepth: number, pointer: string): JsonFault | null {
  if (maxDepth <= 0) return { pointer, message: 'is nested too deeply; flatten it' };
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      const fault = findJsonFault(item, maxDepth - 1, `${pointer}/${index}`);
      if (fault) return fault;
    }
    return null;
  }
  for (const [key, item] of Object.entries(value)) {
    const place = `${pointer}/${pointerToken(key)}`;
    if (PROTOTYPE_KEYS.has(key)) return { pointer: place, message: 'is a key that is not allowed; rename it' };
    const fault = textFault(key, place) ?? findJsonFault(item, maxDepth - 1, place);
    if (fault) return fault;
  }
  return null;
}
