import type { CallOptions, Connection } from './call.ts';

/** What is asked of a service. */
export interface CallRequest {
  /** The path's segments, not yet encoded. */
  readonly path: readonly string[];
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** The media type of the body when it is not application/json. */
  readonly mediaType?: string;
  /** The entity that the call is about. */
  readonly chittyId?: string | undefined;
  /** Secrets in the body, which must not come back in a failure. */
  readonly secrets?: readonly string[];
}

/** A request that can be sent. */
export interface Target {
  readonly url: string;
  readonly init: RequestInit;
}

/** Why there is nothing to send. */
interface Fault {
  readonly fault: 'configuration' | 'invalid-request';
  readonly detail: string;
}

/** W3C Trace Context of any version. */
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\b/;

/** What a header's value may be made of here: visible ASCII and spaces within. */
const HEADER_VALUE = /^[\x21-\x7e]+(?: +[\x21-\x7e]+)*$/;

/** Hosts that may be called without TLS: they are on this machine. */
const LOCAL_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Puts a request together, or says why that cannot be done. The token goes into a header, never into the URL. */
export function composeRequest(
  connection: Connection,
  method: 'GET' | 'POST',
  request: CallRequest,
  options: CallOptions,
): Target | Fault {
  const base = readBaseUrl(connection);
  if (typeof base !== 'string') return base;
  // URLs give "." and ".." a meaning, also when they are percent-encoded: an id of that name would reach another route.
  if (request.path.some((segment) => segment === '' || segment === '.' || segment === '..')) {
    return invalidRequest('An id is empty or made of dots.');
  }
  if (!request.path.every((segment) => segment.isWellFormed())) return invalidRequest('An id is not valid Unicode.');
  if (!HEADER_VALUE.test(connection.token)) {
    return { fault: 'configuration', detail: 'The token has characters that cannot be sent in a header.' };
  }
  const headers = composeHeaders(connection.token, request, options);
  const bad = Object.entries(headers).find(([, value]) => !HEADER_VALUE.test(value));
  if (bad) return invalidRequest(`The value for the header ${bad[0]} is empty or not ASCII.`);
  const url = base + request.path.map((segment) => `/${encodeURIComponent(segment)}`).join('') + composeQuery(request);
  const body = request.body === undefined ? null : JSON.stringify(request.body);
  return { url, init: { method, headers, ...(body !== null && { body }) } };
}

function invalidRequest(detail: string): Fault {
  return { fault: 'invalid-request', detail };
}

function readBaseUrl({ baseUrl, service }: Connection): string | Fault {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null;
  const isPlain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  const isPrivate = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOCAL_HOSTS.has(url.hostname));
  if (isPlain && isPrivate) return url.href.replace(/\/+$/, '');
  const detail = `CHITTY_${service.toUpperCase()}_URL must be an https URL without credentials, query or fragment.`;
  return { fault: 'configuration', detail };
}

function composeHeaders(token: string, request: CallRequest, options: CallOptions): Record<string, string> {
  const { traceparent, idempotencyKey } = options;
  return {
    Accept: 'application/json',
    Authorization: `Bearer ${token}`,
    ...(request.body !== undefined && { 'Content-Type': request.mediaType ?? 'application/json' }),
    ...(request.chittyId !== undefined && { 'X-ChittyID': request.chittyId }),
    ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
    // A trace context that is not one is left out, as the specification asks.
    ...(traceparent !== undefined && TRACEPARENT.test(traceparent) && { traceparent }),
  };
}

function composeQuery({ query = {} }: CallRequest): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters}`;
}
