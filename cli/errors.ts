/** How the tool ends. Scripts rely on these numbers. */
export const EXIT = {
  ok: 0,
  /** Something is not what it should be: `verify` says what. */
  notVerified: 1,
  usage: 2,
  /** The server cannot be reached, or does not give what was asked for. */
  unreachable: 3,
  /** The tool itself is wrong: EX_SOFTWARE of sysexits.h. Nothing is known of what was to be looked at. */
  internal: 70,
} as const;

/** A mistake in how the tool was called; its message says what to do. */
export class UsageError extends Error {}

/** The server cannot be reached, or refuses. */
export class ServerError extends Error {
  /** The HTTP status, null when there was no answer. */
  readonly status: number | null;
  /** The problem (RFC 9457) that came with it. */
  readonly body: unknown;

  constructor(message: string, status: number | null = null, body: unknown = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** What was read is not what it should be. */
export class NotVerifiedError extends Error {}
