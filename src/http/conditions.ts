import { invalid, isProblem, type Problem } from './problem.ts';

/** Characters of an Idempotency-Key at most. */
const IDEMPOTENCY_KEY_MAX = 255;

/** One entity tag, `"3"` or `W/"3"` (RFC 9110, section 8.8.3); commas may stand inside the quotes. */
const ENTITY_TAG = /(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/g;

/** A list of entity tags. */
const ENTITY_TAGS = new RegExp(`^[ \\t]*${ENTITY_TAG.source}([ \\t]*,[ \\t]*${ENTITY_TAG.source})*[ \\t]*$`);

/** What stands between the quotes of our own entity tags. */
const VERSION = /^[1-9]\d{0,15}$/;

/** The entity tag of a version. */
export function etag(version: number): string {
  return `"${version}"`;
}

/** A parsed list of entity tags; `any` stands for `*`. */
type EntityTags = 'any' | readonly { readonly isWeak: boolean; readonly value: string }[];

function parseEntityTags(name: string, header: string): EntityTags | Problem {
  if (header.trim() === '*') return 'any';
  if (ENTITY_TAGS.test(header)) {
    return [...header.matchAll(ENTITY_TAG)].map(([, weak, value]) => ({
      isWeak: weak !== undefined,
      value: value ?? '',
    }));
  }
  return invalid(name, 'must be "*" or entity tags as they stand in ETag, quotes included, such as "3"');
}

/**
 * The versions that an If-Match header accepts (RFC 9110, section 13.1.1): weak tags never match.
 *
 * @returns undefined when every version is accepted
 */
export function readIfMatch(headers: Headers): readonly number[] | undefined | Problem {
  const header = headers.get('If-Match');
  if (header === null) return undefined;
  const tags = parseEntityTags('If-Match', header);
  if (isProblem(tags)) return tags;
  return tags === 'any'
    ? undefined
    : tags.filter((tag) => !tag.isWeak && VERSION.test(tag.value)).map((tag) => Number(tag.value));
}

/**
 * Whether an If-None-Match header says that the caller has this already (RFC 9110, section 13.1.2).
 *
 * @param current the version, or whatever else stands between the quotes of the entity tag
 */
export function isNotModified(headers: Headers, current: number | string): boolean | Problem {
  const header = headers.get('If-None-Match');
  if (header === null) return false;
  const tags = parseEntityTags('If-None-Match', header);
  if (isProblem(tags)) return tags;
  return tags === 'any' || tags.some((tag) => tag.value === String(current));
}

/** The Idempotency-Key of a request (draft-ietf-httpapi-idempotency-key-header), undefined when it has none. */
export function readIdempotencyKey(headers: Headers): string | undefined | Problem {
  const key = headers.get('Idempotency-Key');
  if (key === null) return undefined;
  if (key.length > 0 && key.length <= IDEMPOTENCY_KEY_MAX) return key;
  return invalid('Idempotency-Key', `must have 1 to ${IDEMPOTENCY_KEY_MAX} characters`);
}
