import { type IRequest, IttyRouter } from 'itty-router';
import type { Principal } from '../../actors/principal.ts';
import { withReadRecorded } from '../audit/reads.ts';
import { noteRefusal } from '../audit/refusals.ts';
import { refuseAction } from '../auth/authenticate.ts';
import { identify } from '../auth/identify.ts';
import { identifyWithTicket } from '../auth/tickets.ts';
import { whenKnown } from '../auth/when-known.ts';
import type { Env } from '../env.ts';
import { type Admission, admit, admitStranger } from '../limits/admit.ts';
import { pressure } from '../limits/pressure.ts';
import { limitsOf } from '../limits/settings.ts';
import { ReadModelError, withCountedDatabase } from '../metrics/database.ts';
import { meterOf, type RouteMeter } from '../metrics/requests.ts';
import { refuseBody } from './body.ts';
import { type Exchange, openExchange } from './exchange.ts';
import { isProblem } from './problem.ts';
import { empty, problemResponse } from './respond.ts';
import { type Answer, isCommand, type PublicRoute, type Route, type SelfAuthenticatingRoute } from './route.ts';
import { routes } from './routes.ts';

/** Seconds after which a caller may try again when an object was too busy. */
const RETRY_AFTER_S = 1;

/** The same when the read models do not answer. */
const READ_MODEL_RETRY_AFTER_S = 5;

/** Methods whose requests have no body. */
const BODILESS = ['GET', 'HEAD', 'OPTIONS'];

/** Bytes of a body that is read only to be rid of it. */
const REST_MAX_BYTES = 128 * 1024;

/** Seconds for which a browser may remember a preflight's answer. */
const PREFLIGHT_MAX_AGE_S = 600;

/** Request headers that a browser may send from another origin. */
const ALLOWED_HEADERS = [
  'Authorization',
  'Content-Type',
  'Idempotency-Key',
  'If-Match',
  'If-None-Match',
  'Last-Event-ID',
  'Prefer',
  'X-API-Key',
  'X-CSRF-Token',
  'X-Request-Id',
  'traceparent',
].join(', ');

const router = IttyRouter<IRequest, [Env, ExecutionContext], Response>();

/** The routes of each path by method. */
const paths = new Map<string, Map<string, Route>>();
for (const route of routes) {
  const methods = paths.get(route.path) ?? new Map<string, Route>();
  paths.set(route.path, methods.set(route.method, route));
}
for (const [path, methods] of paths) {
  const commands = [...methods].filter(([, route]) => isCommand(route)).map(([method]) => method);
  const meter = meterOf(path.replaceAll(/:(\w+)\+?/g, '{$1}'), new Set(commands));
  router.all(path, (request, env, execution) => answer(openExchange(request, env, execution), methods, meter));
}
/** Counts what no route takes. */
const unmatched = meterOf('unmatched');
router.all('*', (request, env, execution) => {
  const response = problemResponse(openExchange(request, env, execution), {
    problem: 'not-found',
    detail: 'There is no such route. /openapi.json lists all there are.',
  });
  unmatched.note(request.method, response, 0);
  return response;
});

/** Answers a request. Never throws: what goes wrong unexpectedly becomes a 500 that tells nothing but the request's id. */
export function handleRequest(request: Request, env: Env, execution: ExecutionContext): Promise<Response> {
  // The one thing that throws outside of a route's own answer: a Host header that makes no URL.
  return router.fetch(request, withCountedDatabase(env), execution).catch(() => {
    const response = problemResponse(openExchange(request, env, execution), {
      problem: 'invalid',
      detail: 'The address cannot be read. Look at the Host header.',
      errors: [{ pointer: 'Host', message: 'must be a host name with a port from 1 to 65535 or none' }],
    });
    unmatched.note(request.method, response, 0);
    return response;
  });
}

async function answer(exchange: Exchange, methods: ReadonlyMap<string, Route>, meter: RouteMeter): Promise<Response> {
  const startedAt = Date.now();
  let response: Response;
  try {
    const result = await dispatch(exchange, methods);
    response = isProblem(result) ? problemResponse(exchange, result) : result;
  } catch (error) {
    response = failure(exchange, error);
  }
  if (!exchange.request.bodyUsed && !BODILESS.includes(exchange.request.method)) await readRest(exchange.request);
  const elapsedMs = Date.now() - startedAt;
  meter.note(exchange.request.method, response, elapsedMs);
  // Who asks to be kept waiting is no sign of pressure.
  if (!exchange.request.headers.has('Prefer') && !exchange.request.url.includes('live=')) {
    pressure.noteLatency(elapsedMs, limitsOf(exchange.env, exchange.execution).pressure);
  }
  return response;
}

/**
 * Reads a body that no route has looked at. The runtime closes a connection on which one is left, and with it goes the
 * request that the caller has sent next.
 */
async function readRest(request: Request): Promise<void> {
  const length = Number(request.headers.get('Content-Length') ?? Number.NaN);
  // One that is longer, or of no known length, is not worth the connection.
  if (length > 0 && length <= REST_MAX_BYTES) await request.arrayBuffer().catch(() => undefined);
}

