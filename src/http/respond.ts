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

/** A response without a body; a 304 has the headers that the 200 would have (RFC 9110, section 15.4.5). */
export function empty(exchange: Exchange, status: 204 | 304, headers?: Readonly<Record<string, string>>): Response {
  return new Response(null, { status, headers: { 'Cache-Control': 'no-store', ...exchange.headers, ...headers } });
}

/** A problem as `application/problem+json` (RFC 9457). */
export function problemResponse(exchange: Exchange, problem: Problem): Response {
  const { url } = exchange.request;
  const instance = URL.canParse(url) ? new URL(url).pathname : '/';
  return jsonText(exchange, PROBLEMS[problem.problem].status, JSON.stringify(problemBody(problem, instance)), {
    'Content-Type': 'application/problem+json',
    ...problem.headers,
  });
}
