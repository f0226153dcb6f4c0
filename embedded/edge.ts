import type { EmbeddedEnv } from './env.ts';
import { faultRoutes } from './faults.ts';
import { equalSecrets, noQuery } from './input.ts';
import { misbehave } from './misbehave.ts';
import { isProblem, notFound, type Problem, problemResponse } from './problem.ts';
import { type Answer, dispatch, get, type Route, reply } from './routing.ts';
import { isServiceName, SERVICE_NAMES, type ServiceName } from './service-names.ts';
import { SERVICE_ROUTES } from './services.ts';
import { single } from './storage.ts';

/** The domain of the services: `id.chitty.cc` is the host of `id`. */
const DOMAIN = '.chitty.cc';
/** The host that has the switches for faults. */
const ADMIN_HOST = `embedded${DOMAIN}`;

const UNAUTHORIZED: Problem = {
  problem: 'unauthorized',
  detail: 'Send the service token as "Authorization: Bearer <token>".',
  headers: { 'WWW-Authenticate': 'Bearer realm="chittyos"' },
};

/** What every service answers beside its own routes. */
const healthRoute: Route = get('/health', noQuery, () => reply({ status: 'ok' }));

/** Where a request leads: to a service or to the switches, and the path there. */
interface Destination {
  readonly service: ServiceName | 'admin';
  readonly path: string;
}

/** Answers a request by host or by path prefix. Never throws. */
export async function handleRequest(request: Request, env: EmbeddedEnv): Promise<Response> {
  const { pathname } = new URL(request.url);
  try {
    if (!isAuthorized(request, env)) return problemResponse(UNAUTHORIZED, pathname);
    const destination = destinationOf(request);
    if (!destination) return problemResponse(notFound(`such service; there are ${SERVICE_NAMES.join(', ')}`), pathname);
    const { service, path } = destination;
    if (service === 'admin') return respond(await dispatch(faultRoutes, request, path, env), pathname);
    const serve = async () =>
      respond(await dispatch([healthRoute, ...SERVICE_ROUTES[service]], request, path, env), pathname);
    const fault = await single(env.FAULTS).faultOf(service);
    return fault ? await misbehave(fault, pathname, serve) : await serve();
  } catch (error) {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    console.error(JSON.stringify({ level: 'error', path: pathname, message, stack }));
    return problemResponse({ problem: 'internal', detail: 'This is a fault of the embedded services.' }, pathname);
  }
}

function isAuthorized(request: Request, { CHITTYOS_TOKEN: expected }: EmbeddedEnv): boolean {
  const given = /^Bearer +([\x21-\x7e]+)$/i.exec(request.headers.get('Authorization') ?? '')?.[1];
  return given !== undefined && !!expected && equalSecrets(given, expected);
}

function destinationOf(request: Request): Destination | null {
  const { hostname, pathname } = new URL(request.url);
  if (hostname === ADMIN_HOST) return { service: 'admin', path: pathname };
  const label = hostname.endsWith(DOMAIN) ? hostname.slice(0, -DOMAIN.length) : null;
  if (label !== null) return isServiceName(label) ? { service: label, path: pathname } : null;
  const [, prefix = ''] = pathname.split('/', 2);
  if (prefix === 'faults') return { service: 'admin', path: pathname };
  return isServiceName(prefix) ? { service: prefix, path: pathname.slice(prefix.length + 1) || '/' } : null;
}

function respond(answer: Answer, instance: string): Response {
  if (isProblem(answer)) return problemResponse(answer, instance);
  const headers = { 'Cache-Control': 'no-store', ...answer.headers };
  if (answer.status === 204) return new Response(null, { status: 204, headers });
  return new Response(answer.text, {
    status: answer.status,
    headers: { ...headers, 'Content-Type': 'application/json' },
  });
}
