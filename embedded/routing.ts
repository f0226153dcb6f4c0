import type { z } from 'zod';
import { isChittyId } from '../events/chitty-id.ts';
import type { EmbeddedEnv } from './env.ts';
import { idempotencyKey, readBody, validate } from './input.ts';
import { invalid, isProblem, type Problem } from './problem.ts';

/** A request to a service, as its routes see it. */
export interface Call {
  readonly env: EmbeddedEnv;
  /** The path's parameters, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly idempotencyKey: string | null;
  /** The entity that the call is about: X-ChittyID. */
  readonly chittyId: string | null;
  /** When the request came, in milliseconds since 1970. */
  readonly now: number;
}

/** What a route answers with, when it is not a problem. */
export interface Reply {
  readonly status: number;
  /** JSON text; empty for 204. */
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a route gives. */
export type Answer = Reply | Problem;

/** A line of a service's route table. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** The path; a segment `:name` stands for any one segment. */
  readonly path: string;
  handle(call: Call, request: Request): Promise<Answer>;
}

const JSON_BODY: readonly string[] = ['application/json'];

/** A JSON reply. */
export function reply(value: object, status = 200, headers?: Readonly<Record<string, string>>): Reply {
  return { status, text: JSON.stringify(value), ...(headers && { headers }) };
}

/** A reply from text that is JSON already; `isNew` tells a creation (201) from its repetition. */
export function replyText(text: string, isNew: boolean): Reply {
  return { status: 201, text, ...(!isNew && { headers: { 'Idempotent-Replayed': 'true' } }) };
}

/** A route that reads, its query checked by `schema`. */
export function get<Query>(
  path: string,
  schema: z.ZodType<Query>,
  handle: (call: Call, query: Query) => Promise<Answer> | Answer,
): Route {
  return {
    method: 'GET',
    path,
    async handle(call, request) {
      const query = validate(schema, Object.fromEntries(new URL(request.url).searchParams));
      return isProblem(query) ? query : handle(call, query);
    },
  };
}

/** A route that takes a JSON body, checked by `schema`. */
export function post<Body>(
  path: string,
  schema: z.ZodType<Body>,
  handle: (call: Call, body: Body) => Promise<Answer> | Answer,
  { method = 'POST', mediaTypes = JSON_BODY }: { method?: 'POST' | 'PUT'; mediaTypes?: readonly string[] } = {},
): Route {
  return {
    method,
    path,
    async handle(call, request) {
      const body = await readBody(request, schema, mediaTypes);
      return isProblem(body) ? body : handle(call, body);
    },
  };
}

/** Finds the route of a request and lets it answer: 404 for unknown paths, 405 for known ones with another method. */
export async function dispatch(
  routes: readonly Route[],
  request: Request,
  path: string,
  env: EmbeddedEnv,
): Promise<Answer> {
  // The runtime sends the headers of an answer to HEAD and drops its body.
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const allowed: string[] = [];
  for (const route of routes) {
    const params = matchPath(route.path, path);
    if (!params) continue;
    if (route.method === method) {
      const key = idempotencyKey(request);
      if (isProblem(key)) return key;
      const chittyId = request.headers.get('X-ChittyID');
      if (chittyId !== null && !isChittyId(chittyId)) return invalid('X-ChittyID', 'must be a ChittyID');
      return route.handle({ env, params, idempotencyKey: key, chittyId, now: Date.now() }, request);
    }
    allowed.push(route.method);
  }
  if (allowed.length === 0) return { problem: 'not-found', detail: 'There is no such route.' };
  const list = [...new Set(allowed.flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name])))].join(', ');
  return { problem: 'method-not-allowed', detail: `This address takes ${list}.`, headers: { Allow: list } };
}

/** The parameters of `path` when it has the form of `pattern`, else null. */
function matchPath(pattern: string, path: string): Record<string, string> | null {
  const [expected, given] = [pattern.split('/'), path.split('/')];
  if (expected.length !== given.length) return null;
  const params: [string, string][] = [];
  for (const [index, part] of expected.entries()) {
    const segment = given[index] ?? '';
    if (!part.startsWith(':')) {
      if (part !== segment) return null;
    } else {
      const value = decodeSegment(segment);
      if (!value) return null;
      params.push([part.slice(1), value]);
    }
  }
  return Object.fromEntries(params);
}

function decodeSegment(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}
