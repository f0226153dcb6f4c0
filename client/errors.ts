/** The body of an `application/problem+json` response (RFC 9457). */
export interface ProblemDetails {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly instance?: string;
  readonly errors?: readonly { readonly pointer: string; readonly message: string }[];
  /** Members beside the standard ones, such as `tombstone`. */
  readonly [member: string]: unknown;
}

/** Statuses below 500 after which the same request may yet succeed. */
const TEMPORARY: ReadonlySet<number> = new Set([408, 425, 429]);

/** The API refused a request. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly problem: ProblemDetails;
  /** The current version, when the answer named one: after 412, what to read before trying again. */
  readonly version: number | null;

  constructor(problem: ProblemDetails, version: number | null) {
    super(`${problem.status} ${problem.title}${problem.detail ? `: ${problem.detail}` : ''}`);
    this.problem = problem;
    this.version = version;
  }

  get status(): number {
    return this.problem.status;
  }

  /** Whether the same request may succeed later. */
  get isTemporary(): boolean {
    return this.status >= 500 || TEMPORARY.has(this.status);
  }
}

/** A watch ended for a reason that connecting again would not mend. */
export class LiveError extends Error {
  override readonly name = 'LiveError';
  /**
   * The WebSocket close code: 4401 no valid credential, 4403 not allowed, 4404 no such context, 1008 and 1002 the two
   * sides disagree on the protocol; or 400 when the stream ends before the version to resume from.
   */
  readonly code: number;

  constructor(code: number, reason: string) {
    super(reason || `closed with ${code}`);
    this.code = code;
  }
}

/** The error that a response stands for. Proxies answer with other things than problems; they become one. */
export async function problemOf(response: Response): Promise<ProblemError> {
  const { status, statusText, headers } = response;
  // Where the answer breaks off, its status has come all the same.
  const text = await response.text().catch(() => '');
  const isProblem = headers.get('Content-Type')?.startsWith('application/problem+json');
  const base = { type: 'about:blank', title: statusText || 'The request failed' };
  return new ProblemError({ ...base, ...(isProblem && membersOf(text)), status }, versionOf(response));
}

function membersOf(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** The version in a response's ETag, null when it has none. */
export function versionOf(response: Response): number | null {
  const [, version] = /^"(\d+)"$/.exec(response.headers.get('ETag') ?? '') ?? [];
  return version === undefined ? null : Number(version);
}
