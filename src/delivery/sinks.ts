import { contextView } from '../../actors/collaboration.ts';
import type { Context, ContextState } from '../../actors/context.ts';
import { invitationViews } from '../../actors/context-answers.ts';
import type { Sink } from '../../actors/outbox.ts';
import { SYSTEM_ACTOR } from '../../actors/system-actor.ts';
import type { Envelope } from '../../events/envelope.ts';
import { projectChittyId } from '../../projections/chitty-ids.ts';
import { projectContext } from '../../projections/contexts.ts';
import { projectInvitations } from '../../projections/invitations.ts';
import { type OutgoingEvent, toCloudEvent } from './cloud-event.ts';

/** The destinations of the queue. */
const DESTINATIONS = ['chronicle', 'dna'] as const;
/** How far search may lag behind a context that changes all the time, in milliseconds. */
const READ_MODEL_INTERVAL_MS = 4_000;
/** How far ChittyOS may lag behind one: the longer, the more events share a message and a request. */
const QUEUE_INTERVAL_MS = 16_000;
/** Bytes of a message at most. The platform takes 128,000; a little is left for what it adds. */
const MESSAGE_MAX_BYTES = 120_000;

const encoder = new TextEncoder();

/** What the sink to ChittyOS has to know of a stream's state: of what has a place there, also what it is known by. */
type Sendable = Partial<Pick<Context, 'chittyId' | 'provisioning'>> & { readonly status: string };

/**
 * The sink that keeps the read models in D1: whatever happened, it writes the latest state, in one upsert, and with it
 * where the events stand in the feed.
 *
 * @param onDeleted told of a deleted context once that can be read in D1; rejects to be told again
 */
export function readModelSink(
  db: D1Database,
  onDeleted: (context: string) => Promise<void> = async () => {},
): Sink<ContextState> {
  /** Whether the ChittyID, which never changes, was written since the object woke up. */
  let isIdentityWritten = false;
  /** The open invitations as they were last written since then. */
  let writtenInvitations: string | null = null;
  /** The last resend before these were written. Another one means that they may be lost. */
  let writtenAfter = 0;
  return {
    destinations: ['d1'],
    intervalMs: READ_MODEL_INTERVAL_MS,
    tellsWhoReads: true,
    // The service's own context is no one's to find.
    isReady: (_destination, state) => state !== null && state.owner !== SYSTEM_ACTOR,
    async deliver({ state: kept, version, events, generation }) {
      const read = events();
      if (generation !== writtenAfter) {
        [isIdentityWritten, writtenInvitations, writtenAfter] = [false, null, generation];
      }
      const state = contextView(kept);
      if (state !== null) {
        const envelopes = read.map(({ text }): Envelope => JSON.parse(text));
        await projectContext(db, state, envelopes);
        if (state.chittyId !== null && !isIdentityWritten) {
          await projectChittyId(db, state.chittyId, state.id);
          isIdentityWritten = true;
        }
        // Most contexts never had any.
        const invitations = kept?.collaboration && invitationsText(kept);
        if (invitations !== undefined && invitations !== writtenInvitations) {
          await projectInvitations(db, [{ context: state.id, version, invitations }]);
          writtenInvitations = invitations;
        }
        if (state.status === 'deleted') await onDeleted(state.id);
      }
      return { confirmed: read.at(-1)?.version ?? version };
    },
  };
}

/** The invitations that can be answered: none to a deleted context. */
function invitationsText(state: NonNullable<ContextState>): string {
  return JSON.stringify(state.status === 'deleted' ? [] : invitationViews(state, null, Date.now()));
}

/**
 * The sink that sends events to ChittyOS. One message carries all the events that fit; its consumer delivers them and
 * reports what arrived (`src/delivery/consumer.ts`), which is what moves the cursors. A lone change is a message that says
 * all; of a stream that has more, the consumer fetches the rest by itself (`src/delivery/backlog.ts`). The two
 * destinations share the messages: each takes an event twice without harm, so a message begins where the one that is
 * further behind stands.
 *
 * @param maxBytes bytes of a message at most
 */
export function queueSink(queue: Queue, maxBytes = MESSAGE_MAX_BYTES): Sink<Sendable | null> {
  return {
    destinations: DESTINATIONS,
    intervalMs: QUEUE_INTERVAL_MS,
    // There is no DNA record to evolve before ChittyDNA has made one.
    isReady: (destination, state) => state !== null && (destination !== 'dna' || dnaId(state) !== null),
    async deliver({ state, version, events, destinations, generation }) {
      const references = { chittyId: state?.chittyId ?? null, dnaId: dnaId(state) };
      const isForAll = destinations.length === DESTINATIONS.length || references.dnaId === null;
      const outgoing = events().map(({ text }, index): OutgoingEvent => {
        const envelope: Envelope = JSON.parse(text);
        return {
          ...toCloudEvent(envelope, references),
          ...(index === 0 && !isForAll && { deliverto: destinations.join(' ') }),
          ...(index === 0 && generation > 0 && { generation }),
          ...(envelope.version === version && state?.status === 'deleted' && { isdeleted: true as const }),
        };
      });
      const message = fitting(outgoing, maxBytes);
      const sent = Number(message.at(-1)?.sequence ?? 0);
      const isAll = sent === version;
      await queue.send(isAll ? message : markedAsPart(message), { contentType: 'json' });
      return { sent };
    },
  };
}

/** As many of the events as fit in a message; the first goes without its data when it does not fit by itself. */
function fitting(events: readonly OutgoingEvent[], maxBytes: number): readonly OutgoingEvent[] {
  let bytes = 2;
  const end = events.findIndex((event) => {
    bytes += encoder.encode(JSON.stringify(event)).length + 1;
    return bytes > maxBytes;
  });
  if (end !== 0) return end === -1 ? events : events.slice(0, end);
  return events.slice(0, 1).map(({ data: _data, ...rest }) => ({ ...rest, dataref: `${rest.source}/events` }));
}

/** The message, which says that its stream has more. */
function markedAsPart(message: readonly OutgoingEvent[]): readonly OutgoingEvent[] {
  return message.map((event, index) => (index === message.length - 1 ? { ...event, hasmore: true } : event));
}

function dnaId(state: Sendable | null): string | null {
  return state?.provisioning?.steps.initializeDna?.reference ?? null;
}
