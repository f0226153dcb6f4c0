import { canonicalText } from './canonical.ts';
import { isJsonObject, type Json, type JsonObject, pointerToken } from './json.ts';

/** An operation of a JSON Patch (RFC 6902, section 4). The other three are never needed to tell two values apart. */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: Json }
  | { readonly op: 'remove'; readonly path: string };

/** Pairs of items that are looked at to align two arrays; where there are more, the array is replaced as a whole. */
const ALIGNED_PAIRS_MAX = 1_000_000;

/** Characters that an operation has beside its path and its value, about. */
const OPERATION_CHARS = 30;

/**
 * A change is told in its parts, which people can read, as long as that takes no more than so many times the characters
 * of the new value and so many more. Beyond that the value is replaced as a whole.
 */
const TELLING_FACTOR = 4;
const TELLING_CHARS = 4096;

/**
 * The JSON Patch (RFC 6902) that turns `from` into `to`; empty when they are equal as JSON. Arrays are aligned by
 * their longest common subsequence, so that an item put in at the front is one operation.
 *
 * Time and length stay in proportion to the two values, whatever is in them. (Libraries align without such limits; two
 * arrays of a thousand numbers are too much for them.)
 */
export function diffJson(from: Json, to: Json): PatchOperation[] {
  return diff(from, to, '');
}

function diff(from: Json, to: Json, path: string): PatchOperation[] {
  if (from === to) return [];
  if (isJsonObject(from) && isJsonObject(to)) return orReplace(diffObjects(from, to, path), to, path);
  if (Array.isArray(from) && Array.isArray(to)) return orReplace(diffArrays(from, to, path), to, path);
  return [{ op: 'replace', path, value: to }];
}

/** The operations, or the replacement when they would be too long. The root is never replaced: patches begin there. */
function orReplace(operations: Iterable<PatchOperation>, to: Json, path: string): PatchOperation[] {
  const replacement = { op: 'replace', path, value: to } as const;
  const limit = path === '' ? Number.POSITIVE_INFINITY : TELLING_FACTOR * chars(replacement) + TELLING_CHARS;
  const taken: PatchOperation[] = [];
  let sum = 0;
  for (const operation of operations) {
    sum += chars(operation);
    if (sum > limit) return [replacement];
    taken.push(operation);
  }
  return taken;
}

function chars(operation: PatchOperation): number {
  const value = operation.op === 'remove' ? 0 : JSON.stringify(operation.value).length;
  return operation.path.length + value + OPERATION_CHARS;
}

function* diffObjects(from: JsonObject, to: JsonObject, path: string): Generator<PatchOperation> {
  for (const key of Object.keys(from)) {
    if (!Object.hasOwn(to, key)) yield { op: 'remove', path: `${path}/${pointerToken(key)}` };
  }
  for (const [key, value] of Object.entries(to)) {
    const place = `${path}/${pointerToken(key)}`;
    if (Object.hasOwn(from, key)) yield* diff(from[key] ?? null, value, place);
    else yield { op: 'add', path: place, value };
  }
}

function* diffArrays(from: readonly Json[], to: readonly Json[], path: string): Generator<PatchOperation> {
  const numbers = new Map<string, number>();
  const [before, after] = [numbered(from, numbers), numbered(to, numbers)];
  let start = 0;
  while (start < Math.min(from.length, to.length) && before[start] === after[start]) start += 1;
  let end = 0;
  const longest = Math.min(from.length, to.length) - start;
  while (end < longest && before[from.length - 1 - end] === after[to.length - 1 - end]) end += 1;

  const [changed, changedTo] = [from.slice(start, from.length - end), to.slice(start, to.length - end)];
  if (changed.length * changedTo.length > ALIGNED_PAIRS_MAX) {
    yield { op: 'replace', path, value: to };
    return;
  }
  let [i, j] = [0, 0];
  const kept = alignment(before.slice(start, from.length - end), after.slice(start, to.length - end));
  for (const [keptI, keptJ] of [...kept, [changed.length, changedTo.length] as const]) {
    yield* diffRuns(changed.slice(i, keptI), changedTo.slice(j, keptJ), path, start + j);
    [i, j] = [keptI + 1, keptJ + 1];
  }
}

/** Turns one run of items, which begins at `index`, into another. */
function* diffRuns(from: readonly Json[], to: readonly Json[], path: string, index: number): Generator<PatchOperation> {
  const common = Math.min(from.length, to.length);
  for (const [k, value] of to.entries()) {
    const place = `${path}/${index + k}`;
    if (k < common) yield* diff(from[k] ?? null, value, place);
    else yield { op: 'add', path: place, value };
  }
  for (let k = common; k < from.length; k++) yield { op: 'remove', path: `${path}/${index + common}` };
}

/** A number for each item, the same for equal items: they can then be compared with many others at no price. */
function numbered(items: readonly Json[], numbers: Map<string, number>): number[] {
  return items.map((item) => {
    const text = canonicalText(item);
    const number = numbers.get(text) ?? numbers.size;
    numbers.set(text, number);
    return number;
  });
}

/** The pairs of places that a longest common subsequence of two lists is made of, in their order. */
function alignment(from: readonly number[], to: readonly number[]): [number, number][] {
  const width = to.length + 1;
  // The length of the longest common subsequence of what follows two places; no more than the square root of the pairs.
  const lengths = new Uint16Array((from.length + 1) * width);
  const lengthAt = (i: number, j: number) => lengths[i * width + j] ?? 0;
  for (let i = from.length - 1; i >= 0; i--) {
    for (let j = to.length - 1; j >= 0; j--) {
      const longest = from[i] === to[j] ? lengthAt(i + 1, j + 1) + 1 : Math.max(lengthAt(i + 1, j), lengthAt(i, j + 1));
      lengths[i * width + j] = longest;
    }
  }
  const pairs: [number, number][] = [];
  let [i, j] = [0, 0];
  while (i < from.length && j < to.length) {
    if (from[i] === to[j]) {
      pairs.push([i, j]);
      [i, j] = [i + 1, j + 1];
    } else if (lengthAt(i + 1, j) >= lengthAt(i, j + 1)) i += 1;
    else j += 1;
  }
  return pairs;
}
