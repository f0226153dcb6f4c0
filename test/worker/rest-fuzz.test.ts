import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { routes } from '../../src/http/routes.ts';
import { api, createContext } from '../support/api.ts';
import { derivedId, history, historyText, remove } from '../support/rest.ts';
import { printedSeed } from '../support/seed.ts';

/** Requests in one run. */
const REQUESTS = 10_000;
/** Requests that are on their way at once. */
const BATCH = 50;

/** Text with what breaks things: NUL, lone surrogates, direction marks, quotes, escapes, prototype keys, huge runs. */
const oddText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ maxLength: 20 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }).map((units) => String.fromCharCode(...units)),
  fc.constantFrom(
    '',
    ' ',
    '\0',
    '\ud800',
    '\udfff\ud800',
    '\u202e',
    '\ufeff',
    '__proto__',
    'constructor',
    '%00',
    '..%2f',
    '/',
    '~1',
    '"',
  ),
  fc.constantFrom('/name', '/metadata/a', '/metadata/~', '2026-01-31T12:00:00Z', '0000000000000001_5f0c1a9e'),
  fc.constantFrom('1', '-1', '0', 'now', 'null', 'NaN', '1e309', '9007199254740993', '2026-02-30T25:61:61Z'),
  fc.nat(300).map((length) => 'x'.repeat(length * 10)),
);

/** Text that a header can carry at all. */
const headerText = oddText.map((text) => text.replace(/[^\x20-\x7e]/g, '').trim());

const json = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  oddText,
  fc.constantFrom(null, true, 0, -0, 1e308, [], {}, [[[[]]]]),
  fc.dictionary(oddText, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 5 }),
);

/** A body that is nearly right. */
const nearlyRight = fc.record(
  {
    name: fc.oneof(fc.constantFrom('A name', 'Größe 😀'), json),
    description: fc.oneof(fc.string(), json),
    systems: fc.oneof(fc.array(oddText, { maxLength: 4 }), json),
    tools: fc.oneof(fc.array(fc.constantFrom('a', 'b'), { maxLength: 3 }), json),
    metadata: fc.oneof(fc.dictionary(fc.constantFrom('a', 'b', 'c'), json, { maxKeys: 3 }), json),
    owner: json,
    version: json,
  },
  { requiredKeys: [] },
);

/** The body of a revert, or nearly one. */
const revert = fc.record(
  {
    to: fc.oneof(fc.constantFrom<unknown>(1, 2, 3, '2026-01-31T12:00:00Z'), json),
    fields: fc.oneof(fc.subarray(['name', 'description', 'systems', 'tools', 'metadata']), json),
    onConflict: fc.oneof(fc.constantFrom('refuse', 'overwrite'), json),
  },
  { requiredKeys: ['to'] },
);

const body: fc.Arbitrary<string | Uint8Array<ArrayBuffer> | undefined> = fc.oneof(
  { weight: 5, arbitrary: nearlyRight.map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: json.map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: revert.map((value) => JSON.stringify(value)) },
  // A valid text that is cut off or has something put in.
  {
    weight: 1,
    arbitrary: fc
      .tuple(nearlyRight, fc.nat(60), oddText)
      .map(([value, at, text]) => JSON.stringify(value).slice(0, at) + text.toWellFormed()),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => new Uint8Array(bytes)) },
  { weight: 1, arbitrary: fc.nat(20_000).map((depth) => `{"name":"x","metadata":${'{"a":['.repeat(depth)}`) },
  { weight: 1, arbitrary: fc.constantFrom('', undefined, '[', '"') },
  { weight: 1, arbitrary: fc.constant('{"name":"x"}') },
);

