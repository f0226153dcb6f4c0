import type { Principal } from '../../actors/principal.ts';
import { contextId, contextObject } from '../http/contexts.ts';
import type { Exchange } from '../http/exchange.ts';
import { isProblem, type Problem } from '../http/problem.ts';
import { isStillGood } from '../live/socket.ts';
import { identify } from './identify.ts';

/**
 * Finds out who calls, also by a single-use ticket for the context in the path (`?ticket=`), for clients that cannot send
 * headers. A ticket that is not good (any more) is as good as none, and so is one whose owner's rights have ended since.
 */
export async function identifyWithTicket(exchange: Exchange): Promise<Principal | Problem> {
  const ticket = new URL(exchange.request.url).searchParams.get('ticket');
  const id = ticket === null ? null : await contextId(exchange);
  if (ticket === null || id === null || isProblem(id)) return identify(exchange);
  const principal = await contextObject(exchange, id).redeemTicket(ticket);
  if (principal === null || !(await isStillGood(exchange.env, id, principal))) return identify(exchange);
  return principal;
}
