import type { StoredEvent } from '../../actors/log.ts';
import type { Delivery, Sink } from '../../actors/outbox.ts';
import type { Envelope } from '../../events/envelope.ts';
import { projectAudit } from '../../projections/audit.ts';
import { auditRowsOf, beforeSpan, inOneSpan } from '../../projections/audit-entries.ts';
import type { Env } from '../env.ts';
import { auditKeptSince } from './audit-retention.ts';

/** What the destination is called. */
export const AUDIT_DESTINATION = 'audit';

/** How far the audit trail may lag behind a stream that changes all the time: the longer, the more events share a query. */
const INTERVAL_MS = 10_000;

/**
 * The sink that keeps the audit trail in D1. Every stream has one. An entry of several events is written as often as there
 * are more of them, always whole: so whatever is delivered twice, or after a rebuild has begun, ends in the same rows. What
 * is older than is to be kept is not written.
 */
export function auditSink({ DB, AUDIT_KEEP_DAYS }: Pick<Env, 'DB' | 'AUDIT_KEEP_DAYS'>): Sink<unknown> {
  return {
    destinations: [AUDIT_DESTINATION],
    intervalMs: INTERVAL_MS,
    isReady: () => true,
    async deliver(delivery) {
      const events = delivery.events();
      const [first, ...more] = events.map(envelopeOf);
      if (first === undefined) return { confirmed: delivery.version };
      const before = spanBefore(first, delivery);
      const since = auditKeptSince(AUDIT_KEEP_DAYS, Date.now());
      const rows = auditRowsOf([...before, first, ...more]).filter(
        ({ id, time, last_version }) =>
          (id >= first.id || (last_version ?? 0) >= first.version) && (since === null || time >= since),
      );
      await projectAudit(DB, rows);
      return { confirmed: events.at(-1)?.version ?? delivery.version };
    },
  };
}

/** The events before this one, as far as they can be one entry with it. Mostly there are none. */
function spanBefore(first: Envelope, { eventsBefore }: Delivery<unknown>): Envelope[] {
  const [last] = eventsBefore(1).map(envelopeOf);
  if (last === undefined || !inOneSpan(last, first)) return [];
  const span = eventsBefore(first.version - 1 - beforeSpan(first.version)).map(envelopeOf);
  return span.filter((envelope) => inOneSpan(envelope, first));
}

function envelopeOf({ text }: StoredEvent): Envelope {
  return JSON.parse(text);
}
