import type { AuthenticatedExchange } from '../http/exchange.ts';
import type { Route } from '../http/route.ts';
import { describe, record } from './trail.ts';

/**
 * Records what an administrator has done to a stream that no event of its own tells of, before it is done: what cannot be
 * recorded is not done.
 *
 * @param stream `<stream type>/<id>`
 */
export async function recordAct(exchange: AuthenticatedExchange, route: Route, stream: string): Promise<void> {
  const { principal } = exchange;
  const data = { ...describe(route, principal.credential.kind, principal, stream), reason: 'administration' };
  await record(exchange, principal, { type: 'administered', data }, principal.actor, null);
}
