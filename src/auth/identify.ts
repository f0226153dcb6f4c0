import type { Principal } from '../../actors/principal.ts';
import type { Exchange } from '../http/exchange.ts';
import { isProblem, type Problem } from '../http/problem.ts';
import { admitStranger } from '../limits/admit.ts';
import { noteGuess, refuseGuess, showsCredential } from '../limits/guesses.ts';
import { authenticate, refuseAction, showsMetricsKey, UNAUTHORIZED } from './authenticate.ts';
import { whenKnown } from './when-known.ts';

/** Finds out who calls. A wrong credential counts as a guess, none against the limit of those who send none. */
export function identify(exchange: Exchange): Principal | Problem | Promise<Principal | Problem> {
  const refusal = refuseGuess(exchange);
  if (refusal) return refusal;
  if (!showsCredential(exchange.request)) return refuseStranger(exchange);
  return whenKnown(authenticate(exchange), (principal) => {
    if (!isProblem(principal)) noteGuess(exchange, true);
    else if (principal.problem === 'unauthorized') noteGuess(exchange, false);
    return principal;
  });
}

function refuseStranger(exchange: Exchange): Problem {
  const admission = admitStranger(exchange);
  if (isProblem(admission)) return admission;
  return { ...UNAUTHORIZED, headers: { ...UNAUTHORIZED.headers, ...admission.headers } };
}

/**
 * Tells whether a request may read the metrics: with the key that is only for them, or as anybody who may read what
 * administrators read. What is wrong counts as a guess here as well.
 *
 * @returns why it may not, null when it may
 */
export async function mayReadMetrics(exchange: Exchange): Promise<Problem | null> {
  const refusal = refuseGuess(exchange);
  if (refusal) return refusal;
  if (showsMetricsKey(exchange)) {
    noteGuess(exchange, true);
    return null;
  }
  const principal = await identify(exchange);
  return isProblem(principal) ? principal : refuseAction(principal, 'admin.read');
}

/** Finds out whether who calls still is who they were, for an answer that goes on: no use of theirs is taken again. */
export function identifyAgain(exchange: Exchange): Principal | Problem | Promise<Principal | Problem> {
  return authenticate(exchange, false);
}

const LESS_THAN_BEFORE: Problem = {
  problem: 'forbidden',
  detail: 'You have lost a capability while your request was under way. Send it again for what you may do without.',
};

/**
 * Why a caller may not go on with what took long to come: their credential has ended meanwhile, or a capability of theirs.
 * The rest of what a credential is good for never changes.
 *
 * @param before who they were when it began
 * @returns the problem to answer with: 401 or 403; null when they may
 */
export async function refuseEnded(exchange: Exchange, before: Principal): Promise<Problem | null> {
  const now = await identifyAgain(exchange);
  if (isProblem(now)) return now;
  return before.capabilities.every((capability) => now.capabilities.includes(capability)) ? null : LESS_THAN_BEFORE;
}
