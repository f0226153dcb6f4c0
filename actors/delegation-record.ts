import type { ActorEvent } from '../events/actor.ts';
import type { Envelope } from '../events/envelope.ts';
import { type Delegation, evolveDelegations, statusAt } from './actor-delegations.ts';
import { type Recorded, recorded } from './decider.ts';

/** A delegation as those between whom the rights passed get to see it. */
export type DelegationRecord = Delegation & {
  /** Who handed the rights on. */
  readonly by: string;
  readonly status: ReturnType<typeof statusAt> | 'revoked';
  /** When it was revoked, null when it was not. */
  readonly revokedAt: string | null;
};

/** A delegation that has not been revoked, as it stands at a time (ISO 8601). */
export function recordOf(delegation: Delegation, by: string, at: string): DelegationRecord {
  return { ...delegation, by, status: statusAt(delegation, at), revokedAt: null };
}

/**
 * Finds a delegation that has ended in the history of the actor who made it: their state knows the living ones only.
 *
 * @param pages the history, as texts of events, oldest first
 */
export async function findInHistory(
  pages: AsyncIterable<readonly string[]>,
  id: string,
  by: string,
  at: string,
): Promise<DelegationRecord | null> {
  const mark = `"delegation":"${id}"`;
  let found: Delegation | undefined;
  for await (const texts of pages) {
    for (const text of texts.filter((each) => each.includes(mark))) {
      const event = openEvent(text);
      if (event.type === 'delegation_revoked' && found) {
        return { ...recordOf(found, by, at), status: 'revoked', revokedAt: event.time };
      }
      if (event.type === 'delegation_granted' || event.type === 'delegation_used') {
        found = evolveDelegations(found ? [found] : [], event, event.time).at(-1);
      }
    }
  }
  return found ? recordOf(found, by, at) : null;
}

function openEvent(text: string): Recorded<ActorEvent> {
  const envelope: Envelope = JSON.parse(text);
  return recorded<ActorEvent>(envelope);
}
