import type { CommandRequest } from '../../actors/messages.ts';
import type { Principal } from '../../actors/principal.ts';
import { nextUlid } from '../../events/ulid.ts';
import type { Env } from '../env.ts';
import { newSpanId } from '../trace.ts';
import { callerAddress, networkOf } from './address.ts';

/** A request as itty-router hands it on, with the variable parts of its path. */
export interface RoutedRequest extends Request {
  readonly params?: Readonly<Record<string, string | undefined>>;
}

/** One request and what is known about it. */
export interface Exchange {
  readonly request: RoutedRequest;
  readonly env: Env;
  readonly execution: ExecutionContext;
  /** The caller's X-Request-Id, or one that was made here. */
  readonly requestId: string;
  /** Groups everything that follows from this request: the trace id, or the request id. */
  readonly correlationId: string;
  /** The network of the caller; undefined when the caller's address is not known. */
  readonly origin: string | undefined;
  /** Headers that every response to this request carries. */
  readonly headers: Readonly<Record<string, string>>;
}

/** An exchange whose caller is known. */
export interface AuthenticatedExchange extends Exchange {
  readonly principal: Principal;
}

/** Request ids of callers are taken when they are harmless in logs and headers. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** W3C Trace Context: version, trace id, parent id, flags; later versions than 00 may have more. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?$/;

/** Takes up a request: its ids, its trace, and the headers that all its responses share. */
export function openExchange(request: RoutedRequest, env: Env, execution: ExecutionContext): Exchange {
  const given = request.headers.get('X-Request-Id');
  const requestId = given !== null && REQUEST_ID.test(given) ? given : nextUlid(Date.now());
  const headers: Record<string, string> = { 'X-Request-Id': requestId, 'X-Content-Type-Options': 'nosniff' };
  const [, version, traceId, flags, more] = TRACEPARENT.exec(request.headers.get('traceparent') ?? '') ?? [];
  const isTraced = traceId !== undefined && (version !== '00' || more === undefined);
  if (isTraced) headers.traceparent = `00-${traceId}-${newSpanId()}-${flags}`;
  addCors(request, env, headers);
  const correlationId = isTraced ? traceId : requestId;
  return { request, env, execution, requestId, correlationId, origin: networkOf(callerAddress(request, env)), headers };
}

/** What a command that comes of this request says about its cause. */
export function causeOf({ correlationId, origin }: Exchange): CommandRequest<unknown>['cause'] {
  return { correlationId, causationId: null, commandId: nextUlid(Date.now()), ...(origin !== undefined && { origin }) };
}

/** Headers of ours that a browser may show to scripts of another origin. */
const EXPOSED = [
  'Allow',
  'Content-Location',
  'ETag',
  'Idempotent-Replayed',
  'Location',
  'Preference-Applied',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'Stream-Closed',
  'Stream-Cursor',
  'Stream-Next-Offset',
  'Stream-Up-To-Date',
  'WWW-Authenticate',
  'X-Request-Id',
  'X-Tree-Head',
  'traceparent',
].join(', ');

/** Adds the CORS headers (WHATWG Fetch) that the configuration allows this caller. */
function addCors(request: Request, env: Env, headers: Record<string, string>): void {
  if (!env.CORS_ORIGINS) return;
  headers.Vary = 'Origin';
  const origin = request.headers.get('Origin');
  const allowed = env.CORS_ORIGINS.split(',').map((item) => item.trim());
  if (origin === null || !(allowed.includes('*') || allowed.includes(origin))) return;
  headers['Access-Control-Allow-Origin'] = origin;
  headers['Access-Control-Expose-Headers'] = EXPOSED;
}
