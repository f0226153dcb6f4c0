/** Days after which events are moved out of their objects, unless it is said otherwise. */
const AFTER_DAYS = 30;
const DAY_MS = 24 * 60 * 60_000;

/**
 * The age of events that are moved, as COLD_AFTER_DAYS gives it, in milliseconds: a number of days, 0 too, or `off`.
 *
 * @returns null when none are moved unless somebody asks for it, undefined when it makes no sense
 */
export function readAfterDays(text: string | undefined): number | null | undefined {
  if (text === undefined || text === '') return AFTER_DAYS * DAY_MS;
  if (text === 'off') return null;
  return /^\d{1,5}$/.test(text) ? Number(text) * DAY_MS : undefined;
}
