/**
 * How an attempt can end: `delivered` by a 2xx; `gone` by a 410; `redirected`, `refused` (another 4xx) and `failed` by
 * other statuses; without any status `timed_out`, `unreachable`, or `blocked` because the address is none that may be
 * sent to.
 */
export const OUTCOMES = [
  'delivered',
  'gone',
  'redirected',
  'refused',
  'failed',
  'timed_out',
  'unreachable',
  'blocked',
] as const;

/** One of them. */
export type Outcome = (typeof OUTCOMES)[number];

/** How an attempt ended. */
export interface AttemptResult {
  readonly outcome: Outcome;
  /** The HTTP status, null when none came. */
  readonly status: number | null;
  readonly durationMs: number;
  /** What went wrong, in words of ours; null when nothing did. */
  readonly error: string | null;
  /** The beginning of what the receiver said about it, harmless to show; null when it said nothing. */
  readonly response: string | null;
  /** How long the receiver asked to be left alone. */
  readonly retryAfterMs: number | null;
}
