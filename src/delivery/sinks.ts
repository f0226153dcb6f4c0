import type { ContextState } from '../../actors/context.ts';
import type { Sink } from '../../actors/outbox.ts';
import { SYSTEM_ACTOR } from '../../actors/system-actor.ts';
import type { Envelope } from '../../events/envelope.ts';
import { projectChittyId } from '../../projections/chitty-ids.ts';
import { projectContexts } from '../../projections/contexts.ts';
import { toCloudEvent } from './cloud-event.ts';

/** The sink that keeps the read models in D1: whatever happened, it writes the latest state, in one upsert. */
export function readModelSink(db: D1Database): Sink<ContextState> {
  return {
    destinations: ['d1'],
    // The service's own context is no one's to find.
    isReady: (_destination, state) => state !== null && state.owner !== SYSTEM_ACTOR,
    async deliver({ state, version }) {
      if (state !== null) {
        await projectContexts(db, [state]);
        if (state.chittyId !== null) await projectChittyId(db, state.chittyId, state.id);
      }
      return { confirmed: version };
    },
  };
}

/**
 * The sink that sends events to ChittyOS. One message carries all the events that fit; its consumer delivers them and
 * reports what arrived (`src/delivery/consumer.ts`), which is what moves the cursors. The two destinations share the
 * messages: each takes an event twice without harm, so a message begins where the one that is further behind stands.
 */
export function queueSink(queue: Queue): Sink<ContextState> {
  return {
    destinations: ['chronicle', 'dna'],
    // There is no DNA record to evolve before ChittyDNA has made one.
    isReady: (destination, state) => state !== null && (destination !== 'dna' || dnaId(state) !== null),
    async deliver({ state, events }) {
      const batch = events();
      const references = { chittyId: state?.chittyId ?? null, dnaId: dnaId(state) };
      const message = batch.map(({ text }) => {
        const envelope: Envelope = JSON.parse(text);
        return toCloudEvent(envelope, references);
      });
      await queue.send(message, { contentType: 'json' });
      return { sent: batch.at(-1)?.version ?? 0 };
    },
  };
}

function dnaId(state: ContextState): string | null {
  return state?.provisioning.steps.initializeDna?.reference ?? null;
}
