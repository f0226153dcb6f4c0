import { z } from 'zod';
import { sha256Hex } from '../events/hash.ts';

/** Hexadecimal digits that tell one query from another in a cursor: a slip is caught; there is nothing to protect. */
const FINGERPRINT_DIGITS = 16;
/** Characters of a cursor at most. */
const CURSOR_MAX = 200;

const cursorSchema = z.tuple([z.string()]).rest(z.unknown());

/** What a cursor belongs to: the route and everything of the request that decides what the pages hold. */
export function fingerprint(route: string, query: Readonly<Record<string, string | null | undefined>>): string {
  const entries = Object.entries(query).filter(([, value]) => value !== undefined);
  return sha256Hex(JSON.stringify([route, ...entries.sort()])).slice(0, FINGERPRINT_DIGITS);
}

/** An opaque cursor of ASCII values: letters, digits, `-` and `_`. */
export function writeCursor(belongsTo: string, position: readonly (string | number | boolean)[]): string {
  return btoa(JSON.stringify([belongsTo, ...position])).replace(/[+/=]/g, (c) => {
    return c === '+' ? '-' : c === '/' ? '_' : '';
  });
}

/** The position that a cursor stands for; null when it was not given out for this query. */
export function readCursor<Position>(
  belongsTo: string,
  cursor: string,
  positionSchema: z.ZodType<Position>,
): Position | null {
  if (cursor.length > CURSOR_MAX || !/^[\w-]+$/.test(cursor)) return null;
  let value: unknown;
  try {
    value = JSON.parse(atob(cursor.replaceAll('-', '+').replaceAll('_', '/')));
  } catch {
    return null;
  }
  const parsed = cursorSchema.safeParse(value);
  if (!parsed.success) return null;
  const [owner, ...position] = parsed.data;
  return owner === belongsTo ? (positionSchema.safeParse(position).data ?? null) : null;
}
