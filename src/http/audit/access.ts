import { isAdministrator, isAuditor } from '../../../actors/access.ts';
import type { AuditFilter } from '../../../projections/audit.ts';
import { contextObject } from '../contexts.ts';
import type { AuthenticatedExchange } from '../exchange.ts';
import { type Problem, problemOf } from '../problem.ts';

/** Which entries somebody may see: any that fit one of these; null for all. */
export type Visible = readonly AuditFilter[] | null;

/**
 * Decides which part of the trail somebody may see: administrators and auditors all of it, the owners and auditors of a
 * context what is about it, everybody what they did, what was done in their name and what is about themselves.
 *
 * @param stream the one stream that is asked about, when it is one
 */
export async function visibleTo(
  exchange: AuthenticatedExchange,
  stream: string | undefined,
): Promise<Visible | Problem> {
  const { principal } = exchange;
  if (stream?.startsWith('context/')) {
    // The context decides, also whether it is there at all for the caller.
    const refusal = await contextObject(exchange, stream.slice('context/'.length)).refuseAudit(principal);
    return refusal ? problemOf(refusal) : null;
  }
  if (principal.contexts !== null) {
    const detail = 'Your credential is good for some contexts only. Ask about one of them, with context=.';
    return { problem: 'forbidden', detail };
  }
  if (isAdministrator(principal) || isAuditor(principal)) return null;
  // What somebody does with the rights of another they do in the other's name.
  const { subject } = principal;
  // By an entry of what is hidden from them they would learn that it is there: what is not leaves none.
  const own = { withoutHidden: true } as const;
  return [{ actor: subject, ...own }, { subject, ...own }, { stream: `actor/${subject}` }];
}