function dispatch(exchange: Exchange, methods: ReadonlyMap<string, Route>): Answer | Promise<Answer> {
  const { method } = exchange.request;
  // The runtime sends the headers of an answer to HEAD and drops its body.
  const route = methods.get(method === 'HEAD' ? 'GET' : method);
  if (!route) return method === 'OPTIONS' ? options(exchange, methods) : methodNotAllowed(methods);
  if (route.access === 'public' || route.access === 'self-authenticating') {
    return whenKnown(dispatchUnknown(exchange, route), (result) => audited(exchange, route, null, result));
  }
  return whenKnown(route.takesTicket ? identifyWithTicket(exchange) : identify(exchange), (principal) => {
    if (isProblem(principal)) return audited(exchange, route, null, principal);
    const refusal = refuseAction(principal, route.access);
    if (refusal) return audited(exchange, route, principal, refusal);
    const known = { ...exchange, principal };
    const result = whenKnown(admit(known, route), (admission) =>
      goOn(admission, known, (admitted) => handle(route, admitted)),
    );
    return whenKnown(result, (given) =>
      isProblem(given) ? audited(exchange, route, principal, given) : withReadRecorded(known, route, given),
    );
  });
}

function dispatchUnknown(exchange: Exchange, route: PublicRoute | SelfAuthenticatingRoute): Answer | Promise<Answer> {
  const isLimited = route.access === 'self-authenticating' ? route.isSigned : !route.isUnlimited;
  if (!isLimited) return handle(route, exchange);
  return goOn(admitStranger(exchange), exchange, (admitted) => handle(route, admitted));
}

/** Has a route answer, unless it would not look at a body that there is. */
function handle<Known extends Exchange>(
  route: { readonly operation: Route['operation']; handle(exchange: Known): Answer | Promise<Answer> },
  exchange: Known,
): Answer | Promise<Answer> {
  const refusal = route.operation.requestBody || exchange.request.body === null ? null : refuseBody(exchange);
  return refusal === null ? route.handle(exchange) : whenKnown(refusal, (problem) => problem ?? route.handle(exchange));
}

/** Sees that a refusal is in the audit trail. */
function audited(exchange: Exchange, route: Route, principal: Principal | null, result: Answer): Answer {
  if (isProblem(result)) noteRefusal(exchange, route, principal, result);
  return result;
}

/** Goes on with what was admitted; its limits are part of every answer to it. */
function goOn<Admitted extends Exchange>(
  admission: Admission,
  exchange: Admitted,
  next: (exchange: Admitted) => Answer | Promise<Answer>,
): Answer | Promise<Answer> {
  if (isProblem(admission)) return admission;
  if (!admission.headers) return next(exchange);
  return next({ ...exchange, headers: { ...exchange.headers, ...admission.headers } });
}

function allowedMethods(methods: ReadonlyMap<string, Route>): string {
  return [...methods.keys(), ...(methods.has('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ');
}

function options(exchange: Exchange, methods: ReadonlyMap<string, Route>): Response {
  const allowed = allowedMethods(methods);
  const isPreflight = exchange.headers['Access-Control-Allow-Origin'] !== undefined;
  return empty(exchange, 204, {
    Allow: allowed,
    ...(isPreflight && {
      'Access-Control-Allow-Methods': allowed,
      'Access-Control-Allow-Headers': ALLOWED_HEADERS,
      'Access-Control-Max-Age': String(PREFLIGHT_MAX_AGE_S),
    }),
  });
}

function methodNotAllowed(methods: ReadonlyMap<string, Route>): Answer {
  const allowed = allowedMethods(methods);
  return { problem: 'method-not-allowed', detail: `This address takes ${allowed}.`, headers: { Allow: allowed } };
}

/** What the runtime says of an error that an object call ended with. */
interface ObjectError extends Error {
  readonly overloaded?: boolean;
  readonly retryable?: boolean;
}

function failure(exchange: Exchange, error: unknown): Response {
  const { message, stack, overloaded, retryable }: ObjectError =
    error instanceof Error ? error : new Error(String(error));
  console.error(JSON.stringify({ level: 'error', requestId: exchange.requestId, message, stack }));
  if (overloaded || retryable) {
    return problemResponse(exchange, {
      problem: 'overloaded',
      detail: 'Try again in a moment, with the same Idempotency-Key if you sent one.',
      headers: { 'Retry-After': String(RETRY_AFTER_S) },
    });
  }
  if (error instanceof ReadModelError) {
    return problemResponse(exchange, {
      problem: 'read-model-unavailable',
      detail: 'What is looked up in the read models cannot be had. Contexts can be read and changed by their own ids.',
      headers: { 'Retry-After': String(READ_MODEL_RETRY_AFTER_S) },
    });
  }
  return problemResponse(exchange, {
    problem: 'internal',
    detail: `This is a fault of ours. Tell us the request id ${exchange.requestId}.`,
  });
}