/** Each header that the API reads, or that proxies and frameworks do, with values that mean something. */
const meaningful: Record<string, readonly string[]> = {
  Accept: ['application/json', 'application/x-ndjson', 'text/event-stream', '*/*;q=0.1, text/*'],
  Authorization: ['Bearer', 'Bearer x', 'Basic eDp5'],
  'Content-Encoding': ['gzip', 'identity'],
  'Content-Type': ['application/json', 'application/merge-patch+json; charset=utf-8', 'text/plain'],
  'Idempotency-Key': ['k1', 'k2', 'k'.repeat(256)],
  'If-Match': ['"1"', '"2", "3"', 'W/"1"', '*', '"2'],
  'If-None-Match': ['"1"', 'W/"2"', '*', '"2'],
  'Last-Event-ID': ['0000000000000001_5f0c1a9e', '-1', 'now'],
  Origin: ['https://app.example', 'null'],
  Prefer: ['wait=1', 'return=minimal'],
  Range: ['bytes=0-1'],
  Upgrade: ['websocket', 'WebSocket', 'h2c'],
  'X-API-Key': ['x'],
  'X-HTTP-Method-Override': ['DELETE'],
  'X-Request-Id': ['r1', '<script>'],
  traceparent: ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
};

const header = fc
  .constantFrom(...Object.keys(meaningful))
  .chain((name) =>
    fc.tuple(
      fc.constant(name),
      fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom(...(meaningful[name] ?? [])) },
        { weight: 1, arbitrary: headerText },
      ),
    ),
  );

/** Query parameters that some route takes, and others. */
const parameters = ['at', 'offset', 'limit', 'after', 'ticket', 'from', 'to', 'pointer', 'cursor', 'x', '__proto__'];

const query = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.tuple(fc.constantFrom(...parameters), oddText), {
        maxLength: 3,
      })
      .map(
        (pairs) => `?${pairs.map(([key, value]) => `${key}=${encodeURIComponent(value.toWellFormed())}`).join('&')}`,
      ),
  },
  { weight: 1, arbitrary: oddText.map((text) => `?${text.replace(/[^\x21-\x7e]/g, '%ff').replaceAll('#', '')}`) },
);

/** The request of one step; `id` picks one of the contexts, of which one begins as deleted. */
function requests(ids: readonly string[], deleted: string) {
  const id = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...ids) },
    { weight: 1, arbitrary: oddText.map((text) => encodeURIComponent(text.toWellFormed())) },
  );
  const address = (path: string) => id.map((value) => path.replace(':id', value));
  const known = fc
    .constantFrom(...routes)
    .chain(({ method, path }) => fc.record({ method: fc.constant<string>(method), path: address(path) }));
  const wrongMethod = fc.record({
    method: fc.constantFrom('GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'PROPFIND', 'SEARCH', 'patch'),
    path: fc.constantFrom(...routes.map((route) => route.path)).chain(address),
  });
  const oddPath = fc
    .array(fc.oneof(fc.constantFrom('v1', 'contexts', '..', '.', '', '%2e%2e', ...ids), oddText), { maxLength: 6 })
    .map(
      (parts) => `/${parts.map((part) => (part === '..' ? part : encodeURIComponent(part.toWellFormed()))).join('/')}`,
    );
  const oddAddress = fc.record({ method: fc.constantFrom('GET', 'POST', 'PATCH', 'DELETE'), path: oddPath });
  return fc.record({
    target: fc.oneof(
      { weight: 8, arbitrary: known },
      // Few of the many routes take the bodies that are made here, and few refuse something because a context is deleted.
      { weight: 2, arbitrary: fc.constant({ method: 'POST', path: '/v1/contexts' }) },
      { weight: 1, arbitrary: address('/v1/contexts/:id').map((path) => ({ method: 'GET', path })) },
      { weight: 1, arbitrary: fc.constant({ method: 'DELETE', path: `/v1/contexts/${deleted}` }) },
      { weight: 1, arbitrary: wrongMethod },
      { weight: 1, arbitrary: oddAddress },
    ),
    query,
    headers: fc.array(header, { maxLength: 3 }).map((pairs): Record<string, string> => Object.fromEntries(pairs)),
    body,
    // Most bodies come with the right media type: otherwise the first check would be the only one tried.
    isTyped: fc.integer({ min: 0, max: 9 }).map((digit) => digit > 0),
    asStream: fc.boolean(),
  });
}
type FuzzedRequest = ReturnType<typeof requests> extends fc.Arbitrary<infer Value> ? Value : never;

