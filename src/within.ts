/**
 * Whether less than `ms` milliseconds have passed since a time (milliseconds since 1970). A time that is yet to come says
 * that the clock was put back: how long ago it was is not known, and what was to last until then must not.
 */
export function isWithin(ms: number, since: number, now = Date.now()): boolean {
  return now >= since && now < since + ms;
}
