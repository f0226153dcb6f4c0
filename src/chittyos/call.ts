import type { z } from 'zod';
import { isJsonObject, type JsonObject } from '../../events/json.ts';
import { ANSWER_MAX_BYTES, checkAnswer, discard, explain, REFUSAL_MAX_BYTES, readJson, WrongAnswer } from './answer.ts';
import { type CallResult, type Failure, redact, type ServiceName } from './failure.ts';
import { type CallRequest, composeRequest, type Target } from './request.ts';
import { isTransientStatus, pauseAfter, readRetryAfter } from './retry.ts';
import type { ServiceHealth } from './service-health.ts';

/** How long one attempt may take, from sending to the last byte of the answer. */
const TIMEOUT_MS = 5_000;

/** How long a call may take with all its attempts and the pauses between them. */
const BUDGET_MS = 12_000;

/** Attempts of a call that is safe to repeat. */
const ATTEMPTS_MAX = 3;

/** Redirects that one attempt follows, all within the service's own origin. */
const REDIRECTS_MAX = 2;

/** Characters of a failure's detail. */
const DETAIL_CHARS = 300;

/** How a request is sent: the global `fetch`, or that of a service binding. */
export type Send = (url: string, init: RequestInit) => Promise<Response>;

/** A service, how it is reached, and what is known of it. */
export interface Connection {
  readonly service: ServiceName;
  /** Such as `https://id.chitty.cc`. */
  readonly baseUrl: string;
  readonly token: string;
  readonly send: Send;
  readonly health: ServiceHealth;
  /** Says what is missing, when the service cannot be called at all. */
  readonly misconfigured?: string;
}

/** One thing that a service can be asked to do. */
export interface Operation<Value> {
  readonly name: string;
  readonly method: 'GET' | 'POST';
  /** The answer: what is needed of it. Members that are not named are left alone. */
  readonly answer: z.ZodType<Value>;
  /** Whether asking twice does what asking once does, so that it may be repeated without an Idempotency-Key. */
  readonly isIdempotent?: true;
  /** Whether a good answer may have an `error` member. */
  readonly mayCarryError?: true;
}

/** What a caller may say about one call. */
export interface CallOptions {
  /** Makes a request safe to repeat: the service does it once for each key. */
  readonly idempotencyKey?: string;
  /** The caller's W3C trace context, passed on. */
  readonly traceparent?: string;
  /** Milliseconds for one attempt; 5,000 when left out. */
  readonly timeoutMs?: number;
  /** Milliseconds for the whole call; 12,000 when left out. */
  readonly budgetMs?: number;
  /** Attempts at most; 3 when left out. What is not safe to repeat is not repeated in any case. */
  readonly attemptsMax?: number;
}

/**
 * Calls a service: the one way out to ChittyOS. Repeats what is safe to repeat (reads, idempotent operations, requests
 * with an Idempotency-Key) after faults that may pass, honours Retry-After, and goes through the service's breaker.
 */
