import { invalid, type Problem } from './problem.ts';

/** Seconds that a caller may ask to wait. */
const WAIT_MAX_S = 30;

/**
 * `Prefer: wait=N` (RFC 7240, section 4.3): answer when the change is visible in search, or after N seconds. Other
 * preferences are none of ours and are ignored.
 *
 * @returns seconds, undefined when the caller does not want to wait
 */
export function readWait(headers: Headers): number | undefined | Problem {
  const header = headers.get('Prefer');
  if (header === null) return undefined;
  const wait = header
    .split(/[,;]/)
    .map((part) => part.trim())
    .find((part) => /^wait\s*(=|$)/i.test(part));
  if (wait === undefined) return undefined;
  const seconds = /^wait\s*=\s*"?(\d{1,4})"?$/i.exec(wait)?.[1];
  const value = Number(seconds);
  if (seconds !== undefined && value >= 1 && value <= WAIT_MAX_S) return value;
  return invalid('Prefer', `must have wait as a whole number of seconds from 1 to ${WAIT_MAX_S}, such as wait=5`);
}
