import { z } from 'zod';
import { wholeNumber } from './input.ts';
import { bytesOf, PAGE_BYTES } from './page-size.ts';
import type { Reply } from './routing.ts';

/** Items in one page at most. */
const PAGE_MAX = 1_000;
/** Items in one page when the caller does not say. */
const PAGE_DEFAULT = 100;

/** Something that a service keeps, as an administrator's list has it. */
export interface Listed {
  /** What the list is in the order of; unique. */
  readonly key: string;
  /** JSON text. */
  readonly text: string;
}

/** What such a list is asked with. */
export const listingQuery = z.strictObject({
  after: z.string().max(500).default(''),
  limit: wholeNumber(1, PAGE_MAX).default(PAGE_DEFAULT),
});

/** Takes items until they are as many or as long as a page may be. */
export function cutToPage(items: Iterable<Listed>, limit: number): { page: Listed[]; isFull: boolean } {
  const page: Listed[] = [];
  let bytes = 0;
  for (const item of items) {
    page.push(item);
    bytes += bytesOf(item.text);
    if (page.length === limit || bytes >= PAGE_BYTES) return { page, isFull: true };
  }
  return { page, isFull: false };
}

/** SQLite goes by code points, where JavaScript goes by code units: a page must not end at another place than it began. */
function compareAsSqlite(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  const at = left.findIndex((character, index) => character !== right[index]);
  return (left[at]?.codePointAt(0) ?? -1) - (right[at === -1 ? left.length : at]?.codePointAt(0) ?? -1);
}

/**
 * Makes one page, in the order of its keys, of the pages that the partitions of a service gave. A partition that gave a
 * full page may have more, but only past a point at which this page is full as well.
 */
export function mergePages(name: string, pages: readonly (readonly Listed[])[], limit: number): Reply {
  const all = pages.flat().sort((a, b) => compareAsSqlite(a.key, b.key));
  const { page, isFull } = cutToPage(all, limit);
  const next = isFull ? (page.at(-1)?.key ?? null) : null;
  return {
    status: 200,
    text: `{"${name}":[${page.map(({ text }) => text).join()}],"nextAfter":${JSON.stringify(next)}}`,
  };
}
