/** What a state shows in the place of words that were erased. */
export const ERASED = '[erased]';

const SEALED = /^sealed:v1:([A-Za-z0-9_.-]{1,100}):[0-9a-f]{16}:[A-Za-z0-9+/]+={0,2}$/;

/**
 * Whose words a value in an event is, when they are encrypted there (docs/protocol.md, section 10): the subject's id, null
 * for any other value. The words themselves are in the state, for as long as they are not erased.
 */
export function sealedSubject(value: unknown): string | null {
  return typeof value === 'string' ? (SEALED.exec(value)?.[1] ?? null) : null;
}
