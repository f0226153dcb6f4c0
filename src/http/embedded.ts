import type { AuthenticatedExchange } from './exchange.ts';
import { problems } from './operations.ts';
import type { Answer, AuthenticatedRoute } from './route.ts';

/** Where the embedded services take requests by path prefix; the host only has to be none of theirs. */
const EMBEDDED_ORIGIN = 'http://127.0.0.1';

/** What is in the way of a request to the embedded services. */
const PREFIX = '/embedded';

/**
 * The embedded ChittyOS services, to look at them and to switch their faults: `/embedded/chronicle/api/timeline/ctx_…`,
 * `/embedded/faults/dna`. There only where they are embedded; with the services' own tokens set there is nothing here.
 */
function embeddedRoute(method: 'GET' | 'POST' | 'PUT' | 'DELETE', summary: string): AuthenticatedRoute {
  return {
    method,
    path: `${PREFIX}/:path+`,
    access: method === 'GET' ? 'admin.read' : 'admin.write',
    operation: {
      operationId: `embedded${method}`,
      tags: ['administration'],
      summary: `${summary} the embedded ChittyOS services`,
      description: 'Only where they are embedded. embedded/README.md lists what they answer.',
      ...((method === 'POST' || method === 'PUT') && {
        requestBody: { required: false, content: { 'application/json': { schema: {} } } },
      }),
      responses: {
        200: { description: 'What the service answers', content: { 'application/json': { schema: {} } } },
        ...problems(400, 401, 403, 404),
      },
    },
    handle: forward,
  };
}

export const embeddedRoutes: readonly AuthenticatedRoute[] = [
  embeddedRoute('GET', 'Read from'),
  embeddedRoute('POST', 'Write to'),
  embeddedRoute('PUT', 'Switch a fault of'),
  embeddedRoute('DELETE', 'Switch off a fault of'),
];

async function forward({ request, env, headers }: AuthenticatedExchange): Promise<Answer> {
  const { CHITTYOS, CHITTYOS_TOKEN } = env;
  if (!CHITTYOS || !CHITTYOS_TOKEN) {
    return { problem: 'not-found', detail: 'No ChittyOS services are embedded here; the real ones are called.' };
  }
  const { pathname, search } = new URL(request.url);
  const forwarded = new Headers({ Authorization: `Bearer ${CHITTYOS_TOKEN}` });
  for (const name of ['Content-Type', 'Idempotency-Key', 'X-ChittyID']) {
    const value = request.headers.get(name);
    if (value !== null) forwarded.set(name, value);
  }
  const answer = await CHITTYOS.fetch(EMBEDDED_ORIGIN + pathname.slice(PREFIX.length) + search, {
    method: request.method,
    headers: forwarded,
    body: request.body,
  });
  const response = new Response(answer.body, answer);
  for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
  return response;
}
