import { isJsonObject, type Json, unescapeToken } from './json.ts';

/** A JSON Pointer (RFC 6901, section 3): empty, or tokens that each begin with a slash. */
const POINTER = /^(\/([^/~]|~[01])*)*$/;

/** The place of an item in an array (RFC 6901, section 4): no leading zeros. */
const INDEX = /^(0|[1-9]\d{0,8})$/;

/** The reference tokens of a JSON Pointer, none for the whole document; null when it is not one. */
export function parsePointer(pointer: string): readonly string[] | null {
  return POINTER.test(pointer) ? pointer.split('/').slice(1).map(unescapeToken) : null;
}

/** What a JSON Pointer leads to in a value; undefined when there is nothing. */
export function valueAt(value: Json, tokens: readonly string[]): Json | undefined {
  let current: Json | undefined = value;
  for (const token of tokens) {
    if (Array.isArray(current)) current = INDEX.test(token) ? current[Number(token)] : undefined;
    else if (isJsonObject(current)) current = Object.hasOwn(current, token) ? current[token] : undefined;
    else return undefined;
  }
  return current;
}
