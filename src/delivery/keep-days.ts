/** Days as AUDIT_KEEP_DAYS gives them; null when it says nothing, undefined when it makes no sense. */
export function readKeepDays(text: string | undefined): number | null | undefined {
  if (text === undefined || text === '') return null;
  return /^[1-9]\d{0,4}$/.test(text) ? Number(text) : undefined;
}
