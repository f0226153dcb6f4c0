import type { Moment } from '../../actors/decider.ts';
import { type Place, parseOffset } from '../../events/offset.ts';
import type { RoutedRequest } from './exchange.ts';
import { invalid, isProblem, type Problem } from './problem.ts';

/** The token that stands for the beginning of a stream (Durable Streams protocol). */
const OFFSET_START = '-1';
/** The token that stands for its end. */
const OFFSET_NOW = 'now';

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;

/** What `readMoment` takes, in words. */
export const MOMENT = 'a version such as 3, or a time with its zone such as 2026-01-31T12:00:00Z';

/** The last millisecond that has the usual text. */
const TIME_MAX = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Whether the day of an ISO 8601 time exists: `Date.parse` takes 30 February for 2 March. */
function isDay(iso: string): boolean {
  const [year = 0, month = 0, day = 0] = iso.slice(0, 10).split('-').map(Number);
  return new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day;
}

/**
 * The query parameters of a request by name, each at most once. One that the route does not know is refused: a typing
 * error in a filter would otherwise widen what the caller gets.
 */
export function readQuery<Name extends string>(
  request: RoutedRequest,
  known: readonly Name[],
): Readonly<Partial<Record<Name, string>>> | Problem {
  const values: Partial<Record<Name, string>> = {};
  // Most requests have none, and a URL is not cheap to take apart.
  if (!request.url.includes('?')) return values;
  // Not the router's `query`, which loses an empty value that is followed by another.
  for (const [name, value] of new URL(request.url).searchParams) {
    const match = known.find((candidate) => candidate === name);
    if (match === undefined) {
      const list = known.length > 0 ? `known are: ${known.join(', ')}` : 'this route takes none';
      return invalid(name.slice(0, 100), `is not a query parameter here; ${list}`);
    }
    if (values[match] !== undefined) return invalid(name, 'must be given once');
    values[match] = value;
  }
  return values;
}

/** A whole number from `min` to `max` in plain digits. */
export function readInteger(name: string, text: string, min: number, max: number): number | Problem {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : invalid(name, `must be a whole number from ${min} to ${max}`);
}

/** The same of a parameter that may be left out. @param otherwise what it is then */
export function readOptionalInteger<Otherwise>(
  name: string,
  text: string | undefined,
  otherwise: Otherwise,
  min: number,
  max: number,
): number | Otherwise | Problem {
  return text === undefined ? otherwise : readInteger(name, text, min, max);
}

/** `true` or `false`; left out, false. */
export function readFlag(name: string, text: string | undefined): boolean | Problem {
  if (text === undefined || text === 'false') return false;
  return text === 'true' || invalid(name, 'must be true or false');
}

/** A version, or a time in ISO 8601 with its zone. @param name the parameter that it stands in */
export function readMoment(name: string, text: string): Moment | Problem {
  if (/^\d+$/.test(text)) {
    const version = readInteger(name, text, 1, Number.MAX_SAFE_INTEGER);
    return isProblem(version) ? version : { version };
  }
  // An unescaped + of a zone arrives as a space.
  const iso = text.replace(' ', '+');
  const time = TIME.test(iso) && isDay(iso) ? Date.parse(iso) : Number.NaN;
  // Past the year 9999 the text would be longer and sort before everything.
  if (!Number.isNaN(time)) return { time: new Date(Math.min(time, TIME_MAX)).toISOString() };
  return invalid(name, `must be ${MOMENT}`);
}

/** The same of a parameter that may be left out. */
export function readOptionalMoment(name: string, text: string | undefined): Moment | undefined | Problem {
  return text === undefined ? undefined : readMoment(name, text);
}

/**
 * A time as `readMoment` takes it, and no version, of a parameter that may be left out.
 *
 * @returns it in UTC with milliseconds, as events have it
 */
export function readOptionalTime(name: string, text: string | undefined): string | undefined | Problem {
  const moment = readOptionalMoment(name, text);
  if (moment === undefined || isProblem(moment)) return moment;
  return 'time' in moment ? moment.time : invalid(name, 'must be a time with its zone such as 2026-01-31T12:00:00Z');
}

/** The place that an offset stands for, whichever stream it is of; `now` is told apart because only the object knows it. */
export function readOffset(name: string, text: string): Place | typeof OFFSET_NOW | Problem {
  if (text === OFFSET_START) return { after: 0, mark: null };
  if (text === OFFSET_NOW) return OFFSET_NOW;
  return parseOffset(text) ?? invalid(name, 'must be -1, now, or an offset that was given out here');
}

/** What is answered to an offset of another stream, also that of another server. @param name where it stands */
export function foreignOffset(name: string): Problem {
  return invalid(name, 'is an offset of another stream; take one that this stream gave out, or begin anew with -1');
}
