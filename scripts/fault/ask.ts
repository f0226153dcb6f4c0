import type { Target } from './writers.ts';

/** How a request differs from a plain GET. */
interface AskInit {
  readonly method?: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly accept?: string;
  readonly ifMatch?: string;
  /** Sent as JSON. */
  readonly json?: object;
}

/**
 * Asks the server something that is none of the writers' changes, on a connection of its own: one that has been idle may
 * be closed by the server just when it is used again, and a request that is lost that way looks like a fault.
 */
export function ask({ url, apiKey }: Target, path: string, init: AskInit = {}): Promise<Response> {
  const { method = 'GET', accept = 'application/json', ifMatch, json } = init;
  return fetch(url + path, {
    method,
    headers: {
      Authorization: `Bearer ${apiKey}`,
      Accept: accept,
      Connection: 'close',
      ...(ifMatch && { 'If-Match': ifMatch }),
      ...(json && { 'Content-Type': 'application/json' }),
    },
    ...(json && { body: JSON.stringify(json) }),
  });
}