export async function call<Value>(
  connection: Connection,
  operation: Operation<Value>,
  request: CallRequest,
  options: CallOptions = {},
): Promise<CallResult<Value>> {
  const attempt = new Attempts(connection, operation, request.secrets ?? []);
  if (connection.misconfigured !== undefined) return attempt.failed('configuration', connection.misconfigured);
  const target = composeRequest(connection, operation.method, request, options);
  if ('fault' in target) return attempt.failed(target.fault, target.detail);

  const deadline = Date.now() + (options.budgetMs ?? BUDGET_MS);
  const isRepeatable =
    operation.method === 'GET' || operation.isIdempotent === true || options.idempotencyKey !== undefined;
  const attemptsMax = isRepeatable ? (options.attemptsMax ?? ATTEMPTS_MAX) : 1;
  let last: CallResult<Value> | null = null;
  for (let number = 1; ; number++) {
    const timeoutMs = Math.min(options.timeoutMs ?? TIMEOUT_MS, deadline - Date.now());
    const outcome = await connection.health.watch(() => attempt.once(target, timeoutMs));
    // When the breaker opened in between, what opened it says more than that it is open.
    if (typeof outcome === 'number') return last ?? attempt.notSent(outcome);
    last = outcome;
    if (outcome.ok || !outcome.failure.retryable || number >= attemptsMax) return outcome;
    const pauseMs = Math.max(pauseAfter(number), outcome.failure.retryAfterMs ?? 0);
    if (Date.now() + pauseMs >= deadline) return outcome;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** The attempts of one call. */
class Attempts<Value> {
  readonly #connection: Connection;
  readonly #operation: Operation<Value>;
  readonly #secrets: readonly string[];

  constructor(connection: Connection, operation: Operation<Value>, secrets: readonly string[]) {
    this.#connection = connection;
    this.#operation = operation;
    this.#secrets = [connection.token, ...secrets];
  }

  /** One attempt, which ends after `timeoutMs` whatever the service does. */
  async once(target: Target, timeoutMs: number): Promise<CallResult<Value>> {
    const controller = new AbortController();
    const { promise: timedOut, resolve } = Promise.withResolvers<CallResult<Value>>();
    const timer = setTimeout(() => {
      resolve(this.failed('timeout', `There was no complete answer within ${timeoutMs} ms.`, { retryable: true }));
      controller.abort();
    }, timeoutMs);
    try {
      return await Promise.race([timedOut, this.#exchange(target, controller.signal)]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The failure of a call that the breaker did not let through. */
  notSent(retryAfterMs: number): CallResult<Value> {
    const detail = 'The service has been failing; it is left alone for a moment.';
    return this.failed('circuit-open', detail, { retryAfterMs, retryable: true });
  }

  failed(kind: Failure['kind'], detail: string, rest: Partial<Failure> = {}): CallResult<Value> {
    const { service } = this.#connection;
    // Redacted before it is cut: half a token is still a secret.
    const clean = redact(detail, this.#secrets)
      .replace(/\p{Cc}+/gu, ' ')
      .slice(0, DETAIL_CHARS)
      .toWellFormed();
    const failure = { service, operation: this.#operation.name, kind, detail: clean, retryable: false, ...rest };
    return { ok: false, failure };
  }

  async #exchange(target: Target, signal: AbortSignal): Promise<CallResult<Value>> {
    let status: number | undefined;
    try {
      const response = await this.#send(target, signal);
      status = response.status;
      if (!response.ok) return await this.#refused(response, signal);
      const answer = await readJson(response, ANSWER_MAX_BYTES, signal);
      const value = checkAnswer(this.#operation.answer, answer, this.#operation.mayCarryError === true);
      return { ok: true, value };
    } catch (error) {
      const seen = { ...(status !== undefined && { status }), retryable: true };
      if (error instanceof WrongAnswer) return this.failed('wrong-answer', error.message, seen);
      return this.failed('network', `The connection failed: ${error instanceof Error ? error.message : error}`, seen);
    }
  }

  /** Sends a request, and follows redirects only within the origin: the token is meant for nobody else. */
  async #send({ url, init }: Target, signal: AbortSignal): Promise<Response> {
    let response = await this.#connection.send(url, { ...init, signal, redirect: 'manual' });
    for (let hop = 0; hop < REDIRECTS_MAX; hop++) {
      const next = redirectWithin(url, response, init.method === 'GET');
      if (next === null) break;
      discard(response);
      response = await this.#connection.send(next, { ...init, signal, redirect: 'manual' });
    }
    return response;
  }

  async #refused(response: Response, signal: AbortSignal): Promise<CallResult<Value>> {
    const { status } = response;
    const problem = await this.#readProblem(response, signal);
    const reason = status === 401 || status === 403 ? 'it does not accept the token' : problem && explain(problem);
    const retryAfterMs = readRetryAfter(response.headers.get('Retry-After'), Date.now());
    return this.failed('status', `The service answered ${status}${reason ? `: ${reason.replace(/\.$/, '')}` : ''}.`, {
      status,
      retryable: isTransientStatus(status),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(problem && status < 500 && { problem }),
    });
  }

  /** The body of a refusal when it is a JSON object, without secrets; null when it is anything else. */
  async #readProblem(response: Response, signal: AbortSignal): Promise<JsonObject | null> {
    try {
      const body = await readJson(response, REFUSAL_MAX_BYTES, signal);
      const clean: unknown = JSON.parse(redact(JSON.stringify(body), this.#secrets));
      return isJsonObject(clean) ? clean : null;
    } catch {
      return null;
    }
  }
}

/** Where a redirect leads that may be followed: within the origin, and without turning a POST into a GET. */
function redirectWithin(from: string, response: Response, isRead: boolean): string | null {
  const { status } = response;
  const keepsMethod = status === 307 || status === 308 || (isRead && (status === 301 || status === 302));
  const location = response.headers.get('Location');
  if (!keepsMethod || location === null || !URL.canParse(location, from)) return null;
  const to = new URL(location, from);
  return to.origin === new URL(from).origin ? to.href : null;
}
