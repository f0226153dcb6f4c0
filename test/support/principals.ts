import { type Principal, SCOPES } from '../../actors/principal.ts';
import { BOOTSTRAP_ACTOR } from '../../src/auth/bootstrap-actor.ts';

/** An actor with a key that is good for everything that they may do. */
export function principalOf(actor: string, more: Partial<Principal> = {}): Principal {
  return {
    actor,
    subject: actor,
    capabilities: [],
    scopes: SCOPES,
    contexts: null,
    credential: { kind: 'api-key', id: `key of ${actor}` },
    chain: [],
    expiresAt: null,
    ...more,
  };
}

/** The first administrator. */
export const ADMINISTRATOR: Principal = principalOf(BOOTSTRAP_ACTOR, { capabilities: ['administrator'] });
