import type { Principal } from '../../actors/principal.ts';
import type { Exchange } from '../http/exchange.ts';
import { isProblem, type Problem } from '../http/problem.ts';
import { noteGuess, refuseGuess } from '../limits/guesses.ts';
import { authenticate } from './authenticate.ts';

/** Finds out who calls. A wrong credential counts as a guess. */
export function identify(exchange: Exchange): Principal | Problem | Promise<Principal | Problem> {
  const refusal = refuseGuess(exchange);
  if (refusal) return refusal;
  return whenKnown(authenticate(exchange.request, exchange.env), (principal) => {
    if (!isProblem(principal)) noteGuess(exchange, true);
    else if (principal.problem === 'unauthorized') noteGuess(exchange, false);
    return principal;
  });
}

/** Goes on at once with what is there at once: most credentials are known, and waiting for nothing takes time too. */
export function whenKnown<Value, Result>(
  value: Value | Promise<Value>,
  next: (value: Value) => Result | Promise<Result>,
): Result | Promise<Result> {
  return value instanceof Promise ? value.then(next) : next(value);
}
