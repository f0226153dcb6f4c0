import type { Principal } from '../../actors/principal.ts';
import { contextId, contextObject } from '../http/contexts.ts';
import type { Exchange } from '../http/exchange.ts';
import { isProblem, type Problem } from '../http/problem.ts';
import { identify } from './identify.ts';

/**
 * Finds out who calls, also by a single-use ticket for the context in the path (`?ticket=`), for clients that cannot send
 * headers. A ticket that is not good (any more) is as good as none.
 */
export async function identifyWithTicket(exchange: Exchange): Promise<Principal | Problem> {
  const ticket = new URL(exchange.request.url).searchParams.get('ticket');
  const id = ticket === null ? null : await contextId(exchange);
  if (ticket === null || id === null || isProblem(id)) return identify(exchange);
  return (await contextObject(exchange, id).redeemTicket(ticket)) ?? identify(exchange);
}