/** Sends a request. @returns the status, and what is wrong with the answer if something is */
async function send(request: FuzzedRequest): Promise<{ status: number; fault: string | null }> {
  const { target, query, headers, body, isTyped, asStream } = request;
  const { method, path } = target;
  // A DELETE takes no body: with one it would nearly always be refused for that.
  const hasBody = body !== undefined && method !== 'GET' && method !== 'HEAD' && !(method === 'DELETE' && asStream);
  // A HEAD that would be a stream or a WebSocket never ends inside the test's runtime; real servers drop the body.
  const { Upgrade, Accept, ...others } = headers;
  const sent = method === 'HEAD' ? others : { ...others, ...(Upgrade && { Upgrade }), ...(Accept && { Accept }) };
  const response = await api(path + query, {
    method,
    headers: { ...(isTyped && { 'Content-Type': 'application/json' }), ...sent },
    ...(hasBody && { body: asStream ? new Response(body).body : body }),
  });
  response.webSocket?.accept();
  response.webSocket?.close();
  const isEndless = response.webSocket || response.headers.get('Content-Type') === 'text/event-stream';
  if (isEndless) await response.body?.cancel();
  const text = isEndless ? '' : new TextDecoder().decode(await response.arrayBuffer());
  const fault = faultOf(method, response, text);
  return { status: response.status, fault: fault && `${fault}\n${JSON.stringify(request)}` };
}

/** What is wrong with an answer, null when nothing is. */
function faultOf(method: string, { status, headers }: Response, text: string): string | null {
  if (status >= 500) return `${status} ${text}`;
  if (!headers.get('X-Request-Id') && status !== 101) return 'no X-Request-Id';
  if (status < 400 || method === 'HEAD') return null;
  if (headers.get('Content-Type') !== 'application/problem+json') return `${status} is no problem+json`;
  const problem: { status?: unknown } = JSON.parse(text);
  if (problem.status !== status) return `${status} but the body says ${String(problem.status)}`;
  return /\n {4}at |\.ts:\d/.test(text) ? `a stack: ${text}` : null;
}

describe('ten thousand fuzzed requests', () => {
  it('get no 5xx, every refusal is a problem, and no history is left with a gap', { timeout: 600_000 }, async () => {
    const seed = printedSeed('REST fuzz');
    const [active, other, deleted] = [await createContext(), await createContext(), await createContext()];
    await remove(deleted.id);
    const ids = [active.id, other.id, deleted.id, derivedId('ctx', 'fuzz: nobody'), 'ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'];
    const statuses: Record<number, number> = {};
    const started = Date.now();
    await fc.assert(
      fc.asyncProperty(
        fc.array(requests(ids, deleted.id), { minLength: BATCH, maxLength: BATCH, size: 'max' }),
        async (batch) => {
          const answers = await Promise.all(batch.map(send));
          for (const { status } of answers) statuses[status] = (statuses[status] ?? 0) + 1;
          expect(answers.map((answer) => answer.fault).filter((fault) => fault !== null)).toEqual([]);
        },
      ),
      { seed, numRuns: REQUESTS / BATCH, endOnFailure: true },
    );
    console.log(`REST fuzz: ${JSON.stringify(statuses)} in ${Date.now() - started} ms`);
    expect(Object.values(statuses).reduce((sum, count) => sum + count)).toBe(REQUESTS);
    // A run in which everything fails at the first check would show nothing.
    for (const status of [200, 201, 204, 400, 401, 404, 405, 409, 410, 415]) {
      expect(statuses[status], String(status)).toBeGreaterThan(0);
    }
    for (const { id } of [active, other, deleted]) {
      const versions = (await history(id)).map((event) => event.version);
      expect(versions).toEqual(versions.map((_, index) => index + 1));
      expect(await historyText(id)).not.toContain(String(env.BOOTSTRAP_API_KEY));
    }
  });
});
