import { foldWithPlaces } from './fold.ts';
import { FRAGMENT_MIN, isWordBoundary } from './terms.ts';

/** A part of a text: [start, end) in UTF-16 code units, as `String.slice` takes them. */
export type Span = readonly [start: number, end: number];

/** Where the terms stand in a text, in order, overlapping and adjoining parts as one. */
export function spansOf(text: string, terms: readonly string[]): Span[] {
  const folded = foldWithPlaces(text);
  const spans = terms.flatMap((term) =>
    occurrences(folded.text, term).map(
      (index): Span => [folded.starts[index] ?? 0, folded.ends[index + term.length - 1] ?? text.length],
    ),
  );
  const merged: Span[] = [];
  for (const [start, end] of spans.sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last && start <= last[1]) merged[merged.length - 1] = [last[0], Math.max(last[1], end)];
    else merged.push([start, end]);
  }
  return merged;
}

function occurrences(text: string, term: string): number[] {
  const isFragment = [...term].length >= FRAGMENT_MIN;
  const [first = '', last = ''] = [[...term][0], [...term].at(-1)];
  const found: number[] = [];
  for (let index = text.indexOf(term); index !== -1; index = text.indexOf(term, index + 1)) {
    const before = [...text.slice(Math.max(0, index - 2), index)].at(-1);
    const [after] = text.slice(index + term.length, index + term.length + 2);
    if (isFragment || (isWordBoundary(before, first) && isWordBoundary(last, after))) found.push(index);
  }
  return found;
}
