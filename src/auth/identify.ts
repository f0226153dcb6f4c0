import type { Principal } from '../../actors/principal.ts';
import type { Exchange } from '../http/exchange.ts';
import { isProblem, type Problem } from '../http/problem.ts';
import { noteGuess, refuseGuess } from '../limits/guesses.ts';
import { authenticate } from './authenticate.ts';
import { whenKnown } from './when-known.ts';

/** Finds out who calls. A wrong credential counts as a guess. */
export function identify(exchange: Exchange): Principal | Problem | Promise<Principal | Problem> {
  const refusal = refuseGuess(exchange);
  if (refusal) return refusal;
  return whenKnown(authenticate(exchange), (principal) => {
    if (!isProblem(principal)) noteGuess(exchange, true);
    else if (principal.problem === 'unauthorized') noteGuess(exchange, false);
    return principal;
  });
}

/** Finds out whether who calls still is who they were, for an answer that goes on: no use of theirs is taken again. */
export function identifyAgain(exchange: Exchange): Principal | Problem | Promise<Principal | Problem> {
  return authenticate(exchange, false);
}
