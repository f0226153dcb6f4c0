import type { Exchange } from './exchange.ts';
import { PROBLEMS, type Problem, problemBody } from './problem.ts';

/** A JSON response from text that is JSON already. */
export function jsonText(
  exchange: Exchange,
  status: number,
  text: string,
  headers?: Readonly<Record<string, string>>,
): Response {
  return new Response(text, {
    status,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...exchange.headers, ...headers },
  });
}

/** A response without a body. */
export function empty(exchange: Exchange, status: 204 | 304, headers?: Readonly<Record<string, string>>): Response {
  return new Response(null, { status, headers: { ...exchange.headers, ...headers } });
}

/** A problem as `application/problem+json` (RFC 9457). */
export function problemResponse(exchange: Exchange, problem: Problem): Response {
  const { pathname } = new URL(exchange.request.url);
  return jsonText(exchange, PROBLEMS[problem.problem].status, JSON.stringify(problemBody(problem, pathname)), {
    'Content-Type': 'application/problem+json',
    ...problem.headers,
  });
}
