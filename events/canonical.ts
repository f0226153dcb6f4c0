import canonicalize from 'canonicalize';
import type { Json } from './json.ts';

/**
 * The canonical text of a JSON value: RFC 8785 (JSON Canonicalization Scheme). Two values that are equal as JSON have
 * the same text, whatever the order of their keys was, so that a hash of it can be computed again by anyone.
 *
 * @throws when the value holds NaN, an infinity or a lone surrogate, for which RFC 8785 defines no text
 */
export function canonicalText(value: Json): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError('Only JSON values have canonical text');
  return text;
}
